"""The table of docs/configuration.md, made from the settings; `make settings` writes it."""

from datetime import timedelta
from pathlib import Path

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from config.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
START, END = "<!-- settings: written by `make settings` -->\n", "<!-- end of settings -->\n"


def settings_table() -> str:
    """One line a setting, in the order of `Settings`."""
    lines = ["| Variable | Default | Meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        lines.append(f"| `PACKSHOT_{name.upper()}` | {_default(field)} | {field.description} |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=False)
    if value is PydanticUndefined:
        raise AssertionError("every setting has a default")
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`"  # as the variable is written
    if isinstance(value, timedelta):
        return f"{value.days} days" if value.days else f"{value.seconds} s"
    return f"`{value}`"


def with_table(page: str) -> str:
    """The page with a fresh table between its marks."""
    before, rest = page.split(START)
    _, after = rest.split(END)
    return before + START + "\n" + settings_table() + "\n" + END + after


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
