import pytest

from jobs.errors import JobError
from jobs.output_params import OutputParams
from jobs.params import JobParams, parse_params

MODELS = {"unet-fast", "unet-fast@1"}


def parse(**given: object) -> JobParams:
    return parse_params(given, models=MODELS, default_model="unet-fast")


def test_defaults_are_filled_in() -> None:
    assert parse() == JobParams((OutputParams("cutout", "png", "original", "transparent"),), "unet-fast", "auto")


def test_a_jpg_is_white_by_default() -> None:
    [output] = parse(format="JPEG").outputs
    assert (output.name, output.format, output.background) == ("cutout", "jpg", "#ffffff")


def test_colours_have_one_spelling() -> None:
    for word in ("White", "#FFFFFF"):
        assert parse(background=word).outputs[0].background == "#ffffff"


@pytest.mark.parametrize(
    ("given", "pointer", "code"),
    [
        ({"format": "gif"}, "/format", "invalid_format"),
        ({"background": "#ff"}, "/background", "invalid_bg_color"),
        ({"background": "reddish"}, "/background", "invalid_bg_color"),
        ({"format": "jpg", "background": "transparent"}, "/background", "invalid_bg_color"),
        ({"model": "u2net"}, "/model", "unknown_model"),
        ({"outputs": []}, "/outputs", "invalid_outputs"),
        ({"outputs": [{"name": f"n{n}"} for n in range(11)]}, "/outputs", "invalid_outputs"),
        ({"outputs": [{"name": "a"}, {"name": "a"}]}, "/outputs", "invalid_outputs"),
        ({"outputs": [{}], "format": "png"}, "/format", "invalid_outputs"),
        ({"outputs": [{"name": "../x"}]}, "/outputs/0/name", "invalid_output_name"),
        ({"outputs": [{"name": "a" * 65}]}, "/outputs/0/name", "invalid_output_name"),
        ({"outputs": [{}, {"name": "b", "format": "bmp"}]}, "/outputs/1/format", "invalid_format"),
        ({"outputs": [{"format": "jpg", "background": "transparent"}]}, "/outputs/0/background", "invalid_bg_color"),
        ({"outputs": [{"size": "0x10"}]}, "/outputs/0/size", "invalid_size"),
        ({"outputs": [{"size": "10001x1"}]}, "/outputs/0/size", "invalid_size"),
        ({"outputs": [{"size": "8000x8000"}]}, "/outputs/0/size", "invalid_size"),
        ({"outputs": [{"size": "longest:9000"}]}, "/outputs/0/size", "invalid_size"),
        ({"outputs": [{"size": "megapixels:51"}]}, "/outputs/0/size", "invalid_size"),
        ({"outputs": [{"size": "huge"}]}, "/outputs/0/size", "invalid_size"),
        ({"outputs": [{"quality": 90}]}, "/outputs/0/quality", "invalid_quality"),
        ({"outputs": [{"format": "jpg", "quality": 10}]}, "/outputs/0/quality", "invalid_quality"),
        ({"outputs": [{"margin": "10%"}]}, "/outputs/0/margin", "invalid_crop_margin"),
        ({"outputs": [{"crop": True, "margin": "60%"}]}, "/outputs/0/margin", "invalid_crop_margin"),
        ({"outputs": [{"crop": True, "margin": "1 2 3"}]}, "/outputs/0/margin", "invalid_crop_margin"),
        ({"outputs": [{"crop": True, "margin": "1", "fill": "85%"}]}, "/outputs/0/fill", "invalid_scale"),
        ({"outputs": [{"fill": "5%"}]}, "/outputs/0/fill", "invalid_scale"),
        ({"outputs": [{"position": "101%"}]}, "/outputs/0/position", "invalid_position"),
        ({"existing_alpha": "maybe"}, "/existing_alpha", "invalid_option"),
        ({"animated": "last_frame"}, "/animated", "invalid_option"),
    ],
)
def test_a_bad_option_is_named(given: dict[str, object], pointer: str, code: str) -> None:
    with pytest.raises(JobError) as caught:
        parse(**given)
    assert [(error.pointer, error.code) for error in caught.value.errors] == [(pointer, code)]


def test_all_bad_options_are_named_at_once() -> None:
    with pytest.raises(JobError) as caught:
        parse(format="gif", background="reddish", model="x")
    assert len(caught.value.errors) == 3


def test_params_survive_storage() -> None:
    outputs = [{"name": "a", "format": "webp", "quality": 80, "crop": True, "margin": "5% 10px"}, {"name": "b"}]
    params = parse(outputs=outputs)
    assert JobParams.from_json(params.to_json()) == params


def test_options_of_a_newer_version_are_left() -> None:
    params = parse(format="webp")
    newer = [{**output.to_json(), "shadow": "drop"} for output in params.outputs]
    assert JobParams.from_json({**params.to_json(), "outputs": newer, "matting": "fast"}) == params
