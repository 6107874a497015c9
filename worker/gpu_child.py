"""`python -m worker.gpu_child`: one gpu worker process on the one device that its environment shows.

Started by `worker.supervisor`, which set `CUDA_VISIBLE_DEVICES` before this process loaded anything.
"""

import argparse
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from contextlib import closing
from functools import partial

from config.logging import configure_logging
from config.settings import Settings
from dispatch.celery_app import build_celery
from dispatch.doorbell import Doorbell
from dispatch.names import TASKS, Bell
from worker import gpu, tasks
from worker.app import leave_when_told, serve
from worker.heartbeat import worker_name
from worker.models import Models
from worker.pipeline import drain

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str], load: Callable[[Settings], Models] = gpu.load_registered) -> int:
    """Exit status of the worker. What goes wrong before it is ready is raised: set-up failed.

    `load` is for tests, which bring models of their own.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--ready-fd", type=int, required=True, help="pipe for one byte once set-up is done")
    parser.add_argument("--parent-pid", type=int, required=True, help="process to go with")
    options = parser.parse_args(arguments)
    _leave_with(options.parent_pid)
    leave_when_told()
    settings = Settings()
    configure_logging(settings, worker=worker_name(gpu.KIND))
    app = build_celery(settings)
    res = gpu.assemble(settings, load(settings), Doorbell(settings, app))
    tasks.register(app, TASKS[Bell.GPU], partial(drain, res))

    def stop() -> None:
        # A second signal means haste: what is held goes back at once.
        res.heartbeat.leave(now=res.stop.is_set())
        res.stop.set()

    with closing(res), res.metrics.shown(settings), res.heartbeat:
        os.write(options.ready_fd, b"1")
        os.close(options.ready_fd)
        return serve(app, queue=Bell.GPU.value, name=res.terms.worker, on_stop=stop)


def _leave_with(parent_pid: int) -> None:
    """Ask the kernel for SIGTERM when the supervisor goes, however it went; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent_pid:
            sys.exit(1)  # it was gone before we asked


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
