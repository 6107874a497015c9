"""Task names and queues: the few words that API, workers and sweeper share."""

from enum import StrEnum


class Bell(StrEnum):
    """A doorbell: the queue it rings in. Its one task drains what is due."""

    GPU = "gpu"
    IO = "io"


TASKS = {Bell.GPU: "packshot.drain_gpu", Bell.IO: "packshot.drain_io"}
SWEEP_TASK = "packshot.sweep"
SWEEP_QUEUE = "sweep"
