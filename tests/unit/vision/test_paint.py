import pytest

from vision.paint import TRANSPARENT, Paint, parse_paint


@pytest.mark.parametrize(
    ("text", "paint", "spelling"),
    [
        ("transparent", TRANSPARENT, "transparent"),
        ("white", Paint((255, 255, 255), 255), "#ffffff"),
        ("RebeccaPurple", Paint((0x66, 0x33, 0x99), 255), "#663399"),
        ("81d4fa", Paint((0x81, 0xD4, 0xFA), 255), "#81d4fa"),
        ("#FFF", Paint((255, 255, 255), 255), "#ffffff"),
        ("#0f08", Paint((0, 255, 0), 0x88), "#00ff0088"),
        ("81d4fa77", Paint((0x81, 0xD4, 0xFA), 0x77), "#81d4fa77"),
        ("81d4fa00", TRANSPARENT, "transparent"),
        ("81d4faff", Paint((0x81, 0xD4, 0xFA), 255), "#81d4fa"),
    ],
)
def test_spellings(text: str, paint: Paint, spelling: str) -> None:
    assert parse_paint(text) == paint
    assert str(paint) == spelling
    assert parse_paint(spelling) == paint


@pytest.mark.parametrize(
    "text", ["", "#", "ff", "#fffff", "fffffff", "gruen", "rgb(1,2,3)", "#ggg", "#ffffffff0", "#\uff11\uff12\uff13"]
)
def test_others_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a colour"):
        parse_paint(text)
