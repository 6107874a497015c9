"""A brought ONNX model on Packshot's way beside rembg's own processing of the same file, photo by photo.

    python -m benchmarks.brought u2net.toml photos [--limit 20] [--threads 2]

The manifest is one that `packshot models add` takes (`docs/models.md`); the weights are yours, none come with Packshot.
Three figures: how far the two runtimes are apart on the same input, how far the two mattes are apart (rembg scales by
Lanczos and stretches each map to its own range; we scale areas and logits and stretch nothing), and the time of each.
Exits with 1 beyond the bounds: 0.001 between runtimes at most, 0.02 between mattes in the mean.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnxruntime
from PIL import Image

from jobs.importing import describe
from training.evaluation.peers import OnnxPeer, PeerManifest
from vision.segmenters.onnx import OnnxSegmenter
from vision.segmenters.runtimes import RuntimeOptions

RUNTIMES, MATTES = 1e-3, 0.02
ENDINGS = {".jpg", ".jpeg", ".png", ".webp"}
Made = TypeVar("Made")


def timed(step: Callable[[], Made]) -> tuple[Made, float]:
    started = time.perf_counter()
    made = step()
    return made, (time.perf_counter() - started) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare a brought model with rembg's processing of it.")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    described = describe(given.manifest)
    # One look, as the other side has.
    weights, spec = Path(described.weights), replace(described.spec, looks=1)
    # The segmenter finds its weights by the version's own name.
    folder = given.manifest.parent / ".brought"
    folder.mkdir(exist_ok=True)
    link = folder / spec.weights_name
    link.unlink(missing_ok=True)
    link.symlink_to(weights.resolve())
    ours = OnnxSegmenter.load(spec, folder=folder, options=RuntimeOptions(threads=given.threads))
    ours.try_out()
    theirs = OnnxPeer(PeerManifest(spec.name, weights, spec.canvas_hw[0], spec.mean, spec.std), threads=given.threads)
    session = onnxruntime.InferenceSession(str(weights), providers=["CPUExecutionProvider"])
    rows: list[tuple[float, float, float, float, float]] = []
    for path in sorted(path for path in given.photos.rglob("*") if path.suffix.lower() in ENDINGS)[: given.limit]:
        with Image.open(path) as photo:
            image = np.asarray(photo.convert("RGB"))
        canvas = ours.prepare(image).canvas
        pixels = (canvas / np.float32(255) - np.float32(spec.mean)) / np.float32(spec.std)
        batch = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32)
        [other] = session.run([session.get_outputs()[0].name], {session.get_inputs()[0].name: batch})
        apart = float(np.abs(np.asarray(other).reshape(spec.canvas_hw) - ours._raw(canvas)).max())  # noqa: SLF001
        alpha, ours_ms = timed(lambda image=image: ours.segment([image])[0])
        peer, peer_ms = timed(lambda image=image: theirs.make(image)[spec.name].alpha)
        decided = float(((alpha > 0.5) != (peer > 0.5)).mean())  # noqa: PLR2004
        rows.append((apart, float(np.abs(alpha - peer).mean()), decided, ours_ms, peer_ms))
    runtimes, mattes, decided, ours_ms, peer_ms = zip(*rows, strict=True)
    print(f"{spec.model_id}, {len(rows)} photos, {given.threads} threads")
    print(f"runtimes apart, at most       {max(runtimes):.6f}")
    print(f"mattes apart, mean (worst)    {statistics.mean(mattes):.4f} ({max(mattes):.4f})")
    print(f"pixels decided otherwise      {100 * statistics.mean(decided):.2f} % ({100 * max(decided):.2f} %)")
    print(f"median ms, ours and rembg's   {statistics.median(ours_ms):.0f} and {statistics.median(peer_ms):.0f}")
    if max(runtimes) > RUNTIMES or statistics.mean(mattes) > MATTES:
        sys.exit("beyond the bounds")


if __name__ == "__main__":
    main()
