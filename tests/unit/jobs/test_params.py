import pytest

from jobs.errors import JobError
from jobs.params import JobParams, parse_params

MODELS = {"unet-fast", "unet-fast@1"}


def parse(**given: str) -> JobParams:
    return parse_params(given, models=MODELS, default_model="unet-fast")


def test_defaults_are_filled_in() -> None:
    assert parse() == JobParams("png", "transparent", "unet-fast", "auto")


def test_a_jpg_is_white_by_default() -> None:
    assert parse(format="JPEG") == JobParams("jpg", "#ffffff", "unet-fast", "auto")


def test_colours_have_one_spelling() -> None:
    assert parse(background="White").background == parse(background="#FFFFFF").background == "#ffffff"


@pytest.mark.parametrize(
    ("given", "pointer", "code"),
    [
        ({"format": "gif"}, "/format", "invalid_format"),
        ({"background": "#fff0"}, "/background", "invalid_bg_color"),
        ({"background": "reddish"}, "/background", "invalid_bg_color"),
        ({"format": "jpg", "background": "transparent"}, "/background", "invalid_bg_color"),
        ({"model": "u2net"}, "/model", "unknown_model"),
        ({"existing_alpha": "maybe"}, "/existing_alpha", "invalid_option"),
    ],
)
def test_a_bad_option_is_named(given: dict[str, str], pointer: str, code: str) -> None:
    with pytest.raises(JobError) as caught:
        parse(**given)
    assert [(error.pointer, error.code) for error in caught.value.errors] == [(pointer, code)]


def test_all_bad_options_are_named_at_once() -> None:
    with pytest.raises(JobError) as caught:
        parse(format="gif", background="reddish", model="x")
    assert len(caught.value.errors) == 3


def test_params_survive_storage() -> None:
    params = parse(format="webp", background="#102030")
    assert JobParams.from_json(params.to_json()) == params


def test_options_of_a_newer_version_are_left() -> None:
    params = parse(format="webp")
    assert JobParams.from_json({**params.to_json(), "shadow": "drop"}) == params
