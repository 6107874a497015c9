"""Cursors of a list: the public id of an entry, so that a page holds still while new entries arrive."""

from uuid import UUID

from jobs.errors import JobError
from jobs.ids import parse_id


def cursors(prefix: str, starting_after: str | None, ending_before: str | None) -> tuple[UUID | None, UUID | None]:
    """The ids behind the two; `prefix` is that of the list's ids. `JobError` `invalid_cursor`."""
    if starting_after is not None and ending_before is not None:
        raise JobError("invalid_cursor", "Give starting_after or ending_before, not both.")
    return _cursor(prefix, "starting_after", starting_after), _cursor(prefix, "ending_before", ending_before)


def _cursor(prefix: str, name: str, public_id: str | None) -> UUID | None:
    if public_id is None:
        return None
    cursor = parse_id(public_id, prefix)
    if cursor is None:
        raise JobError("invalid_cursor", f"{name} is the id of an entry of this list: {prefix}...")
    return cursor
