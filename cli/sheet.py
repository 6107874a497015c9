"""A contact sheet: before, on a checkerboard, on white; one row a photo."""

from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

_CELL_WH = (480, 360)
_GAP_PX = 16
_CAPTION_PX = 52
_SQUARE_PX = 12
_GREYS = (255, 204)
_INK = (30, 30, 30)
_PAPER = (236, 236, 236)


@dataclass(frozen=True)
class SheetRow:
    """One photo: as it was, cut out (RGBA), and two lines about it."""

    before: Image.Image
    cutout: Image.Image
    caption: tuple[str, str]


def contact_sheet(rows: list[SheetRow]) -> Image.Image:
    """RGB picture of all rows."""
    cells = [_cells(row) for row in rows]
    height = _GAP_PX + sum(each[0].height + _CAPTION_PX + _GAP_PX for each in cells)
    sheet = Image.new("RGB", (3 * _CELL_WH[0] + 4 * _GAP_PX, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    top = _GAP_PX
    for row, pictures in zip(rows, cells, strict=True):
        for column, picture in enumerate(pictures):
            left = _GAP_PX + column * (_CELL_WH[0] + _GAP_PX)
            sheet.paste(picture, (left + (_CELL_WH[0] - picture.width) // 2, top))
        top += pictures[0].height
        for line, (text, size) in enumerate(zip(row.caption, (19, 15), strict=True)):
            draw.text((_GAP_PX, top + 5 + line * 25), text, _INK, font=ImageFont.load_default(size))
        top += _CAPTION_PX + _GAP_PX
    return sheet


def before_after(before: Image.Image, cutout: Image.Image) -> Image.Image:
    """The three pictures of one photo side by side, without words: for the README."""
    cells = _cells(SheetRow(before, cutout, ("", "")))
    strip = Image.new("RGB", (sum(cell.width for cell in cells) + 2 * _GAP_PX, cells[0].height), "white")
    left = 0
    for cell in cells:
        strip.paste(cell, (left, 0))
        left += cell.width + _GAP_PX
    return strip


def _cells(row: SheetRow) -> list[Image.Image]:
    before, small = row.before.convert("RGB"), row.cutout.convert("RGBA")
    before.thumbnail(_CELL_WH, Image.Resampling.LANCZOS)
    small = small.resize(before.size, Image.Resampling.LANCZOS)
    return [before, *(_over(small, ground) for ground in (_checkerboard(small.size), _white(small.size)))]


def _over(cutout: Image.Image, ground: Image.Image) -> Image.Image:
    ground.paste(cutout, (0, 0), cutout)
    return ground


def _white(wh: tuple[int, int]) -> Image.Image:
    return Image.new("RGB", wh, "white")


def _checkerboard(wh: tuple[int, int]) -> Image.Image:
    tile = Image.new("L", (2 * _SQUARE_PX, 2 * _SQUARE_PX), _GREYS[0])
    for corner in ((0, 0), (_SQUARE_PX, _SQUARE_PX)):
        tile.paste(_GREYS[1], (*corner, corner[0] + _SQUARE_PX, corner[1] + _SQUARE_PX))
    board = Image.new("L", wh)
    for top in range(0, wh[1], tile.height):
        for left in range(0, wh[0], tile.width):
            board.paste(tile, (left, top))
    return board.convert("RGB")
