"""File names that callers send are information, never paths: cleaned on the way in, quoted on the way out."""

import re
import unicodedata
from urllib.parse import quote, unquote, urlsplit

from vision.formats import ending_of

MAX_LENGTH = 120
_LONGEST_ENDING = 5

_WINDOWS_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])", re.IGNORECASE)
_UNSAFE = re.compile(r'[<>:"|?*]')


def clean_filename(given: str | None) -> str | None:
    """The last part of a name, without control, direction and reserved characters; None where nothing is left.

    At most 120 characters, the ending kept.
    """
    if not given:
        return None
    last = re.split(r"[/\\]", given)[-1]
    visible = "".join(c for c in unicodedata.normalize("NFC", last) if unicodedata.category(c)[0] != "C")
    name = _UNSAFE.sub("_", " ".join(visible.split())).strip(". ")
    if len(name) > MAX_LENGTH:
        stem, ending = _split(name)
        name = stem[: MAX_LENGTH - len(ending)] + ending
    if _WINDOWS_RESERVED.fullmatch(name.partition(".")[0]):
        name = f"_{name}"
    return name or None


def _split(name: str) -> tuple[str, str]:
    """Stem and ending with its dot; what is longer than any image's ending is part of the name."""
    stem, dot, ending = name.rpartition(".")
    return (stem, dot + ending) if stem and len(ending) <= _LONGEST_ENDING else (name, "")


def filename_of_url(url: str) -> str | None:
    """The cleaned last part of a URL's path."""
    return clean_filename(unquote(urlsplit(url).path, errors="replace"))


def stem_of(filename: str | None, *, otherwise: str) -> str:
    """A file name without its ending."""
    if filename is None:
        return otherwise
    return _split(filename)[0]


def output_filename(filename: str | None, public_id: str, name: str, output_format: str) -> str:
    """What a download of an output is called: as the photo was, `-name` behind it unless it is the cutout."""
    suffix = "" if name == "cutout" else f"-{name}"
    return f"{stem_of(filename, otherwise=public_id)}{suffix}.{ending_of(output_format)}"


def content_disposition(filename: str) -> str:
    """An attachment's header (RFC 6266): an ASCII form for old clients, the exact name in RFC 5987's."""
    plain = unicodedata.normalize("NFKD", filename).encode("ascii", "ignore").decode()
    plain = re.sub(r'[^\x20-\x7e]|["\\%]', "_", plain)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
