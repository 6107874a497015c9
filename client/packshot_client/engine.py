"""What both clients are made of besides their I/O: how they are set up, and calls that keep their signatures."""

import inspect
import random
from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from packshot_client.retries import Retries, with_retries
from packshot_client.steps import Plan, T

DEFAULT_TIMEOUT_S = 30.0
DEFAULT_RETRIES = Retries()


class Planner:
    """Plans with the client's way of trying again."""

    def __init__(self, retries: Retries) -> None:
        self._retries = retries
        self._rng = random.Random()

    def plan(self, call: Plan[T]) -> Plan[T]:
        """The steps of a call, tries and pauses included."""
        return with_retries(call, self._retries, self._rng)


def dress(method: Callable[..., Any], call: Callable[..., Any]) -> None:
    """Give a method the name, words and parameters of the call that it makes, for `help` and for editors."""
    update_wrapper(method, call)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    signature = inspect.signature(call)
    parameters = [own, *signature.parameters.values()]
    vars(method)["__signature__"] = signature.replace(parameters=parameters, return_annotation=signature.empty)
