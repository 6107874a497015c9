"""Pixels of the TIFFs that Pillow would read with a loss: of 16 bits a channel, and CMYK with alpha.

Pillow, and libtiff in it, unpacks grey of any depth whole. So the picture is described anew, by a directory of its own
behind the file: as a grey one with a column for each sample. Strips and tiles stay where they are, and the decoder
that reads all other TIFFs unpacks these too. What the new description leaves out is done here: the predictor
(TIFF 6.0, section 14), premultiplied colours, and what each channel is. Memory: the samples, and one strip or tile.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from vision.codec.depth import to_8_bits
from vision.codec.tiff import CHANNELS, Alpha, find_alpha
from vision.codec.tiff_tags import LAYOUTS, Entry, Tag, TagReader, Tags

_Samples: TypeAlias = NDArray[np.unsignedinteger[Any]]

_KEPT: Final = (Tag.COMPRESSION, Tag.FILL_ORDER, Tag.ROWS_PER_STRIP, Tag.TILE_HEIGHT, Tag.ICC)
_PARTS: Final = (Tag.STRIP_OFFSETS, Tag.STRIP_BYTES, Tag.TILE_OFFSETS, Tag.TILE_BYTES)
_PREDICTED: Final = frozenset({5, 8, 32946})
"""Compressions that a predictor may stand behind: LZW and deflate."""
_DIFFERENCES: Final = 2
_SEPARATE: Final = 2
_BLACK_IS_ZERO: Final = 1
_SHORT, _LONG = 3, 4
_STRIP_ROWS: Final = 128


class SampledPicture(NamedTuple):
    """Colour of mode L, RGB or CMYK as stored (not turned), alpha of mode L if any, and the ICC profile."""

    colour: Image.Image
    alpha: Image.Image | None
    icc_profile: bytes | None


@dataclass(frozen=True)
class _Layout:
    width: int
    height: int
    bits: int
    samples: int
    colours: int
    alpha: Alpha | None
    is_separate: bool
    tile_width: int | None
    is_predicted: bool

    @property
    def columns(self) -> int:
        """Columns of the grey picture, for one of its columns as it is meant."""
        return 1 if self.is_separate else self.samples


def read_samples(data: bytes, *, is_inverted: bool) -> SampledPicture:
    """Read a TIFF that passed the header check with `by_samples`.

    Raises what Pillow raises on damaged files: `vision.codec.header.UNREADABLE`.
    """
    reader = TagReader(BytesIO(data))
    entries, _ = reader.entries(reader.first)
    layout = _layout_of(reader.numbers(entries))
    planes = [
        _unpack(_as_grey(data, reader, entries, layout, plane))
        for plane in range(layout.samples if layout.is_separate else 1)
    ]
    icc_profile = planes[0].info.get("icc_profile")
    levels = np.empty((layout.height, layout.width, layout.colours), np.uint8)
    opacity = None if layout.alpha is None else np.empty((layout.height, layout.width), np.uint8)
    for top in range(0, layout.height, _STRIP_ROWS):
        strip = slice(top, top + _STRIP_ROWS)
        samples = _rows(planes, layout, top)
        if layout.alpha is not None and opacity is not None:
            opacity[strip] = _to_8_bits(samples[..., layout.alpha.channel])
        colour = _to_8_bits(_straight(samples, layout))
        levels[strip] = 255 - colour if is_inverted else colour
    planes.clear()  # before Pillow copies the levels
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[layout.colours]
    colour_image = Image.fromarray(levels[..., 0] if mode == "L" else levels, mode)
    return SampledPicture(colour_image, None if opacity is None else Image.fromarray(opacity), icc_profile)


def _layout_of(tags: Tags) -> _Layout:
    photometric = tags[Tag.PHOTOMETRIC][0]
    compression = tags.get(Tag.COMPRESSION, (1,))[0]
    return _Layout(
        width=tags[Tag.WIDTH][0],
        height=tags[Tag.HEIGHT][0],
        bits=tags[Tag.BITS][0],
        samples=tags.get(Tag.SAMPLES, (1,))[0],
        colours=CHANNELS[photometric],
        alpha=find_alpha(tags),
        is_separate=tags.get(Tag.PLANAR, (1,))[0] == _SEPARATE,
        tile_width=tags[Tag.TILE_WIDTH][0] if Tag.TILE_WIDTH in tags else None,
        is_predicted=tags.get(Tag.PREDICTOR, (1,))[0] == _DIFFERENCES and compression in _PREDICTED,
    )


def _as_grey(data: bytes, reader: TagReader, entries: dict[int, Entry], layout: _Layout, plane: int) -> bytes:
    """The file with another first directory: a grey picture of `columns` times the width, or of one plane."""
    order = reader.order
    values: dict[int, tuple[int, int, bytes]] = {}
    for tag, number in (
        (Tag.WIDTH, layout.width * layout.columns),
        (Tag.HEIGHT, layout.height),
        (Tag.BITS, layout.bits),
        (Tag.PHOTOMETRIC, _BLACK_IS_ZERO),
        (Tag.SAMPLES, 1),
    ):
        values[tag] = (_LONG, 1, struct.pack(order + "I", number))
    if layout.tile_width is not None:
        values[Tag.TILE_WIDTH] = (_LONG, 1, struct.pack(order + "I", layout.tile_width * layout.columns))
    for tag in (*_KEPT, *_PARTS):
        if tag in entries:
            kind, count, at = entries[tag]
            size = struct.calcsize(order + LAYOUTS[kind])
            if tag in _PARTS and layout.is_separate:
                count //= layout.samples
                at += plane * count * size
            values[tag] = (kind, count, data[at : at + count * size])
    return _with_directory(data, reader, values)


def _with_directory(data: bytes, reader: TagReader, values: dict[int, tuple[int, int, bytes]]) -> bytes:
    out = bytearray(data)
    directory = b""
    for tag, (kind, count, body) in sorted(values.items()):
        directory += struct.pack(f"{reader.order}HH{reader.offset}", tag, kind, count)
        if len(body) <= reader.field_bytes:
            directory += body.ljust(reader.field_bytes, b"\0")
        else:
            out += bytes(len(out) % 2)
            directory += struct.pack(reader.order + reader.offset, len(out))
            out += body
    out += bytes(len(out) % 2)
    struct.pack_into(reader.order + reader.offset, out, reader.first_at, len(out))
    out += struct.pack(reader.order + ("Q" if reader.is_big else "H"), len(values)) + directory
    return bytes(out + bytes(8))


def _unpack(data: bytes) -> Image.Image:
    # Neither by Image.open nor into memory of its own: Pillow's fence against bombs would count the columns. The
    # picture's own size has been held against the limits.
    image = TiffImagePlugin.TiffImageFile(BytesIO(data))
    image.im = Image.new(image.mode, image.size).im
    image.load()
    return image


def _rows(planes: Sequence[Image.Image], layout: _Layout, top: int) -> _Samples:
    """A strip of samples (h, W, S) as they were before a predictor."""
    box = (0, top, planes[0].width, min(top + _STRIP_ROWS, layout.height))
    strips = [np.asarray(plane.crop(box)) for plane in planes]
    stored: _Samples = np.stack(strips, axis=-1) if layout.is_separate else strips[0]
    native = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    samples = native.reshape(len(native), layout.width, layout.samples)
    if not layout.is_predicted:
        return samples
    whole = np.empty_like(samples)
    span = layout.tile_width or layout.width
    for left in range(0, layout.width, span):
        columns = slice(left, left + span)
        np.cumsum(samples[:, columns], axis=1, dtype=samples.dtype, out=whole[:, columns])
    return whole


def _straight(samples: _Samples, layout: _Layout) -> _Samples:
    """Colours (h, W, C) without the alpha that they were multiplied by."""
    colours = samples[..., : layout.colours]
    if layout.alpha is None or not layout.alpha.is_premultiplied:
        return colours
    most = (1 << layout.bits) - 1
    alpha = np.maximum(samples[..., layout.alpha.channel, None], 1).astype(np.uint32)
    straight = (colours.astype(np.uint32) * most + alpha // 2) // alpha
    capped: _Samples = np.minimum(straight, most).astype(samples.dtype)
    return capped


def _to_8_bits(samples: _Samples) -> NDArray[np.uint8]:
    return to_8_bits(samples) if samples.dtype == np.uint16 else samples.astype(np.uint8, copy=False)
