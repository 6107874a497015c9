from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """What a code means. The status of a code that only jobs have is the one that a direct answer would carry."""

    status: int
    title: str
    cause: str
    fix: str
    retryable: bool = False
