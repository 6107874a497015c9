"""Codes of batches."""

from api.kinds.kind import Kind

BATCH: dict[str, Kind] = {
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
    "batch_broke": Kind(
        500,
        "Work on the batch broke off.",
        "Reading its lines, or making them jobs, failed several times at the same place. What had ended by then stays; "
        "the rest was canceled.",
        "Tell the operator the batch's id: the log of the io worker says what happened (`errand_broke_off`).",
    ),
    "batch_not_ended": Kind(
        409,
        "The batch has not ended yet.",
        "Only a batch that has ended can be deleted or run again.",
        "Wait for its end, or cancel it and wait until it is `canceled`.",
        retryable=True,
    ),
    "nothing_to_retry": Kind(
        409,
        "There is nothing to run again.",
        "No job of the batch stands where `only` says.",
        "Use `unfinished` or `all`.",
    ),
}
