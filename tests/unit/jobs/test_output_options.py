"""Options of an output besides its frame: channels, region, paint, zip."""

from typing import Any

import pytest

from jobs.output_params import OutputParams, parse_output


def judge(**given: Any) -> tuple[OutputParams, list[tuple[str, str]]]:
    params, errors = parse_output(given, max_megapixels=50)
    return params, [(error.pointer, error.code) for error in errors]


def test_what_is_good() -> None:
    params, errors = judge(format="webp", background="81d4fa77", roi="0 0 50% 50%")
    assert not errors
    assert (params.background, params.roi, params.channels) == ("#81d4fa77", "0 0 50% 50%", "rgba")
    assert judge(format="zip", quality=80) == (OutputParams(format="zip", quality=80), [])
    assert judge(format="AVIF", max_bytes=5_000_000)[0] == OutputParams(format="avif", max_bytes=5_000_000)
    assert judge(format="webp", lossless=True)[0] == OutputParams(format="webp", lossless=True)
    assert [judge(format=word)[0].format for word in ("jpeg", "tif", "PNG8")] == ["jpg", "tiff", "png8"]
    assert judge(format="tiff", channels="alpha", depth=16)[0].depth == 16
    assert judge(format="zip", depth=16)[1] == []
    assert judge(format="jpg", channels="alpha")[0].background == "transparent"
    assert judge(format="jpg", background="hotpink")[0].background == "#ff69b4"
    assert OutputParams.from_json(params.to_json()) == params


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"channels": "rgb"}, ("/channels", "invalid_channels")),
        ({"channels": "alpha", "format": "zip"}, ("/channels", "invalid_channels")),
        ({"channels": "alpha", "background": "white"}, ("/background", "invalid_bg_color")),
        ({"format": "zip", "background": "white"}, ("/background", "invalid_bg_color")),
        ({"format": "jpg", "background": "#ffffff80"}, ("/background", "invalid_bg_color")),
        ({"format": "gif"}, ("/format", "invalid_format")),
        ({"format": "png8", "quality": 90}, ("/quality", "invalid_quality")),
        ({"format": "jpg", "quality": 49}, ("/quality", "invalid_quality")),
        ({"format": "webp", "quality": 90, "lossless": True}, ("/quality", "invalid_quality")),
        ({"format": "jpg", "lossless": True}, ("/lossless", "invalid_lossless")),
        ({"max_bytes": 999}, ("/max_bytes", "invalid_max_bytes")),
        ({"max_bytes": 10**40}, ("/max_bytes", "invalid_max_bytes")),
        ({"depth": 12, "channels": "alpha"}, ("/depth", "invalid_depth")),
        ({"depth": 0, "channels": "alpha"}, ("/depth", "invalid_depth")),
        ({"depth": 16}, ("/depth", "invalid_depth")),
        ({"depth": 16, "channels": "alpha", "format": "webp"}, ("/depth", "invalid_depth")),
        ({"background": "nocolour"}, ("/background", "invalid_bg_color")),
        ({"roi": "0 0 1"}, ("/roi", "invalid_roi")),
    ],
)
def test_what_is_refused(given: dict[str, Any], error: tuple[str, str]) -> None:
    assert judge(**given)[1] == [error]
