"""Pages of a list, newest first, cut at ids: they hold still while new rows arrive."""

from typing import TypeVar
from uuid import UUID

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

T = TypeVar("T")


def cut(
    session: Session,
    query: Select[T],
    column: InstrumentedAttribute[UUID],
    *,
    limit: int,
    after: UUID | None,
    before: UUID | None,
) -> tuple[list[T], bool]:
    """Up to `limit` rows, newest first: those older than `after`, or those just newer than `before`.

    The flag says whether there are more in that direction. `column` is the UUIDv7 that the list is sorted by.
    """
    if before is not None:
        newer = list(session.scalars(query.where(column > before).order_by(column.asc()).limit(limit + 1)))
        return newer[limit - 1 :: -1], len(newer) > limit
    if after is not None:
        query = query.where(column < after)
    found = list(session.scalars(query.order_by(column.desc()).limit(limit + 1)))
    return found[:limit], len(found) > limit
