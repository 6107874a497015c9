"""JSON to frozen dataclasses, tolerant of newer services: unknown fields are left out, missing ones take defaults."""

import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from packshot_client.errors import UnexpectedReplyError

T = TypeVar("T")


def read(kind: type[T], data: Any) -> T:
    """An object of a reply as `kind`, a dataclass. `UnexpectedReplyError` where it can't be one."""
    if not isinstance(data, Mapping):
        raise UnexpectedReplyError(f"A {kind.__name__} was expected, not {str(data)[:80]!r}.")
    values = {}
    for field, hint in _fields(cast("Any", kind)):
        if field.name in data:
            values[field.name] = _value(hint, data[field.name], f"{kind.__name__}.{field.name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise UnexpectedReplyError(f"The reply has no {field.name}, which a {kind.__name__} has.")
    return kind(**values)


@cache
def _fields(kind: Any) -> tuple[tuple[Field[Any], Any], ...]:
    hints = get_type_hints(kind)
    return tuple((field, hints[field.name]) for field in fields(kind))


def _value(hint: Any, given: Any, where: str) -> Any:
    if get_origin(hint) in {Union, types.UnionType}:
        if given is None:
            return None
        [hint] = [each for each in get_args(hint) if each is not type(None)]
    origin = get_origin(hint) or hint
    if is_dataclass(origin):
        return read(cast("type[Any]", origin), given)
    if origin is datetime and isinstance(given, str):
        return _time(given, where)
    if origin is tuple and isinstance(given, list):
        return tuple(_value(get_args(hint)[0], each, where) for each in given)
    if origin is float and isinstance(given, int):
        return float(given)
    return given if origin is Any else _plain(origin, given, where)


def _plain(origin: Any, given: Any, where: str) -> Any:
    # A bool is an int to Python, and an integer to no other reader of JSON.
    if not isinstance(given, origin) or (origin is int and isinstance(given, bool)):
        raise UnexpectedReplyError(f"{where} is {str(given)[:80]!r}.")
    return given


def _time(given: str, where: str) -> datetime:
    try:
        return datetime.fromisoformat(given)
    except ValueError as error:
        raise UnexpectedReplyError(f"{where} is {given[:80]!r}, no time.") from error
