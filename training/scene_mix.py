"""What synthetic scenes are made of, as a table of the recipe."""

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

TABLE = ConfigDict(extra="forbid")
"""Tables of a recipe refuse names they do not know."""


@dataclass(frozen=True, config=TABLE)
class SceneMix:
    """Shares of grounds and products, and the chance of each trouble; see `training.synthesis`."""

    white: float = 0.2
    studio: float = 0.34
    room: float = 0.26
    surface: float = 0.2
    several: float = 0.15
    """Chance of two or three products."""
    cabled: float = 0.06
    """Chance of a set of parts joined by thin cables."""
    drawn: float = 0.12
    """Chance of a drawn product: mirror, picture, rug, wire basket, wicker seat."""
    translucent: float = 0.06
    """Chance that a product is see-through; only cut-outs that look as if they could be."""
    pale: float = 0.5
    """Chance that a product on white is bleached to nearly white."""
    photo_px_min: int = 400
    photo_px_max: int = 4000
    """Longest side of the photo that a scene pretends to be; it is drawn no larger than the canvas needs."""
