"""Backgrounds by name or number: CSS colours, with or without opacity."""

import re
from dataclasses import dataclass
from typing import TypeAlias

from PIL import ImageColor

Colour: TypeAlias = tuple[int, int, int]
"""sRGB values of 0 to 255."""

_HEX = re.compile(r"#?([0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})")
_OPAQUE = 255


@dataclass(frozen=True)
class Paint:
    """An sRGB colour and its opacity, 0 (not there) to 255 (opaque)."""

    colour: Colour
    opacity: int

    @property
    def is_opaque(self) -> bool:
        """Nothing shines through."""
        return self.opacity == _OPAQUE

    @property
    def is_there(self) -> bool:
        """Whether there is any of it."""
        return self.opacity > 0

    def __str__(self) -> str:
        """Its one spelling: `transparent`, `#rrggbb` or `#rrggbbaa`."""
        if not self.is_there:
            return "transparent"
        channels = self.colour if self.is_opaque else (*self.colour, self.opacity)
        return "#" + "".join(f"{channel:02x}" for channel in channels)


TRANSPARENT = Paint((0, 0, 0), 0)


def parse_paint(text: str) -> Paint:
    """`transparent`, a CSS colour name, `#RGB`, `#RGBA`, `#RRGGBB` or `#RRGGBBAA` (with or without #). ValueError."""
    word = text.strip().lower()
    if word == "transparent":
        return TRANSPARENT
    named = ImageColor.colormap.get(word)
    found = _HEX.fullmatch(str(named) if named else word)
    if found is None:
        raise ValueError(f"{text!r} is not a colour: transparent, a CSS name, #RGB, #RGBA, #RRGGBB or #RRGGBBAA")
    digits = found[1]
    if len(digits) <= len("RGBA"):
        digits = "".join(2 * digit for digit in digits)
    red, green, blue, *rest = bytes.fromhex(digits)
    opacity = rest[0] if rest else _OPAQUE
    return Paint((red, green, blue), opacity) if opacity else TRANSPARENT
