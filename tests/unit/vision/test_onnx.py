from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto

from tests.images import disc
from tests.onnx_graphs import write_dark_graph
from vision.segmenters.checksum import WeightsError, file_sha256
from vision.segmenters.onnx import OnnxSegmenter
from vision.segmenters.spec import ModelSpec

SPEC = ModelSpec("dark", "1", "onnx", "", (), (32, 32), (0.5, 0.5, 0.5), (0.05, 0.05, 0.05), "", output="logits")


def load(folder, graph=None, **changes):
    as_alpha = changes.get("output", SPEC.output) == "alpha"
    spec = replace(SPEC, **changes)
    path = write_dark_graph(folder / spec.weights_name, **({"as_alpha": as_alpha} | (graph or {})))
    return OnnxSegmenter.load(replace(spec, weights_sha256=file_sha256(path)), folder=folder)


@pytest.fixture
def image():
    """A dark disc on a light ground, twice as wide as high."""
    inside = disc((60, 120), radius=0.3) < 0
    image = np.full((60, 120, 3), 220, np.uint8)
    image[inside] = 30
    return image


@pytest.mark.parametrize("output", ["logits", "alpha"])
@pytest.mark.parametrize("fit", ["letterbox", "squash"])
def test_a_brought_graph_finds_the_product(tmp_path, image, output, fit):
    segmenter = load(tmp_path, output=output, fit=fit)
    alphas = segmenter.segment([image, image[:, ::-1].copy()])
    wanted = image[..., 0] < 128
    for alpha, mask in zip(alphas, (wanted, wanted[:, ::-1]), strict=True):
        assert alpha.shape == (60, 120)
        assert ((alpha > 0.5) == mask).mean() > 0.97
    prepared = segmenter.prepare(image)
    assert prepared.letterbox.crop(segmenter.predict([prepared.canvas])[0]).shape == prepared.letterbox.scaled_hw
    assert prepared.letterbox.scaled_hw == ((32, 32) if fit == "squash" else (16, 32))
    assert (segmenter.version, segmenter.calibration) == ("dark@1", None)


def test_an_empty_photo_stays_empty(tmp_path):
    """Nothing is stretched: the faintest map of a white wall is no product."""
    wall = np.full((40, 40, 3), 200, np.uint8)
    wall[10:20, 10:20] = 190
    assert load(tmp_path).segment([wall])[0].max() < 0.1


def test_alpha_of_exactly_0_and_1_has_finite_logits(tmp_path):
    segmenter = load(tmp_path, output="alpha", std=(0.001, 0.001, 0.001))
    canvas = np.zeros((32, 32, 3), np.uint8)
    canvas[:16] = 255
    assert np.isfinite(segmenter.predict([canvas])[0]).all()


def test_another_file_or_a_graph_that_does_not_fit_is_refused(tmp_path):
    write_dark_graph(tmp_path / "dark-1.onnx")
    with pytest.raises(WeightsError, match="its sidecar says"):
        OnnxSegmenter.load(SPEC, folder=tmp_path)
    (tmp_path / "dark-1.onnx").write_bytes(b"no graph at all")
    spec = replace(SPEC, weights_sha256=file_sha256(tmp_path / "dark-1.onnx"))
    with pytest.raises(WeightsError, match="does not run"):
        OnnxSegmenter.load(spec, folder=tmp_path)


def test_a_sidecar_of_a_graph_reads_back():
    assert ModelSpec.from_json(SPEC.to_json()) == SPEC
    assert (SPEC.is_onnx, SPEC.weights_name) == (True, "dark-1.onnx")


@pytest.mark.parametrize("shape", [["batch", 3, 32, 32], ["batch", 3, "height", "width"], [1, 3, 32, 32]])
def test_free_and_fixed_sizes_give_the_same(tmp_path, image, shape):
    wanted = load(tmp_path).segment([image])[0]
    np.testing.assert_allclose(load(tmp_path, {"shape": shape}).segment([image])[0], wanted, atol=1e-5)


def test_half_precision_is_taken(tmp_path, image):
    half = load(tmp_path, {"element_type": TensorProto.FLOAT16}).segment([image])[0]
    np.testing.assert_allclose(half, load(tmp_path).segment([image])[0], atol=0.02)


def test_an_output_is_named_or_numbered(tmp_path, image):
    wanted = load(tmp_path).segment([image])[0]
    np.testing.assert_array_equal(load(tmp_path, output_tensor="output").segment([image])[0], wanted)
    for word in ("mask", 5):
        with pytest.raises(WeightsError, match=f"no output {word!r}; it has 2: output, whole"):
            load(tmp_path, output_tensor=word)
    with pytest.raises(WeightsError, match=r"output 'whole' is \[1, 1, 1, 1\], not one map of \[32, 32\]"):
        load(tmp_path, output_tensor="whole")


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        ({"shape": [1, 3, 64, 64]}, r"input is \[1,3,64,64\]; one photo on the canvas is \[1, 3, 32, 32\]"),
        ({"shape": [1, 32, 32, 3]}, "channels last are not known"),
        ({"shape": [1, 4, 32, 32]}, r"input is \[1,4,32,32\]"),
        ({"shape": [2, 3, 32, 32]}, r"input is \[2,3,32,32\]"),
        ({"second_input": True}, r"takes 2 inputs \(input, prompt\)"),
    ],
)
def test_a_graph_of_another_shape_is_named(tmp_path, graph, said):
    with pytest.raises(WeightsError, match=said):
        load(tmp_path, graph)


def test_values_that_are_not_what_they_are_said_to_be_are_seen(tmp_path):
    load(tmp_path).try_out()
    load(tmp_path, output="alpha").try_out()
    with pytest.raises(WeightsError, match="said to be alpha, and has values from -10 to 10: is it logits"):
        load(tmp_path, {"as_alpha": False}, output="alpha").try_out()
    with pytest.raises(WeightsError, match=r"said to be logits.*is it alpha"):
        load(tmp_path, {"as_alpha": True}).try_out()
