"""An evaluation as Markdown, for the terminal and for a model card."""

from collections.abc import Iterator, Mapping
from typing import Any

from training.evaluation.figures import FIGURES
from training.evaluation.summary import ALL, POOR_IOU

CARD_FIGURES = ("iou", "biou", "wf", "mae", "grad", "fringe_white")
OTHER_FIGURES = tuple(name for name in FIGURES if name not in CARD_FIGURES)
_WORDS = {"win": " +", "loss": " -", "tie": ""}


def by_source(summary: Mapping[str, Any]) -> str:
    """Mean figures of every source and candidate, with the product's significant wins (+) and losses (-)."""
    heads = ["part", "n", "model", *(FIGURES[name].label for name in CARD_FIGURES), f"IoU < {POOR_IOU}"]
    lines = [_row(heads), _row(["---"] * len(heads))]
    for name, part, candidate, cells in _cells(summary, CARD_FIGURES):
        lines.append(_row([name, str(part["n"]), candidate, *cells, str(part["poor"][candidate])]))
    return "\n".join(lines)


def others_by_source(summary: Mapping[str, Any]) -> str:
    """The figures that `by_source` leaves out, of the products and the peers, marked alike."""
    heads = ["part", "model", *(FIGURES[name].label for name in OTHER_FIGURES)]
    lines = [_row(heads), _row(["---"] * len(heads))]
    networks = {title["name"] for title in summary["candidates"] if title["kind"] == "network"}
    for name, _, candidate, cells in _cells(summary, OTHER_FIGURES):
        if candidate not in networks:
            lines.append(_row([name, candidate, *cells]))
    return "\n".join(lines)


def intervals(summary: Mapping[str, Any], figures: tuple[str, ...] = ("iou", "biou")) -> str:
    """The product's figures with their intervals, by every slice."""
    heads = ["slice", "n", *(f"{FIGURES[name].label} of the product" for name in figures)]
    lines = [_row(heads), _row(["---"] * len(heads))]
    for dimension, parts in summary["slices"].items():
        for name, part in parts.items():
            found = part["figures"]["product"]
            cells = [f"{_mean(found[key], key)} ({_bounds(found[key], key)})" for key in figures]
            lines.append(_row([name if dimension == ALL else f"{dimension}: {name}", str(part["n"]), *cells]))
    return "\n".join(lines)


def times(summary: Mapping[str, Any]) -> str:
    """Quality and milliseconds of every candidate in one table."""
    heads = ["model", "IoU", "BIoU", "Grad", "one forward, ms", "photo to matte, ms", "forward, times ours"]
    lines = [_row(heads), _row(["---"] * len(heads))]
    found = summary["slices"][ALL][ALL]["figures"]
    for title in summary["candidates"]:
        timing, figures = summary["timings"][title["model"]], found[title["name"]]
        whole = "" if title["kind"] == "network" else f"{timing['whole_ms']:.0f}"
        ratio = summary["forward_ratios"].get(title["model"], 1.0)
        quality = [_mean(figures[key], key) for key in ("iou", "biou", "grad")]
        lines.append(_row([title["name"], *quality, f"{timing['forward_ms']:.0f}", whole, f"{ratio:.1f}"]))
    return "\n".join(lines)


def _cells(
    summary: Mapping[str, Any], figures: tuple[str, ...]
) -> Iterator[tuple[str, Mapping[str, Any], str, list[str]]]:
    """(source or `all`, its slice, candidate, marked means) of every source and candidate."""
    parts = {**summary["slices"]["source"], ALL: summary["slices"][ALL][ALL]}
    for name, part in parts.items():
        dimension = ALL if name == ALL else "source"
        pairs = summary["paired"].get(dimension, {}).get(name, {}).get("product", {})
        for candidate, found in part["figures"].items():
            yield (
                name,
                part,
                candidate,
                [_mean(found[key], key) + _WORDS[_outcome(pairs, candidate, key)] for key in figures],
            )


def _outcome(pairs: Mapping[str, Any], candidate: str, figure: str) -> str:
    return str(pairs[candidate][figure]["outcome"]) if candidate in pairs else "tie"


def _mean(found: Mapping[str, Any], figure: str) -> str:
    return "none" if found["mean"] is None else f"{found['mean']:.{FIGURES[figure].digits}f}"


def _bounds(found: Mapping[str, Any], figure: str) -> str:
    if found["mean"] is None:
        return "none"
    return f"{found['low']:.{FIGURES[figure].digits}f} to {found['high']:.{FIGURES[figure].digits}f}"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
