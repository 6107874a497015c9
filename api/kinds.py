"""Every error code with its HTTP status, title, cause and fix. `docs/errors.md` and `/docs/errors` are made from it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """What a code means. The status of a code that only jobs have is the one that a direct answer would carry."""

    status: int
    title: str
    cause: str
    fix: str
    retryable: bool = False


_REQUEST: dict[str, Kind] = {
    "invalid_request": Kind(
        422, "The request is not valid.", "A query value has the wrong type or range.", "See `errors` for which one."
    ),
    "invalid_json": Kind(
        400,
        "The body is not the JSON object it should be.",
        "The body is no JSON in UTF-8, is no object, or is nested too deeply.",
        "Send one flat JSON object.",
    ),
    "invalid_multipart": Kind(
        400,
        "The form can't be read.",
        "The form has no boundary or no end, a part without a name, text that is not UTF-8, or too many parts.",
        "Let an HTTP library build the form; do not set its Content-Type by hand.",
    ),
    "incomplete_body": Kind(
        400,
        "The body ended too early.",
        "The connection broke, or Content-Length is larger than the body.",
        "Send the request again, whole.",
    ),
    "unsupported_media_type": Kind(
        415,
        "The body's media type is not accepted.",
        "The Content-Type is neither `multipart/form-data` nor `application/json`.",
        "Use one of the two.",
    ),
    "body_too_large": Kind(
        413,
        "The body is too large.",
        "JSON, or all text fields of a form together, are larger than 64 KiB.",
        "Send the photo as `image_file` or `image_url`, not inside the text.",
    ),
    "unauthorized": Kind(
        401,
        "A valid API key is required.",
        "There is no key, or it is unknown, expired or revoked.",
        "Send `Authorization: Bearer pk_live_...` or `X-Api-Key`; `packshot keys create` issues one.",
    ),
    "key_in_query": Kind(
        401,
        "API keys are not taken from the query string.",
        "A query parameter is named like a key or holds one.",
        "Send the key in a header. Revoke a live key that was sent so: query strings end in logs.",
    ),
    "missing_scope": Kind(
        403,
        "The API key may not do this.",
        "The key is live, but lacks the scope that `required_scope` names.",
        "Use another key, or let an admin give this one the scope: `jobs:read`, `jobs:write` or `admin`.",
    ),
    "rate_limited": Kind(
        429,
        "The key has used up a limit.",
        "Its requests, or the megapixels of its photos, of this minute are used up; `violated-policies` says which.",
        "Wait for `Retry-After`; the `RateLimit` header tells what is left. An admin can change a key's limits.",
        retryable=True,
    ),
    "queue_full": Kind(
        429,
        "The key has too many jobs under way.",
        "As many of the key's jobs wait or run as it may have at a time.",
        "Wait until some have ended, or let an admin change the key's limits.",
        retryable=True,
    ),
    "not_found": Kind(
        404,
        "There is nothing here.",
        "No such page, or no such job, batch, upload, output or matte for this key. Other keys' read the same.",
        "Check path and key. Deleted jobs and those past retention are gone.",
    ),
    "method_not_allowed": Kind(
        405, "The method is not allowed here.", "The page does not answer to this method.", "See the `Allow` header."
    ),
    "invalid_idempotency_key": Kind(
        400,
        "The Idempotency-Key is not valid.",
        "It is empty, longer than 255 characters, or not ASCII.",
        "Send a random one for each request, such as a UUID.",
    ),
    "idempotency_key_reused": Kind(
        422,
        "The Idempotency-Key belongs to another request.",
        "The same key came before with other fields, another photo or another file name.",
        "Send a new key with a new request; the same key only to send the same request again.",
    ),
    "idempotency_in_flight": Kind(
        409,
        "A request with this Idempotency-Key is being worked on.",
        "The same request was sent twice at the same time.",
        "Send it again after `Retry-After`: it gets the reply of the first.",
        retryable=True,
    ),
    "invalid_cursor": Kind(
        422,
        "The cursor is not valid.",
        "`starting_after` or `ending_before` is no id of this list's kind, or both are given.",
        "Use the id of the last or first entry of a page, or follow the `Link` header.",
    ),
    "key_ended": Kind(
        409,
        "The key has ended.",
        "A key that is revoked or expired stays so: it can't be rotated, changed or revoked again.",
        "Create another key. Jobs of the old one stay with it.",
    ),
}

_OPTIONS: dict[str, Kind] = {
    "invalid_options": Kind(
        422,
        "Several options are not valid.",
        "More than one field is bad; a single bad field gives its own code instead.",
        "See `errors`: one entry per field.",
    ),
    "unknown_field": Kind(
        422,
        "There is no such field.",
        "A form or JSON field is none that the service knows.",
        "Check its spelling; `/openapi.json` lists the fields.",
    ),
    "duplicate_field": Kind(
        422, "A field is given twice.", "It would be left open which value counts.", "Send each field once."
    ),
    "invalid_option": Kind(
        422,
        "An option is not valid.",
        "A value has the wrong type or is none of those listed.",
        "`errors` names the field, `detail` the values.",
    ),
    "invalid_format": Kind(
        422, "The output format is not known.", "`format` is something else.", "Use `png`, `webp`, `jpg` or `zip`."
    ),
    "invalid_bg_color": Kind(
        422,
        "The background is not valid.",
        "`background` is no colour, a jpg is asked to be transparent, or a mask or a zip to have one.",
        "Use `transparent` (not with jpg), a CSS colour name, or hexadecimal digits such as `#f5f5f5` or `#f5f5f580`.",
    ),
    "invalid_outputs": Kind(
        422,
        "The outputs are not valid.",
        "`outputs` is no list of 1 to 10 objects, has a name twice, or stands beside `format` or `background`.",
        'In a form, send them as JSON text: `[{"name": "main", "format": "jpg"}]`.',
    ),
    "invalid_output_name": Kind(
        422,
        "The output's name is not valid.",
        "It has other characters than a to z, 0 to 9, - and _, or more than 64.",
        "Use a name such as `main` or `thumb-200`.",
    ),
    "invalid_size": Kind(
        422,
        "The size is not valid.",
        "`size` is spelled otherwise, has a side of 0 or more than 10,000 pixels, or too many megapixels.",
        "Use `original`, `WxH`, `longest:N` or `megapixels:N`; `GET /v1/limits` tells the most megapixels.",
    ),
    "invalid_quality": Kind(
        422,
        "The quality is not valid.",
        "`quality` is below 50 or above 100, or given for a png.",
        "Use 50 to 100 with jpg, webp or zip, or leave it out.",
    ),
    "invalid_crop_margin": Kind(
        422,
        "The margin is not valid.",
        "`margin` is no list of one, two or four lengths, more than 500 px or 50 %, or given without `crop`.",
        "Use `20px`, `10%` or up to four of them, and `crop`.",
    ),
    "invalid_scale": Kind(
        422,
        "The fill is not valid.",
        "`fill` is no share from 10 % to 100 %, or stands beside `margin`.",
        "Use `85%`, and no `margin`.",
    ),
    "invalid_position": Kind(
        422,
        "The position is not valid.",
        "`position` is none of those listed, or outside 0 % to 100 %.",
        "Use `original`, `center`, `X%` or `X% Y%`.",
    ),
    "invalid_channels": Kind(
        422,
        "The channels are not valid.",
        "`channels` is something else, or asks a zip for the mask alone.",
        "Use `rgba` or `alpha`; a zip has both.",
    ),
    "invalid_roi": Kind(
        422,
        "The region of interest is not valid.",
        "`roi` is not four distances in pixels or percent.",
        "Use `x1 y1 x2 y2`, such as `10% 10% 90% 90%` or `0 0 400px 300px`.",
    ),
    "roi_exceeds_bounds": Kind(
        422,
        "The region of interest reaches over the photo.",
        "A corner of `roi` lies outside the photo as it stands upright.",
        "Use percent, or the width and height that the photo has once it is turned upright.",
    ),
    "roi_region_empty": Kind(
        422,
        "The region of interest is empty.",
        "`roi` has no pixel: its second corner is not right of and below the first.",
        "Name the upper left corner first, then the lower right one.",
    ),
    "multiple_bg_sources": Kind(
        422,
        "There is more than one background.",
        "Two of `bg_color`, `bg_image_url` and `bg_image_file` are given.",
        "Send one of them.",
    ),
    "invalid_semitransparency": Kind(
        422, "The value is neither true nor false.", "`semitransparency` is something else.", "Use `true`."
    ),
    "unsupported_option": Kind(
        422,
        "This is not done here.",
        "A client of remove.bg or rembg asks for something that Packshot does not do.",
        "Leave the parameter out; `docs/compatibility.md` lists what works.",
    ),
    "unknown_model": Kind(
        422, "The model is not known.", "No installed model has this name or id.", "`GET /v1/models` lists them."
    ),
    "invalid_labels": Kind(
        422,
        "The labels are not valid.",
        "Not an object of text, more than 16 pairs, a key over 64 or a value over 512 characters.",
        'In a form, send them as JSON text: `{"sku": "MUG-1"}`.',
    ),
    "invalid_deadline": Kind(
        422,
        "The deadline is not valid.",
        "It has passed, is more than 30 days away, has no zone, or two of the ways to say it are used.",
        "Send one of `expires_in` (`15m`), `deadline` (`2026-12-24T18:00:00Z`) and the header `Cancel-After`.",
    ),
    "invalid_retention": Kind(
        422,
        "The retention is not valid.",
        "`retention` is no length of time, under a minute, or longer than the key's files stay.",
        "Send `1h` or `7d`; the operator can give a key more time.",
    ),
    "invalid_label": Kind(
        422,
        "The filter by label is not valid.",
        "`label` has no colon, or `sku` is given twice.",
        "Send `label=name:value`, once for each label.",
    ),
    "invalid_webhook_url": Kind(
        422,
        "The webhook URL can't be called.",
        "Not http or https, a private address, a closed port, or a user name in the URL.",
        "Use a public URL. The operator can open private networks with `PACKSHOT_EGRESS_ALLOW`.",
    ),
}

_PHOTO: dict[str, Kind] = {
    "missing_source": Kind(
        422, "There is no photo.", "Neither `image_file` nor `image_url` is given.", "Send one of them."
    ),
    "multiple_sources": Kind(
        422, "There is more than one photo.", "Both sources, or two files, are given.", "Submit one job per photo."
    ),
    "invalid_image_url": Kind(
        422,
        "The image URL can't be fetched.",
        "Not http or https, a private address, a closed port, or a user name in the URL.",
        "Use a public URL, or upload the photo. The operator can open networks with `PACKSHOT_EGRESS_ALLOW`.",
    ),
    "invalid_file_type": Kind(
        415,
        "The file is no JPEG, PNG or WebP photo.",
        "Its first bytes say something else, whatever its name; or it is animated.",
        "Convert it to a still JPEG, PNG or WebP.",
    ),
    "failed_to_read_image": Kind(
        422, "The photo can't be read.", "The file is empty, damaged or cut off.", "Export or upload it again."
    ),
    "resolution_too_high": Kind(
        422,
        "The photo has too many pixels.",
        "It has more megapixels, or a longer side, than the service takes.",
        "Scale it down; `GET /v1/limits` tells the limit (50 megapixels by default).",
    ),
    "file_too_large": Kind(
        413,
        "The file is too large.",
        "It has more bytes than the service takes; the upload is cut off there.",
        "`GET /v1/limits` tells the limit (30 MiB by default). A JPEG is much smaller than a PNG.",
    ),
    "failed_image_download": Kind(
        422,
        "The photo could not be downloaded.",
        "The server behind `image_url` did not answer in time, broke off, or answered with an error.",
        "Check that the URL is open to the public, then submit again.",
        retryable=True,
    ),
}

_JOB: dict[str, Kind] = {
    "unknown_foreground": Kind(
        422,
        "There is no product in the photo.",
        "Nothing that could be a product was found, in the photo or in its region of interest (drop-in for remove.bg).",
        "Look at the photo. A job of `POST /v1/jobs` succeeds here, with the verdict `fail`.",
    ),
    "took_too_long": Kind(
        503,
        "The photo was not done in time.",
        "A drop-in request waited for `PACKSHOT_DROP_IN_WAIT_S`, or somebody canceled its job meanwhile.",
        "Try again later, or submit to `/v1/jobs`, which does not wait.",
        retryable=True,
    ),
    "already_final": Kind(
        409, "The job has ended.", "A job that has ended can't be canceled.", "Nothing to do; DELETE removes the job."
    ),
    "not_ready": Kind(
        409,
        "The job has not ended yet.",
        "A file is asked for before it is made.",
        "Poll the job, with the pause that `Retry-After` names, or use a webhook.",
        retryable=True,
    ),
    "files_purged": Kind(
        410,
        "The files are gone.",
        "The job's files were removed at the end of their retention (`expires_at`).",
        "Submit the photo again; download results earlier.",
    ),
    "invalid_link": Kind(
        403,
        "The link is not valid.",
        "It was changed, is another service's, or its job or key is gone.",
        "Ask for new links: `POST /v1/jobs/{id}/links`.",
    ),
    "link_expired": Kind(
        403,
        "The link has expired.",
        "Links are good for a while only.",
        "Ask for new ones: `POST /v1/jobs/{id}/links`.",
    ),
    "output_exists": Kind(
        409,
        "The job has an output of this name.",
        "Outputs never change: a name is taken once.",
        "Choose another name.",
    ),
    "too_many_outputs": Kind(
        422, "The job has too many outputs.", "A job has 50 outputs at most.", "Submit the photo again for more."
    ),
    "no_matte": Kind(
        409,
        "The job has no matte.",
        "It failed, was canceled or expired: there is nothing to make an output of.",
        "Submit the photo again.",
    ),
    "output_failed": Kind(
        409,
        "The output could not be made.",
        "It was asked for later and failed; the job shows its error.",
        "See the output's `error`; ask for another one under another name.",
    ),
    "matte_lost": Kind(
        500,
        "The matte is gone from the file store.",
        "Its file was lost before a further output was made of it.",
        "Submit the photo again; the operator looks after the store.",
    ),
    "worker_crashed": Kind(
        500,
        "Workers crashed while they held this photo.",
        "Several workers died or hung with it; it is not tried again.",
        "Re-save the photo with another program; tell the operator the job's id.",
    ),
    "source_lost": Kind(
        500,
        "The photo is gone from the file store.",
        "Its file was removed, or the store lost it, before a worker came to it.",
        "Submit the photo again; the operator looks after the store.",
    ),
    "out_of_memory": Kind(
        500,
        "The photo did not fit into memory.",
        "The worker ran out of memory even with this photo alone.",
        "Scale the photo down, or give the worker more memory.",
        retryable=True,
    ),
    "job_broke": Kind(
        500,
        "The photo broke the pipeline.",
        "An unexpected error met this photo alone; its neighbours are done.",
        "Tell the operator the job's id: the log has the traceback.",
    ),
}

_WEBHOOKS: dict[str, Kind] = {
    "endpoint_disabled": Kind(
        409,
        "The webhook endpoint is disabled.",
        "Its owner disabled it, it answered 410, every call failed for days, or its listener went away.",
        "Mend the receiver, then `PATCH` the endpoint with `is_enabled: true`; `/replay-failed` sends what was missed.",
    ),
    "endpoint_is_called": Kind(
        409,
        "The endpoint's events can't be pulled.",
        "It has a URL: its events are sent there.",
        "Register an endpoint with `url: null` to pull from.",
    ),
    "endpoint_is_pulled": Kind(
        409,
        "The endpoint can't be given a URL.",
        "It was made without one; its events are pulled.",
        "Register another endpoint with the URL and delete this one.",
    ),
    "too_many_endpoints": Kind(
        409,
        "The key has as many webhook endpoints as it may.",
        "Each event is matched with every endpoint of its key; 20 is the limit.",
        "Delete one that is not needed, or widen the `events` of another.",
    ),
}

_BATCH: dict[str, Kind] = {
    "invalid_manifest": Kind(
        422,
        "The manifest can't be read.",
        "The file is neither JSON Lines nor CSV nor a ZIP; a JSON array is none of them.",
        "One JSON object a line, or a CSV whose first line names the columns; both in UTF-8.",
    ),
    "invalid_csv": Kind(
        422,
        "The CSV is malformed.",
        "No header, a line with more cells than the header, or a quote without an end.",
        "Let a spreadsheet or a CSV library write it. What follows an unended quote is not judged.",
    ),
    "line_too_long": Kind(
        422, "The line is too long.", "A line has more than 64 KiB.", "Put one photo in a line; shorten its labels."
    ),
    "invalid_custom_id": Kind(
        422,
        "The custom id is not valid.",
        "`custom_id` is not text, is empty, has more than 256 characters, or holds a control character.",
        "Use a SKU or a file name. A line without one is known by its number.",
    ),
    "duplicate_custom_id": Kind(
        422,
        "The custom id is there twice.",
        "An earlier line of the batch has the same `custom_id`; `detail` says which.",
        "Name each line once: results are told apart by it.",
    ),
    "upload_not_found": Kind(
        422,
        "There is no such upload.",
        "`upload_id` is none of this key's, or it has expired or was deleted.",
        "Upload the photo again; `expires_at` of an upload says how long it waits.",
    ),
    "too_many_items": Kind(
        422,
        "The batch has too many lines.",
        "It has more lines than a batch may have (50,000 by default); those behind are not judged.",
        "Split it.",
    ),
    "invalid_archive": Kind(
        422,
        "The ZIP can't be read.",
        "It is cut off, or its directory is damaged.",
        "Make it again, and upload it whole.",
    ),
    "archive_too_large": Kind(
        413,
        "The ZIP holds too much.",
        "It has more entries, or more bytes unpacked, than the service takes.",
        "Split it; `docs/configuration.md` names the limits (`PACKSHOT_BATCH_*`).",
    ),
    "invalid_archive_entry": Kind(
        422,
        "The entry of the ZIP is not taken.",
        "It is encrypted, a link, packed by another method than DEFLATE, shares its bytes with another entry, unpacks "
        "to far more than it is, or its name leads out of the archive.",
        "Pack plain photos with an ordinary ZIP program.",
    ),
    "empty_batch": Kind(
        422, "The batch is empty.", "The manifest has no line, or the ZIP no photo.", "Send at least one."
    ),
    "invalid_lines": Kind(
        422,
        "Lines of the batch are bad.",
        "At least one line can't be run, so none was.",
        "Mend those that `urls.errors` lists and send the batch again, or set `skip_invalid`.",
    ),
    "nothing_to_retry": Kind(
        409,
        "There is nothing to run again.",
        "No job of the batch stands where `only` says.",
        "Use `unfinished` or `all`.",
    ),
}

_SERVICE: dict[str, Kind] = {
    "rembg_off": Kind(
        403,
        "The drop-in for rembg is off.",
        "`PACKSHOT_REMBG_KEY` is not set, or names no live key with the scopes `jobs:read` and `jobs:write`.",
        "The operator names a key; anybody who reaches the service then acts as that key.",
    ),
    "database_unavailable": Kind(
        503,
        "The database is away.",
        "PostgreSQL can't be reached or is overloaded. After a submission it may be open whether the job exists.",
        "Try again after `Retry-After`.",
        retryable=True,
    ),
    "too_many_waiting": Kind(
        503,
        "Too many requests wait here.",
        "As many requests as the operator allows (`PACKSHOT_MAX_WAITING`) wait for a change on this API process.",
        "Poll without `wait`, at the pace that `Retry-After` names, or use a webhook.",
        retryable=True,
    ),
    "storage_unavailable": Kind(
        503,
        "The file store is away.",
        "The store of photos and results can't be reached or is full.",
        "Try again after `Retry-After`; the operator looks at the disk.",
        retryable=True,
    ),
    "service_not_ready": Kind(
        503,
        "The service is not ready.",
        "`/readyz`: database or store do not work; `checks` says which.",
        "For load balancers: send requests elsewhere.",
        retryable=True,
    ),
    "internal_error": Kind(
        500,
        "Something went wrong on our side.",
        "A defect of the service.",
        "Tell the operator the `request_id`, or the job's id.",
        retryable=True,
    ),
}

GROUPS: Mapping[str, Mapping[str, Kind]] = {
    "The request": _REQUEST,
    "Options": _OPTIONS,
    "The photo": _PHOTO,
    "The job": _JOB,
    "Webhooks": _WEBHOOKS,
    "Batches": _BATCH,
    "The service": _SERVICE,
}
KINDS: Mapping[str, Kind] = {code: kind for group in GROUPS.values() for code, kind in group.items()}
