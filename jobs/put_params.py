"""Where outputs are to be put: a URL and headers of the caller's for each, judged before anything is queued."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any
from uuid import UUID

from jobs.egress import EgressRefusedError, Policy, check_url
from jobs.errors import FieldError
from jobs.ids import new_id

MAX_HEADERS = 16
MAX_HEADER_LENGTH = 2048

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_VALUE = re.compile(r"(?! )[\x20-\x7e]*(?<! )")  # HTTP sends no spaces around it
# What the transfer itself is made of.
_OURS = frozenset(
    {
        *("host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade"),
        *("expect", "accept-encoding", "content-encoding", "proxy-authorization", "proxy-connection", "range"),
    }
)


@dataclass(frozen=True)
class PutTarget:
    """Where the output of this name is put. URL and headers are secrets: no text of this value shows them."""

    name: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)

    @property
    def host(self) -> str:
        """The URL's authority, which is no secret."""
        return self.url.split("/")[2]


def parse_put(
    given: Mapping[str, Any], name: str, policy: Policy, *, at: str = ""
) -> tuple[PutTarget | None, list[FieldError]]:
    """Judge `put_url` and `put_headers` beside the options of an output; `at` is the JSON pointer to them."""
    url, headers = given.get("put_url"), given.get("put_headers")
    errors: list[FieldError] = []
    if headers is not None and url is None:
        errors.append(
            FieldError(f"{at}/put_headers", "invalid_put_headers", "put_headers go with put_url: send it too.")
        )
    if headers and (problem := _problem(headers)):
        errors.append(FieldError(f"{at}/put_headers", "invalid_put_headers", f"put_headers: {problem}."))
    target = None
    if url is not None:
        try:
            target = PutTarget(name, check_url(url, policy).url, dict(headers or {}))
        except EgressRefusedError as error:
            errors.append(FieldError(f"{at}/put_url", "invalid_put_url", str(error)))
    return target, errors


def rows_of(
    targets: Sequence[PutTarget], job_id: UUID, api_key_id: UUID, priority: int, *, is_further: bool = False
) -> list[dict[str, Any]]:
    """The rows of PUTs that wait for their outputs."""
    return [
        {
            "id": new_id(),
            "job_id": job_id,
            "name": target.name,
            "is_further": is_further,
            "api_key_id": api_key_id,
            "priority": priority,
            "host": target.host,
            "host_md5": md5(target.host.encode(), usedforsecurity=False).hexdigest(),
            "url": target.url,
            "headers": dict(target.headers),
        }
        for target in targets
    ]


def _problem(headers: Mapping[str, str]) -> str | None:
    """What is wrong with headers; their values are not quoted."""
    if len(headers) > MAX_HEADERS:
        return f"at most {MAX_HEADERS} of them"
    if len({name.lower() for name in headers}) < len(headers):
        return "a header is there twice"
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            return "a name has letters, digits and hyphens, and at most 64 of them"
        if name.lower() in _OURS:
            return f"{name} can't be chosen"
        if len(value) > MAX_HEADER_LENGTH or not _VALUE.fullmatch(value):
            return f"the value of {name} has at most {MAX_HEADER_LENGTH} visible ASCII characters, no space around them"
    return None
