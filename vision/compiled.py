"""Compiled loops over pixels: numba, without the interpreter lock, so that threads work side by side."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from numba import njit

_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")


def compiled(function: Callable[_Args, _Result]) -> Callable[_Args, _Result]:
    """Compile on first use for the types it is given, and keep the machine code beside the source for later starts.

    Inside stand numbers and arrays only. No fast mathematics: results are the same on every machine.
    """
    loops: Callable[_Args, _Result] = njit(nogil=True, cache=True, error_model="numpy")(function)
    return loops
