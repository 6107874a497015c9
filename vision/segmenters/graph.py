"""Whether a graph that somebody brought takes a photo and gives a map of it; what is wrong is named."""

import numpy as np
import openvino
from numpy.typing import NDArray

from vision.segmenters.checksum import WeightsError
from vision.segmenters.spec import ModelSpec

_FLOATS = (openvino.Type.f32, openvino.Type.f16)
_CHANNELS = 3
_SLACK = 0.01
"""How far rounding may carry an alpha beyond 0 and 1."""


def fit_graph(model: openvino.Model, spec: ModelSpec) -> tuple[openvino.Model, int]:
    """The graph made for one canvas of float32, and the number of the output that `spec` means.

    WeightsError for another number of inputs, another layout, another size, or no such output.
    """
    if len(model.inputs) != 1:
        names = ", ".join(each.any_name for each in model.inputs)
        raise WeightsError(f"the graph takes {len(model.inputs)} inputs ({names}); only a photo can be given")
    [given] = model.inputs
    if given.element_type not in _FLOATS:
        raise WeightsError(f"the graph's input is {given.element_type.get_type_name()}; float32 and float16 are known")
    wanted = (1, 3, *spec.canvas_hw)
    shape = given.partial_shape
    sides = [None if side.is_dynamic else int(side.get_length()) for side in shape] if shape.rank.is_static else []
    if len(sides) != len(wanted) or any(side not in {None, other} for side, other in zip(sides, wanted, strict=True)):
        last = " (channels last are not known)" if sides[-1:] == [_CHANNELS] else ""
        raise WeightsError(f"the graph's input is {shape}{last}; one photo on the canvas is {list(wanted)}")
    number = _find_output(model, spec)
    model.reshape(list(wanted))
    steps = openvino.preprocess.PrePostProcessor(model)
    steps.input().tensor().set_element_type(openvino.Type.f32)
    return steps.build(), number


def as_map(found: NDArray[np.float32], spec: ModelSpec) -> NDArray[np.float32]:
    """An output as (h, w) of the canvas; sides of 1 around it do not count. WeightsError for any other shape."""
    sides = tuple(side for side in found.shape if side != 1)
    if sides != tuple(side for side in spec.canvas_hw if side != 1):
        raise WeightsError(
            f"output {spec.output_tensor!r} is {list(found.shape)}, not one map of {list(spec.canvas_hw)}"
        )
    return found.reshape(spec.canvas_hw)


def require_plausible(values: NDArray[np.float32], spec: ModelSpec) -> None:
    """WeightsError where raw values of unlike canvases can't be what `spec.output` says they are."""
    if not np.isfinite(values).all():
        raise WeightsError("the graph gives values that are no numbers")
    low, high = float(values.min()), float(values.max())
    is_alpha = low >= -_SLACK and high <= 1 + _SLACK
    if spec.output == "alpha" and not is_alpha:
        raise WeightsError(f"output is said to be alpha, and has values from {low:.3g} to {high:.3g}: is it logits?")
    if spec.output == "logits" and is_alpha:
        raise WeightsError(
            f"output is said to be logits, and all values lie from {low:.3g} to {high:.3g}: is it alpha?"
        )


def _find_output(model: openvino.Model, spec: ModelSpec) -> int:
    names = [sorted(each.get_names()) for each in model.outputs]
    if isinstance(spec.output_tensor, int):
        if spec.output_tensor < len(names):
            return spec.output_tensor
    else:
        for number, called in enumerate(names):
            if spec.output_tensor in called:
                return number
    known = ", ".join("/".join(each) for each in names)
    raise WeightsError(f"the graph has no output {spec.output_tensor!r}; it has {len(names)}: {known}")
