"""A gpu worker process as `worker.gpu_child` makes it, around a fake segmenter.

Told by its environment: `FAKE_SETUP=fails` ends it as a failed set-up does, `FAKE_SLOW_S` is the time of a forward,
`FAKE_REGISTRY` lets it follow the registry, and it believes to hold as many bytes as the file `FAKE_HELD` says, of 100.
It leaves its pid and its device beside the other files.
"""

import os
import sys
import time
from pathlib import Path

from config.settings import Settings
from db.session import build_engine, build_sessions
from tests.fakes import FakeSegmenter, fake_models, registered_fakes
from worker import gpu, gpu_child
from worker.memory import MemoryBound
from worker.models import Models


def load(settings: Settings) -> Models:
    if os.environ.get("FAKE_SETUP") == "fails":
        raise RuntimeError("the weights are not there")
    note = settings.data_dir / f"child-{os.getpid()}"
    note.write_text(os.environ["CUDA_VISIBLE_DEVICES"], encoding="utf-8")
    if os.environ.get("FAKE_REGISTRY"):
        return registered_fakes(build_sessions(build_engine(settings.require_database_url())))
    segmenter = FakeSegmenter()
    segmenter.before_predict = lambda _: time.sleep(float(os.environ.get("FAKE_SLOW_S", "0")))
    return fake_models(segmenter)


if __name__ == "__main__":
    if held := os.environ.get("FAKE_HELD"):
        gpu.memory_bound = lambda _: MemoryBound(100, lambda: int(Path(held).read_text(encoding="ascii")))
    sys.exit(gpu_child.main(sys.argv[1:], load))
