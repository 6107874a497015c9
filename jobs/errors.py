"""What can go wrong for a caller or a job: a stable code, a sentence, whether trying again can help.

HTTP statuses are mapped in `api.problems` alone.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class FieldError:
    """One bad field: a JSON pointer (RFC 6901) to it, a stable code, a sentence."""

    pointer: str
    code: str
    detail: str


def pointer_to(field: object) -> str:
    """A JSON pointer (RFC 6901) to a field of the body; the field's name may be a caller's, so it is clipped."""
    text = re.sub(r"[^\x20-\x7e]", "?", str(field))[:64]
    return "/" + text.replace("~", "~0").replace("/", "~1")


class JobError(Exception):
    """An expected failure with a stable code."""

    def __init__(self, code: str, detail: str, *, retryable: bool = False, errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.retryable = retryable
        self.errors = errors


class JobNotFoundError(JobError):
    """No such job for this caller."""

    def __init__(self, public_id: str) -> None:
        super().__init__("not_found", f"There is no job {public_id}.")


class JobNotCancelableError(JobError):
    """The job has a final status; final statuses never change."""

    def __init__(self, public_id: str, status: str) -> None:
        super().__init__("already_final", f"Job {public_id} is {status} and can't be canceled.")
