"""A graph of one sum that stands for somebody's model: dark is product."""

from collections.abc import Sequence
from pathlib import Path

from onnx import TensorProto, helper


def write_dark_graph(
    path: Path,
    side_px: int = 32,
    *,
    as_alpha: bool = False,
    shape: Sequence[int | str] | None = None,
    out_shape: Sequence[int | str] | None = None,
    element_type: int = TensorProto.FLOAT,
    second_input: bool = False,
) -> Path:
    """Output 1, `output`: the negated mean of the normalised channels, as it is or through a sigmoid.

    Output 2, `whole`: the same over the whole picture, which is no map. A batch of one is built in unless `shape` says
    otherwise.
    """
    shape = shape or [1, 3, side_px, side_px]
    nodes = [
        helper.make_node("ReduceMean", ["input", "axes"], ["mean"], keepdims=1),
        helper.make_node("Neg", ["mean"], ["dark"]),
        helper.make_node("Sigmoid" if as_alpha else "Identity", ["dark"], ["output"]),
        helper.make_node("GlobalAveragePool", ["dark"], ["whole"]),
    ]
    inputs = [helper.make_tensor_value_info("input", element_type, shape)]
    if second_input:
        inputs.append(helper.make_tensor_value_info("prompt", element_type, [1]))
        nodes.append(helper.make_node("Identity", ["prompt"], ["echo"]))
    graph = helper.make_graph(
        nodes,
        "dark",
        inputs,
        [
            helper.make_tensor_value_info("output", element_type, out_shape or [shape[0], 1, *shape[2:]]),
            helper.make_tensor_value_info("whole", element_type, [shape[0], 1, 1, 1]),
            *([helper.make_tensor_value_info("echo", element_type, [1])] if second_input else []),
        ],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return path
