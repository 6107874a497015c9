"""Milliseconds per photo of every runtime, on an idle machine and beside two busy processes.

    python benchmarks/runtimes.py [--canvas 384 512] [--batch 1 2 4 8] [--threads 2] [--planes]

Those of the CPU, or of CUDA where there is a device (`--runtime` names others). `--planes` lays PyTorch's tensors out
plane by plane, where channels come last otherwise.

Weights are random: they do not change the time. Every runtime runs in a process of its own.
"""

import argparse
import multiprocessing
import time
from multiprocessing.queues import Queue

import numpy as np

from vision.segmenters.runtimes import has_cuda

CPU = ("torch-cpu", "torch-compile-cpu", "onnxruntime-cpu", "openvino-cpu")
CUDA = ("torch-cuda", "torch-compile-cuda", "torch-graphs-cuda")
DECODER = (160, 80, 40, 24, 8)


def spin() -> None:
    while True:
        np.sort(np.random.default_rng(0).random(1_000_000))


def measure(queue: "Queue[object]", name: str, side: int, args: argparse.Namespace) -> None:
    from vision.segmenters.network import build_network  # noqa: PLC0415
    from vision.segmenters.runtimes import RuntimeOptions, build_runtime  # noqa: PLC0415
    from vision.segmenters.spec import ModelSpec  # noqa: PLC0415

    spec = ModelSpec(
        "timing", "0", "smp-unet", "tu-tf_efficientnet_lite0", DECODER, (side, side), (0.5,) * 3, (0.5,) * 3, ""
    )
    options = RuntimeOptions(threads=args.threads, channels_last=not args.planes)
    start = time.perf_counter()
    runtime = build_runtime(name, lambda: build_network(spec).eval(), spec, options)
    pictures = np.random.default_rng(0).integers(0, 255, (max(args.batch), 3, side, side), np.uint8)
    for size in args.batch:
        runtime.run(pictures[:size])
    queue.put(time.perf_counter() - start)
    for busy in (0, 2):
        helpers = [multiprocessing.get_context("spawn").Process(target=spin, daemon=False) for _ in range(busy)]
        for helper in helpers:
            helper.start()
        time.sleep(2 if busy else 0)
        for size in args.batch:
            times = []
            until = time.perf_counter() + args.seconds
            while time.perf_counter() < until or len(times) < 3:  # noqa: PLR2004
                begin = time.perf_counter()
                runtime.run(pictures[:size])
                times.append((time.perf_counter() - begin) / size * 1000)
            queue.put((busy, size, float(np.median(times))))
        for helper in helpers:
            helper.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--canvas", type=int, nargs="+", default=[384, 512])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--runtime", nargs="+", default=list(CUDA if has_cuda() else CPU))
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--planes", action="store_true")
    parser.add_argument("--seconds", type=float, default=2.0)
    args = parser.parse_args()
    heads = [f"{kind} {size}" for kind in ("idle", "busy") for size in args.batch]
    print("| runtime | canvas | load s | " + " | ".join(heads) + " |")
    print("| --- " * (len(heads) + 3) + "|")
    context = multiprocessing.get_context("spawn")
    for side in args.canvas:
        for name in args.runtime:
            queue = context.Queue()
            child = context.Process(target=measure, args=(queue, name, side, args))
            child.start()
            load_s = queue.get()
            found = [queue.get() for _ in heads]
            child.join()
            cells = " | ".join(f"{ms:.0f}" for _, _, ms in found)
            print(f"| {name} | {side} | {load_s:.1f} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
