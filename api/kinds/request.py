"""Codes of any request."""

from api.kinds.kind import Kind

REQUEST: dict[str, Kind] = {
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
