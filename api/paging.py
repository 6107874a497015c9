"""Query values and `Link` header that every list has."""

from collections.abc import Mapping, Sequence
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query, Response

Limit = Annotated[int, Query(ge=1, le=100, description="Most entries on the page.")]
StartingAfter = Annotated[str | None, Query(description="Id of an entry: the page holds older ones.")]
EndingBefore = Annotated[str | None, Query(description="Id of an entry: the page holds newer ones.")]


def set_links(
    response: Response,
    url: str,
    ids: Sequence[str],
    *,
    has_more: bool,
    limit: int,
    starting_after: str | None,
    ending_before: str | None,
    kept: Mapping[str, str | Sequence[str] | None] | None = None,
) -> None:
    """The URLs of the next (older) and the previous (newer) page, where there is one.

    `ids` are those on the page; `kept` are the list's filters, None where not set.
    """
    if not ids:
        return
    filters = {name: value for name, value in (kept or {}).items() if value}
    links = []
    if has_more or ending_before:
        links.append(_link(url, limit, filters, "starting_after", ids[-1], "next"))
    if starting_after or (ending_before and has_more):
        links.append(_link(url, limit, filters, "ending_before", ids[0], "prev"))
    if links:
        response.headers["Link"] = ", ".join(links)


def _link(url: str, limit: int, filters: Mapping[str, str | Sequence[str]], cursor: str, entry: str, rel: str) -> str:
    query = urlencode({"limit": limit, **filters, cursor: entry}, doseq=True)
    return f'<{url}?{query}>; rel="{rel}"'
