"""The report: one HTML page that needs nothing beside it, with the worst cases as pictures side by side."""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from training.evaluation.figures import FIGURES
from training.evaluation.run import Evaluation, PhotoResult
from training.evaluation.summary import ALL, POOR_IOU, groups
from vision.arrays import RgbaImage, RgbImage

WORST = 4
"""Photos shown of each source."""
SLICE_FIGURES = ("iou", "biou", "wf", "mae", "grad", "fringe_white")
"""Of the tables by slice; the first table has all figures."""
_CHECKER_PX = 8
_CHECKER = (np.uint8(205), np.uint8(245))
_MARKS = {
    "win": "<b class=win title='significantly better'>▲</b>",
    "loss": "<b class=loss title='significantly worse'>▼</b>",
}

_INTRODUCTION = (
    "<p>{} photos, runtime {}, {} threads. <b>network</b> is the network alone: its logits upsampled. <b>product</b> "
    "is what Packshot delivers: refined, with the foreground's colours. Small numbers are 95 % bootstrap intervals.</p>"
)

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:1240px;padding:0 1rem;color:#1d2129}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.6rem 0}
th,td{padding:.28rem .6rem;border-bottom:1px solid #dfe3e8;text-align:right;vertical-align:top}
th:first-child,td:first-child{text-align:left}th{background:#f4f6f8;font-weight:600}
small{color:#667085;display:block;font-size:.78em}
.win{color:#0a7d38}.loss{color:#b42318}
.wide{overflow-x:auto}.worst{display:grid;gap:.5rem;margin:.5rem 0 1.4rem}
figure{margin:0}figcaption{font-size:.78rem;color:#475467;overflow-wrap:anywhere}
img{width:100%;height:170px;object-fit:contain;background:#eef0f3;border-radius:4px}
dl{columns:2;font-size:.88rem}dt{font-weight:600;display:inline}dd{display:inline;margin:0}dd::after{content:"";display:block}
"""


def render(evaluation: Evaluation, summary: Mapping[str, Any]) -> str:
    """The page of an evaluation and its summary (`training.evaluation.summary`)."""
    title = f"{evaluation.model_id} on {evaluation.split}"
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<meta name=viewport content='width=device-width'><title>{escape(title)}</title><style>{_STYLE}</style>",
        f"<h1>{escape(title)}</h1>",
        _INTRODUCTION.format(len(evaluation.photos), escape(evaluation.runtime), evaluation.threads),
        _columns(evaluation),
        "<h2>All photos</h2>",
        _overview(evaluation, summary),
        "<p>▲ and ▼ stand at a peer where the product is significantly better or worse (paired bootstrap, 95 %).</p>",
        *(_dimension(evaluation, summary, name) for name in summary["slices"] if name != ALL),
        "<h2>Worst cases</h2>",
        *_worst(evaluation),
        "<h2>Figures</h2><dl>",
        *(f"<dt>{escape(figure.label)}</dt> <dd>{escape(figure.meaning)}</dd>" for figure in FIGURES.values()),
        "</dl></html>",
    ]
    return "\n".join(parts)


def _columns(evaluation: Evaluation) -> str:
    rows = [(title.name, title.kind, title.model, title.sha256[:16]) for title in evaluation.titles]
    return _table(("column", "kind", "model", "sha256"), ([escape(cell) for cell in row] for row in rows))


def _overview(evaluation: Evaluation, summary: Mapping[str, Any]) -> str:
    """Every figure and the time of every candidate: one table."""
    titles, timings, ratios = evaluation.titles, evaluation.timings, summary["forward_ratios"]
    found, poor = summary["slices"][ALL][ALL]["figures"], summary["slices"][ALL][ALL]["poor"]
    outcomes = _outcomes(summary, ALL, ALL)
    rows = []
    for name, figure in FIGURES.items():
        cells = [_cell(found[each.name][name], figure.digits, outcomes(each.name, name)) for each in titles]
        rows.append([f"{escape(figure.label)} {'↑' if figure.is_better_high else '↓'}", *cells])
    whole = ["" if each.kind == "network" else f"{timings[each.model].whole_ms:.0f}" for each in titles]
    rows += [
        [f"IoU under {POOR_IOU}", *(str(poor[each.name]) for each in titles)],
        ["one forward, ms", *(f"{timings[each.model].forward_ms:.0f}" for each in titles)],
        ["photo to matte, ms", *whole],
        ["forward, times ours", *(f"{ratios.get(each.model, 1.0):.1f}" for each in titles)],
    ]
    return _table(("figure", *(escape(each.name) for each in titles)), rows)


def _dimension(evaluation: Evaluation, summary: Mapping[str, Any], dimension: str) -> str:
    rows = []
    for name, part in summary["slices"][dimension].items():
        outcomes = _outcomes(summary, dimension, name)
        for number, title in enumerate(evaluation.titles):
            figures = part["figures"][title.name]
            cells = [_cell(figures[key], FIGURES[key].digits, outcomes(title.name, key)) for key in SLICE_FIGURES]
            first = f"<b>{escape(name)}</b><small>{part['n']} photos</small>" if number == 0 else ""
            rows.append([first, escape(title.name), *cells, str(part["poor"][title.name])])
    heads = [f"{FIGURES[key].label} {'↑' if FIGURES[key].is_better_high else '↓'}" for key in SLICE_FIGURES]
    return f"<h2>By {escape(dimension)}</h2>" + _table(("slice", "column", *heads, f"IoU < {POOR_IOU}"), rows)


def _outcomes(summary: Mapping[str, Any], dimension: str, name: str) -> Callable[[str, str], str]:
    """(candidate, figure) -> the mark of the product against that candidate, at the candidate's cell."""
    pairs = summary["paired"].get(dimension, {}).get(name, {}).get("product", {})

    def mark(candidate: str, figure: str) -> str:
        compared = pairs.get(candidate)
        return "" if compared is None else _MARKS.get(compared[figure]["outcome"], "")

    return mark


def _cell(found: Mapping[str, Any], digits: int, mark: str) -> str:
    if found["mean"] is None:
        return "none"
    return f"{found['mean']:.{digits}f} {mark}<small>{found['low']:.{digits}f} to {found['high']:.{digits}f}</small>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{cell}" for cell in heads)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}" for cell in row) for row in rows)
    return f"<div class=wide><table><tr>{head}\n{body}</table></div>"


def _worst(evaluation: Evaluation) -> Iterable[str]:
    """The photos of each source with the product's least IoU."""
    product = evaluation.titles[1].name
    for dimension, source, photos in groups(evaluation.photos):
        if dimension != "source":
            continue
        yield f"<h3>{escape(source)}</h3>"
        for photo in sorted(photos, key=lambda each: each.figures[product]["iou"])[:WORST]:
            yield _side_by_side(evaluation, photo)


def _side_by_side(evaluation: Evaluation, photo: PhotoResult) -> str:
    small = photo.thumbnails
    pictures = [(photo.name, small.photo), ("truth", on_checker(small.truth))]
    for title in evaluation.titles:
        figures = photo.figures[title.name]
        caption = f"{title.name}: IoU {figures['iou']:.3f}, BIoU {figures['biou']:.3f}"
        pictures.append((caption, on_checker(small.made[title.name])))
    cells = "".join(
        f"<figure><img alt='{escape(caption, quote=True)}' src='{_data_url(picture)}'>"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, picture in pictures
    )
    return f"<div class=worst style='grid-template-columns:repeat({len(pictures)},1fr)'>{cells}</div>"


def on_checker(picture: RgbaImage) -> RgbImage:
    """(H, W, 4) straight alpha over a checkerboard -> (H, W, 3) uint8: what was cut away shows."""
    y, x = np.indices(picture.shape[:2]) // _CHECKER_PX
    ground = np.where((y + x) % 2, *_CHECKER)[..., None]
    alpha = picture[..., 3:].astype(np.float32) / np.float32(255)
    flat: RgbImage = np.rint(picture[..., :3] * alpha + ground * (1 - alpha)).astype(np.uint8)
    return flat


def _data_url(picture: RgbImage) -> str:
    out = BytesIO()
    Image.fromarray(picture).save(out, "WEBP", quality=82)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()
