"""Calls about the service itself."""

from dataclasses import dataclass

from packshot_client.calls import fetch
from packshot_client.models import Limits, Model
from packshot_client.steps import Plan, Request


@dataclass(frozen=True)
class _Models:
    data: tuple[Model, ...]


def limits() -> Plan[Limits]:
    """What the service takes, and how long it keeps results."""
    return (yield from fetch(Limits, Request("GET", "/v1/limits")))


def models() -> Plan[tuple[Model, ...]]:
    """The models that a job can name."""
    return (yield from fetch(_Models, Request("GET", "/v1/models"))).data
