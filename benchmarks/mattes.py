"""Errors of the matte before and after refinement, and milliseconds of every stage after the network.

    python -m benchmarks.mattes [--megapixels 12] [--canvas 384]

Drawn pictures with exact alpha and colours; the network's part is played by the exact alpha, shrunk, blurred and bent
by half a coarse pixel. One thread. `colour` is the mean error of what shows of the product's colours in the band, in
8-bit steps, of the photo itself and of the estimated foreground.
"""

import argparse
import time

import cv2
import numpy as np

from tests.images import coarse_logits, draw
from vision.compose import WHITE, cutout, flatten
from vision.cutout import make_cutout, prepare_subject
from vision.foreground import estimate_foreground
from vision.letterbox import Letterbox
from vision.numeric import sigmoid

SHAPES = ("disc", "ring", "wedge", "wires", "hair")
GROUNDS = ("plain", "textured")
ROUNDS = 3


def gradient(alpha: np.ndarray) -> np.ndarray:
    soft = cv2.GaussianBlur(alpha, (0, 0), 1.4)
    return np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1))


def errors(exact: np.ndarray, alpha: np.ndarray) -> tuple[float, float]:
    """SAD / 1000 and squared gradient error / 1000."""
    return (
        float(np.abs(exact - alpha).sum() / 1000),
        float(((gradient(exact) - gradient(alpha)) ** 2).sum() / 1000),
    )


def timed_ms(function: object, *args: object) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        function(*args)  # type: ignore[operator]
        best = min(best, time.perf_counter() - start)
    return best * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--canvas", type=int, default=384)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    hw = (round((args.megapixels * 0.75e6) ** 0.5), round((args.megapixels / 0.75e-6) ** 0.5))
    print("| picture | SAD | gradient | colour | letterbox | refine | foreground | facts | RGBA | over white |")
    print("| --- " * 10 + "|")
    for shape in SHAPES:
        for ground in GROUNDS:
            drawing = draw(shape, ground, hw)
            logits = coarse_logits(drawing.alpha, args.canvas)
            before = errors(drawing.alpha, sigmoid(cv2.resize(logits, hw[::-1], interpolation=cv2.INTER_LINEAR)))
            subject = prepare_subject(drawing.image, None)
            made = [make_cutout(subject, logits) for _ in range(ROUNDS)]
            after = errors(drawing.alpha, made[0].alpha)
            band = (drawing.alpha > 0) & (drawing.alpha < 1)
            shows = drawing.alpha[band][:, None]
            colours = [
                float((np.abs(found[band] - drawing.foreground[band]) * shows).sum() / shows.sum() / 3)
                for found in (drawing.image, estimate_foreground(drawing.image, drawing.alpha))
            ]
            stages = [min(each.stage_s[stage] for each in made) * 1000 for stage in ("refine", "foreground", "qc")]
            times = [
                timed_ms(Letterbox.fit(hw, (args.canvas, args.canvas)).apply, drawing.image),
                *stages,
                timed_ms(cutout, made[0].foreground, made[0].alpha),
                timed_ms(flatten, made[0].foreground, made[0].alpha, WHITE),
            ]
            cells = [f"{before[i]:.1f} → {after[i]:.1f}" for i in (0, 1)]
            cells += [f"{colours[0]:.0f} → {colours[1]:.0f}", *(f"{ms:.0f}" for ms in times)]
            print(f"| {shape}, {ground} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
