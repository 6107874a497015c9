"""Codes of a job's options."""

from api.kinds.kind import Kind

OPTIONS: dict[str, Kind] = {
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
        422,
        "The output format is not known.",
        "`format` is something else.",
        "Use `png`, `png8`, `webp`, `jpg`, `avif`, `tiff` or `zip`.",
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
        "`quality` is below 50 or above 100, or given for a file in which nothing is lost.",
        "Use 50 to 100 with jpg, webp (not with `lossless`), avif or zip, or leave it out.",
    ),
    "invalid_lossless": Kind(
        422,
        "Lossless is not for this format.",
        "`lossless` is given for another format than webp, or is neither true nor false.",
        "Leave it out: png and tiff lose nothing, jpg and avif always lose a little.",
    ),
    "invalid_max_bytes": Kind(
        422,
        "The limit in bytes is not valid.",
        "`max_bytes` is no whole number from 1,000 to 1,000,000,000.",
        "Send bytes without a unit, such as `5000000`.",
    ),
    "invalid_depth": Kind(
        422,
        "The depth is not valid.",
        "`depth` is neither 8 nor 16, or 16 for something other than a mask or a zip.",
        "Use 16 with `channels` `alpha` and png or tiff, or with zip.",
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
    "invalid_put_url": Kind(
        422,
        "The URL to put to can't be called.",
        "`put_url` is no public http or https URL, or stands among the options of a whole batch.",
        "Send a URL that takes a PUT, one for each output; private networks open with `PACKSHOT_EGRESS_ALLOW`.",
    ),
    "invalid_put_headers": Kind(
        422,
        "The headers for the PUT are not valid.",
        "`put_headers` is no object of up to 16 texts, names a header of the transfer itself, or lacks `put_url`.",
        "Send headers such as `Content-Type` or `x-ms-blob-type`.",
    ),
    "invalid_webhook_url": Kind(
        422,
        "The webhook URL can't be called.",
        "Not http or https, a private address, a closed port, or a user name in the URL.",
        "Use a public URL. The operator can open private networks with `PACKSHOT_EGRESS_ALLOW`.",
    ),
}
