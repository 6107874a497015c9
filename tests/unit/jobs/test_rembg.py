"""Every parameter of rembg's server works or is refused with a code."""

from typing import Any

import pytest

from jobs.errors import JobError
from jobs.rembg import translate


def ask(**given: Any) -> dict[str, Any]:
    return translate(given, models={"unet-fast"}).output


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ({}, {}),
        ({"a": "true", "af": "240", "ab": "10", "ae": "10", "ppm": "false", "extras": "{}"}, {}),
        ({"om": "true"}, {"channels": "alpha"}),
        ({"bgc": "255, 0,128,255"}, {"background": "#ff0080ff"}),
        ({"model": "unet-fast"}, {}),
    ],
)
def test_what_works(given: dict[str, str], output: dict[str, Any]) -> None:
    assert ask(**given) == {"format": "png", **output}


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"model": "u2net"}, ("/model", "unknown_model")),
        ({"a": "maybe"}, ("/a", "invalid_option")),
        ({"af": "200"}, ("/af", "unsupported_option")),
        ({"ab": "20"}, ("/ab", "unsupported_option")),
        ({"ae": "1"}, ("/ae", "unsupported_option")),
        ({"ppm": "true"}, ("/ppm", "unsupported_option")),
        ({"extras": '{"sam_prompt": []}'}, ("/extras", "unsupported_option")),
        ({"bgc": "255,255,255"}, ("/bgc", "invalid_bg_color")),
        ({"bgc": "256,0,0,0"}, ("/bgc", "invalid_bg_color")),
        ({"bgc": "1,1,1,1", "om": "true"}, ("/bgc", "invalid_bg_color")),
        ({"x": "1"}, ("/x", "unknown_field")),
    ],
)
def test_what_is_refused(given: dict[str, str], error: tuple[str, str]) -> None:
    with pytest.raises(JobError) as raised:
        ask(**given)
    assert [(each.pointer, each.code) for each in raised.value.errors] == [error]
