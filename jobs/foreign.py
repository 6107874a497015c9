"""What other services' clients send, read field by field: a collector of values and of everything that is wrong."""

from collections.abc import Collection, Mapping
from typing import Any

from jobs.errors import FieldError, JobError, pointer_to

_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


class Fields:
    """Fields of a form, a query or a JSON object as text; empty ones count as not given."""

    def __init__(self, given: Mapping[str, Any], known: Collection[str]) -> None:
        self.errors: list[FieldError] = []
        self._texts: dict[str, str] = {}
        for name, value in given.items():
            if name not in known:
                self.refuse(name, "unknown_field", "There is no such field.")
            elif isinstance(value, bool | int | float | str):
                self._texts[name] = str(value).lower() if isinstance(value, bool) else str(value).strip()
            elif value is not None:
                self.refuse(name, "invalid_option", f"{name} is text.")

    def refuse(self, name: str, code: str, detail: str) -> None:
        """Note what is wrong with a field."""
        self.add(FieldError(pointer_to(name), code, detail))

    def add(self, error: FieldError) -> None:
        """Note an error; of several of one field the first counts."""
        if all(error.pointer != other.pointer for other in self.errors):
            self.errors.append(error)

    def text(self, name: str) -> str | None:
        """What is given, or None."""
        return self._texts.get(name) or None

    def truth(self, name: str, *, default: bool, code: str = "invalid_option") -> bool:
        """`true` or `false`, also as 1 or 0."""
        text = self.text(name)
        value = default if text is None else _TRUTHS.get(text.lower())
        if value is None:
            self.refuse(name, code, f"{name} is true or false.")
        return default if value is None else value

    def choice(self, name: str, choices: Mapping[str, Any], *, default: str, code: str = "invalid_option") -> str:
        """One of the words, as they are spelled there; case does not count."""
        text = self.text(name) or default
        found = next((word for word in choices if word.lower() == text.lower()), None)
        if found is None:
            self.refuse(name, code, f"{name} is one of {', '.join(choices)}.")
            return default
        return found

    def raise_errors(self) -> None:
        """`JobError` `invalid_options` where anything is wrong."""
        if self.errors:
            raise JobError(
                "invalid_options", " ".join(error.detail for error in self.errors), errors=tuple(self.errors)
            )
