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
        ({"background": "nocolour"}, ("/background", "invalid_bg_color")),
        ({"roi": "0 0 1"}, ("/roi", "invalid_roi")),
    ],
)
def test_what_is_refused(given: dict[str, Any], error: tuple[str, str]) -> None:
    assert judge(**given)[1] == [error]
