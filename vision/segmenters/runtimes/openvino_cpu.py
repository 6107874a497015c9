"""OpenVINO on the CPU, converted from the torch module when it is first loaded; PyTorch is imported then alone."""

import os
from pathlib import Path

import numpy as np
import openvino

from vision.segmenters.checksum import file_sha256
from vision.segmenters.runtimes.base import Batch, BatchLogits, MakeNetwork, RuntimeOptions
from vision.segmenters.spec import ModelSpec


class OpenVinoRuntime:
    """float32; the threads of one forward share one microbatch (the LATENCY hint)."""

    name = "openvino-cpu"

    def __init__(self, make: MakeNetwork, spec: ModelSpec, options: RuntimeOptions) -> None:
        core = openvino.Core()
        # Some CPUs would compute in bfloat16 unasked: a worse alpha, and not the same one everywhere.
        config: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if options.threads:
            config["INFERENCE_NUM_THREADS"] = options.threads
        model = _read_or_convert(core, make, spec, options.cache_dir)
        self._request = core.compile_model(model, "CPU", config).create_infer_request()

    def run(self, batch: Batch) -> BatchLogits:
        """As the protocol."""
        return np.array(self._request.infer([batch])[0], np.float32)


def _read_or_convert(core: openvino.Core, make: MakeNetwork, spec: ModelSpec, cache_dir: Path | None) -> openvino.Model:
    if cache_dir is None:
        return _convert(make, spec)
    name = f"{spec.file_stem}-{spec.weights_sha256[:16]}-openvino-{openvino.__version__.split('-')[0]}"
    kept = cache_dir / f"{name}.xml"
    if not _is_whole(kept):
        cache_dir.mkdir(parents=True, exist_ok=True)
        # Two workers may start at once: each writes files of its own, and the checksum is in place last.
        draft = cache_dir / f"{name}.{os.getpid()}.xml"
        openvino.save_model(_convert(make, spec), draft, compress_to_fp16=False)
        draft.with_suffix(".sha256").write_text(_sha256(draft), encoding="ascii")
        for suffix in (".bin", ".xml", ".sha256"):
            draft.with_suffix(suffix).replace(kept.with_suffix(suffix))
    return core.read_model(kept)


def _is_whole(kept: Path) -> bool:
    """Whether a kept conversion is the one that was written: a damaged one could run, and cut out nonsense."""
    files = [kept.with_suffix(suffix) for suffix in (".bin", ".xml", ".sha256")]
    return all(file.is_file() for file in files) and files[-1].read_bytes() == _sha256(kept).encode()


def _sha256(graph: Path) -> str:
    """Of the graph and of its weights, a line each."""
    return "".join(f"{file_sha256(graph.with_suffix(suffix))}\n" for suffix in (".xml", ".bin"))


def _convert(make: MakeNetwork, spec: ModelSpec) -> openvino.Model:
    from vision.segmenters.runtimes.export import export_network  # noqa: PLC0415

    model = openvino.convert_model(export_network(make(), spec))
    steps = openvino.preprocess.PrePostProcessor(model)
    steps.input().tensor().set_element_type(openvino.Type.u8)
    steps.input().preprocess().convert_element_type(openvino.Type.f32)
    return steps.build()
