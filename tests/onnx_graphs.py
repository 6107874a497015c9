"""A graph of one sum that stands for somebody's model: dark is product."""

from pathlib import Path

from onnx import TensorProto, helper


def write_dark_graph(path: Path, side_px: int = 32, *, as_alpha: bool = False) -> Path:
    """Output: the negated mean of the normalised channels, as it is or through a sigmoid; a batch of one built in."""
    nodes = [
        helper.make_node("ReduceMean", ["input", "axes"], ["mean"], keepdims=1),
        helper.make_node("Neg", ["mean"], ["dark"]),
        helper.make_node("Sigmoid" if as_alpha else "Identity", ["dark"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "dark",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, side_px, side_px])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, side_px, side_px])],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return path
