"""Which of a caller's photos go first, and how no lane starves another.

Keys come before lanes: everybody's first photo goes ahead of anybody's second, whatever lanes they are in, so a flood
of one caller's interactive photos keeps nobody else's waiting. Among one key's photos interactive goes before normal
and normal before bulk, except that each claim draws a lane whose oldest photo goes first: in two of eight claims the
normal one, in one of eight the bulk one. So even under a steady flood of interactive photos a bulk photo is taken
every eighth claim, and an interactive photo waits for one other at most.
"""

import random
from enum import IntEnum
from typing import Literal, TypeAlias

Word: TypeAlias = Literal["interactive", "normal", "bulk"]


class Lane(IntEnum):
    """As stored in `jobs.priority`; less goes first."""

    INTERACTIVE = 0
    NORMAL = 1
    BULK = 2

    @property
    def word(self) -> Word:
        """As callers say it."""
        return _WORDS[self]


_WORDS: dict[Lane, Word] = {Lane.INTERACTIVE: "interactive", Lane.NORMAL: "normal", Lane.BULK: "bulk"}
LANES: dict[str, Lane] = {lane.word: lane for lane in Lane}
_WEIGHTS = {Lane.INTERACTIVE: 5, Lane.NORMAL: 2, Lane.BULK: 1}


def draw() -> Lane:
    """The lane whose oldest photo goes first in one claim."""
    [lane] = random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
    return lane
