from collections.abc import Callable

import pytest

from packshot_client import Retries
from tests.unit.client.service import Answer, Face


@pytest.fixture(params=["sync", "async"])
def face(request: pytest.FixtureRequest) -> Callable[..., Face]:
    """Makes a client, sync and async, of a service with the given answers."""

    def make(*answers: Answer, retries: Retries = Retries()) -> Face:  # noqa: B008 - frozen
        return Face(request.param, answers, retries)

    return make
