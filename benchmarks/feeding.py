"""How many photos a second the CPU can feed a GPU: `python -m benchmarks.feeding [photos]`.

The worker's whole pipeline on real servers with a network that takes no time: read, decode, letterbox, refine, compose,
encode, check, store, commit; two looks at a photo, as unet-fast takes.
A GPU that is faster than this waits for pictures, unless it gets more cores.
"""

import os
import sys
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.servers import servers
from cli.samples import camera_jpeg, with_comment
from config.logging import configure_logging
from config.settings import Settings
from jobs.params import JobParams
from tests.gpu_worker import GpuWorld
from vision.arrays import Canvas, Logits, RgbImage
from vision.letterbox import Letterbox
from vision.segmenters.looks import Prepared
from worker.models import Models

_CANVAS_HW = (384, 384)
_SOFT = 8.0


class Instant:
    """Light is background: a matte with an edge as long as a product's, for next to nothing."""

    version = "instant@1"
    runtime = "none"
    calibration = None
    looks = 2

    def prepare(self, image: RgbImage) -> Prepared:
        """A photo on the canvas of unet-fast."""
        letterbox = Letterbox.fit((image.shape[0], image.shape[1]), _CANVAS_HW)
        return Prepared(letterbox.apply(image), letterbox)

    def predict(self, canvases: Sequence[Canvas]) -> list[Logits]:
        """Logits of a disc that fills a third of each canvas."""
        y, x = np.mgrid[: _CANVAS_HW[0], : _CANVAS_HW[1]].astype(np.float32)
        centre_y, centre_x = (side / 2 for side in _CANVAS_HW)
        distance = np.hypot(y - centre_y, x - centre_x) - min(_CANVAS_HW) / 3
        return [(-distance / 2 * _SOFT).astype(np.float32) for _ in canvases]


def main(count: int) -> None:
    segmenter = Instant()
    cores = os.cpu_count() or 1
    configure_logging(Settings(log_level="warning"))
    with servers() as settings:
        world = GpuWorld(settings, Models({"instant": segmenter.version}, segmenter, lambda _: segmenter))
        params = JobParams(model="instant")
        photo = camera_jpeg()
        world.add(photo, params=params)
        world.drain()  # loops compile, decoders start
        for number in range(count):
            world.add(with_comment(photo, str(number)), params=params, megapixels=12)
        begun = time.perf_counter()
        world.drain()
        rate = count / (time.perf_counter() - begun)
        world.close()
    print(f"{rate:.2f} photos/s of 12 megapixels on {cores} cores: {rate / cores:.2f} a core")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 24)
