"""The list of error codes for readers: `docs/errors.md`, and the page that a problem's `type` leads to."""

from html import escape

from api.kinds import GROUPS, Kind

_INTRO = """\
Errors are `application/problem+json` (RFC 9457) with `type`, `title`, `status`, `detail`, `instance`, `code`, `errors`,
`request_id` and `retryable`. `code` is stable; `title` and `detail` are for people and may change.

`type` is a path of the service that answered, `/docs/errors#<code>`: the same list as here. `errors` has one entry per
bad field, with a JSON pointer, a code and a sentence. One bad field gives the problem its own code, several share
`invalid_options`.

`retryable` says whether the same request may succeed later; such replies carry `Retry-After`. A failed job shows the
same codes in its `error`, without `status`: no request failed."""


def markdown() -> str:
    """The text of `docs/errors.md`."""
    parts = ["# Errors", _INTRO]
    for title, kinds in GROUPS.items():
        parts.append(f"## {title}")
        parts += [_entry(code, kind) for code, kind in kinds.items()]
    return "\n\n".join(parts) + "\n"


def html() -> str:
    """The same as a page, with an anchor for each code."""
    sections = []
    for title, kinds in GROUPS.items():
        rows = "".join(
            f'<dt id="{code}"><code>{code}</code> {kind.status}{" retryable" if kind.retryable else ""}</dt>'
            f"<dd>{escape(kind.title)}<br>{escape(kind.cause)}<br>{escape(kind.fix)}</dd>"
            for code, kind in kinds.items()
        )
        sections.append(f"<h2>{escape(title)}</h2><dl>{rows}</dl>")
    intro = "".join(f"<p>{escape(text)}</p>" for text in _INTRO.split("\n\n"))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Packshot: errors</title>'
        f"<body><h1>Errors</h1>{intro}{''.join(sections)}</body></html>"
    )


def _entry(code: str, kind: Kind) -> str:
    retry = ", retryable" if kind.retryable else ""
    return f"### {code}\n\n{kind.status}{retry}. {kind.title}\n\n- Cause: {kind.cause}\n- Fix: {kind.fix}"
