"""Every parameter of remove.bg works or is refused with a code."""

from typing import Any

import pytest

from jobs.errors import JobError
from jobs.removebg import KNOWN, Request, translate
from tests.contracts.settings_table import PAGE


def ask(**given: Any) -> Request:
    return translate(given, max_megapixels=50)


def refused(**given: Any) -> list[tuple[str, str]]:
    with pytest.raises(JobError) as raised:
        ask(**given)
    return [(error.pointer, error.code) for error in raised.value.errors]


def test_nothing_said_is_a_preview_as_png() -> None:
    output = ask().output
    assert (output["format"], output["size"]) == ("png", "megapixels:0.25")
    assert not any(output[name] for name in ("background", "crop", "margin", "fill", "position", "roi"))
    assert ask().wants_type


@pytest.mark.parametrize(
    ("size", "png", "jpg"),
    [
        *((name, 0.25, 0.25) for name in ("preview", "small", "regular")),
        ("medium", 1.5, 1.5),
        ("hd", 4, 4),
        *((name, 10, 25) for name in ("full", "4k", "auto")),
        ("50MP", 10, 50),
    ],
)
def test_sizes_are_most_megapixels_by_format(size: str, png: float, jpg: float) -> None:
    assert ask(size=size, format="png").output["size"] == f"megapixels:{png:g}"
    assert ask(size=size, format="jpg").output["size"] == f"megapixels:{jpg:g}"
    assert translate({"size": size, "format": "zip"}, max_megapixels=2).output["size"] == f"megapixels:{min(jpg, 2):g}"


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({}, "png"),
        ({"bg_color": "fff"}, "jpg"),
        ({"bg_color": "ffffff80"}, "png"),
        ({"channels": "alpha"}, "png"),
        ({"format": "webp", "bg_color": "red"}, "webp"),
    ],
)
def test_the_format_auto_keeps_what_is_transparent(given: dict[str, str], kind: str) -> None:
    assert ask(**given).output["format"] == kind


def test_geometry_in_our_words() -> None:
    output = ask(crop=True, crop_margin="30px 10%", roi="0% 0% 50% 50%", bg_color="81d4fa77").output
    assert (output["crop"], output["margin"], output["roi"]) == (True, "30px 10%", "0% 0% 50% 50%")
    assert output["background"] == "81d4fa77"
    output = ask(scale="80%", position="10% 90%").output
    assert (output["fill"], output["position"]) == ("80%", "10% 90%")
    assert ask(scale="original", position="original").output["fill"] is None


@pytest.mark.parametrize(
    "given",
    [
        {"type": "product", "type_level": "2"},
        {"semitransparency": "true", "add_shadow": "false", "shadow_type": "none"},
        {"crop": "false", "crop_margin": "0"},
        {"bg_color": "", "roi": None, "crop_margin": ""},
        {"add_shadow": False, "crop": 1},
        {"type_level": 1},
    ],
)
def test_what_asks_for_nothing_more_is_taken(given: dict[str, Any]) -> None:
    ask(**given)


def test_type_level_none_asks_for_no_type() -> None:
    assert not ask(type_level="none").wants_type


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"size": "huge"}, ("/size", "invalid_size")),
        ({"format": "gif"}, ("/format", "invalid_format")),
        ({"type": "person"}, ("/type", "unsupported_option")),
        ({"type": "thing"}, ("/type", "invalid_option")),
        ({"type_level": "3"}, ("/type_level", "invalid_option")),
        ({"roi": "1 2 3"}, ("/roi", "invalid_roi")),
        ({"crop": "maybe"}, ("/crop", "invalid_option")),
        ({"crop": True, "crop_margin": "60%"}, ("/crop_margin", "invalid_crop_margin")),
        ({"crop_margin": "10px"}, ("/crop_margin", "invalid_crop_margin")),
        ({"crop_margin": "wide"}, ("/crop_margin", "invalid_crop_margin")),
        ({"scale": "5%"}, ("/scale", "invalid_scale")),
        ({"crop": True, "crop_margin": "1", "scale": "50%"}, ("/scale", "invalid_scale")),
        ({"position": "110%"}, ("/position", "invalid_position")),
        ({"scale": "50%", "position": "original"}, ("/position", "invalid_position")),
        ({"channels": "rgb"}, ("/channels", "invalid_channels")),
        ({"add_shadow": "true"}, ("/add_shadow", "unsupported_option")),
        ({"shadow_type": "drop"}, ("/shadow_type", "unsupported_option")),
        ({"shadow_opacity": "50"}, ("/shadow_opacity", "unsupported_option")),
        ({"semitransparency": "false"}, ("/semitransparency", "unsupported_option")),
        ({"semitransparency": "half"}, ("/semitransparency", "invalid_semitransparency")),
        ({"bg_color": "nocolour"}, ("/bg_color", "invalid_bg_color")),
        ({"bg_color": "fff", "format": "zip"}, ("/bg_color", "invalid_bg_color")),
        ({"bg_image_url": "https://a.example/b.jpg"}, ("/bg_image_url", "unsupported_option")),
        ({"bg_image_file": "(a file)"}, ("/bg_image_file", "unsupported_option")),
        ({"colour": "red"}, ("/colour", "unknown_field")),
        ({"size": ["hd"]}, ("/size", "invalid_option")),
    ],
)
def test_the_rest_is_refused_by_name(given: dict[str, Any], error: tuple[str, str]) -> None:
    assert refused(**given) == [error]


def test_two_backgrounds() -> None:
    assert ("/bg_color", "multiple_bg_sources") in refused(bg_color="fff", bg_image_url="https://a.example/b.jpg")


def test_every_parameter_is_in_the_table_of_the_docs() -> None:
    text = PAGE.with_name("compatibility.md").read_text(encoding="utf-8")
    assert [name for name in KNOWN if f"`{name}`" not in text] == []
