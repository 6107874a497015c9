"""Codes of photos and jobs."""

from api.kinds.kind import Kind

PHOTO: dict[str, Kind] = {
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
        "The file is no photo of a kind that is read here.",
        "Its first bytes say something else than JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF or HEIF, whatever its name; or "
        "it is of a rare kind of those: a camera's raw file, HDR, a TIFF of floating-point numbers.",
        "Convert it to a JPEG or PNG; `detail` says what was found.",
    ),
    "animated_image": Kind(
        415,
        "The photo has several frames or pages.",
        "It is an animated GIF, PNG, WebP or AVIF, or a TIFF of several pages, and which picture is meant is not said.",
        "Send a still picture, or `animated=first_frame` to take the first.",
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
    "put_failed": Kind(
        422,
        "The output could not be put to its URL.",
        "The server behind `put_url` refused the file, redirected, or was away for as long as it was tried; "
        "`detail` says what it answered last.",
        "Download the output from the job, it is there; or submit again with a URL that takes a PUT and lives longer.",
    ),
    "failed_image_download": Kind(
        422,
        "The photo could not be downloaded.",
        "The server behind `image_url` did not answer in time, broke off, or answered with an error.",
        "Check that the URL is open to the public, then submit again.",
        retryable=True,
    ),
}

JOB: dict[str, Kind] = {
    "output_too_large": Kind(
        422,
        "The output can't be made that small.",
        "A file has more than `max_bytes`, even at quality 50; a lossless one has the bytes that its pixels need.",
        "Ask for a smaller `size`, more bytes, `png8` instead of `png`, or a lossy format.",
    ),
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
    "range_not_satisfiable": Kind(
        416,
        "The range begins behind the file's end.",
        "`Range` asks for bytes that the file does not have; `Content-Range` tells how many it has.",
        "Ask for a range within the file, or for all of it.",
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
    "model_unavailable": Kind(
        503,
        "The model could not be loaded.",
        "Its weights are not in the store, do not fit their checksum, or do not run here; it was tried again.",
        "Use another model; the operator's log says what is wrong with this one.",
        retryable=True,
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
