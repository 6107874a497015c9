"""ONNX Runtime on the CPU, exported from the torch module when loaded."""

import numpy as np
import onnxruntime
import torch
from torch import nn

from vision.segmenters.runtimes.base import Batch, BatchLogits, RuntimeOptions
from vision.segmenters.runtimes.export import export_network
from vision.segmenters.spec import ModelSpec


class OnnxRuntime:
    """float32, all graph optimisations; idle threads sleep, so that they take nothing from other processes."""

    name = "onnxruntime-cpu"

    def __init__(self, network: nn.Module, spec: ModelSpec, options: RuntimeOptions) -> None:
        session_options = onnxruntime.SessionOptions()
        session_options.intra_op_num_threads = options.threads
        session_options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            _convert(network, spec), session_options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name

    def run(self, batch: Batch) -> BatchLogits:
        """As the protocol."""
        outputs = self._session.run(None, {self._input: batch.astype(np.float32)})
        return np.asarray(outputs[0], np.float32)


def _convert(network: nn.Module, spec: ModelSpec) -> bytes:
    program = torch.onnx.export(export_network(network, spec), verbose=False)
    if program is None:
        raise RuntimeError("torch.onnx.export made no program")
    return bytes(program.model_proto.SerializeToString())
