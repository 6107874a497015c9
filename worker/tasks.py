"""Task bodies: one wakes one plain function. Messages carry nothing; the rows say what there is to do."""

from collections.abc import Callable

from celery import Celery


def register(app: Celery, name: str, wake: Callable[[], object]) -> None:
    """Register the one task of a worker's kind under its name in `dispatch.names`."""

    def body() -> None:
        wake()

    app.task(body, name=name)
