"""A small drawn data set, in the layout that training reads."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

FIELDS = ("split", "source", "name", "category", "image", "mask", "licence_class", "licence")


def disc(size: int, colour: tuple[int, int, int], centre: tuple[float, float], radius: float):
    """A disc on a grey ground: image (size, size, 3) uint8 and its mask (size, size) uint8."""
    rows, columns = np.mgrid[:size, :size]
    inside = np.hypot(rows - centre[0] * size, columns - centre[1] * size) < radius * size
    image = np.full((size, size, 3), 150, np.uint8)
    image[inside] = colour
    return image, (inside * 255).astype(np.uint8)


def draw_data(folder: Path) -> Path:
    """Four photos, two cut-outs, nine backgrounds and one photo for development."""
    rows = []
    for number in range(4):
        image, mask = disc(96, (40 * number, 200 - 30 * number, 30), (0.4 + 0.05 * number, 0.5), 0.2)
        rows.append(_save(folder, "train", "drawn", f"photo{number}", image, mask))
    for number in range(2):
        image, mask = disc(80, (220, 40, 90 * number), (0.5, 0.5), 0.4)
        rows.append(_save(folder, "train", "rgba-products", f"cut{number}", np.dstack([image, mask]), None))
    for number in range(9):
        plain = np.full((64, 96, 3), 25 * number, np.uint8)
        source = "room" if number % 2 else "surface"
        rows.append(_save(folder, "backgrounds", source, f"back{number}", plain, None))
    rows.append(_save(folder, "dev", "drawn", "dev0", *disc(120, (10, 10, 200), (0.5, 0.5), 0.3)))
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    return folder


def _save(folder, split, source, name, pixels, mask):
    image_file, mask_file = f"{split}-{source}-{name}.png", f"{split}-{source}-{name}-mask.png"
    Image.fromarray(pixels).save(folder / image_file)
    if mask is not None:
        Image.fromarray(mask).save(folder / mask_file)
    column = mask_file if mask is not None else ("(alpha channel)" if pixels.shape[2] == 4 else "")
    licence = "cc0" if source == "drawn" else "research"
    category = "background" if split == "backgrounds" else "product"
    values = (split, source, name, category, image_file, column, licence, "drawn")
    return dict(zip(FIELDS, values, strict=True))
