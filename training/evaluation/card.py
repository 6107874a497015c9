"""The parts of a model card that commands write: between two comments that name the part."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.evaluation import tables
from training.evaluation.calibration import (
    FOUND_IOU,
    GOOD_IOU,
    GROUPS,
    LOST_TO_FAIL,
    POOR_AMONG_PASSED,
    POOR_IOU,
    VERDICTS,
    Reliability,
    Share,
)
from training.evaluation.candidates import Found
from training.evaluation.summary import ALL
from vision.calibration import Calibration
from vision.segmenters.network import build_network

FRINGE = (
    "Fringe compares the edge with the product's true colours where the data has them; elsewhere with those that "
    "Packshot's\nown estimator finds by the true alpha. That favours `product`, which delivers colours of the same "
    "estimator, over the network\nand the peers, whose mattes are shown with the photo's own colours."
)
"""How the figure leans, beside every table that shows it."""


class CardError(Exception):
    """The card has no such part; the message says what to write there."""


def fill(path: Path, part: str, text: str) -> None:
    """Replace what stands between `<!-- PART: ... -->` and `<!-- end of PART -->` in a Markdown file. CardError."""
    card = path.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {part}: [^\n]*-->\n).*?(<!-- end of {part} -->)", re.DOTALL)
    filled, count = pattern.subn(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", card)
    if count != 1:
        raise CardError(f"{path} needs one part `<!-- {part}: written by packshot -->` … `<!-- end of {part} -->`")
    path.write_text(filled, encoding="utf-8")


def identity(found: Found) -> str:
    """What a model is, as a table: architecture, input, weights, checksum."""
    spec = found.spec
    parameters = sum(each.numel() for each in build_network(spec).parameters())
    weights = found.folder / f"{spec.file_stem}.safetensors"
    decoder = "-".join(str(width) for width in spec.decoder_channels)
    looks = "once" if spec.looks == 1 else "twice: then mirrored, and nearer where the first look found the product"
    rows = {
        "model": f"`{spec.model_id}`",
        "architecture": f"{spec.architecture}, encoder `{spec.encoder}`, decoder {decoder}",
        "parameters": f"{parameters / 1e6:.1f} M",
        "input": f"RGB, letterboxed to {spec.canvas_hw[0]} x {spec.canvas_hw[1]} px, grey (128) beside the photo; "
        "normalisation is inside the network",
        "looks at a photo": looks,
        "output": "logits at the canvas resolution",
        "weights": f"`{weights.name}`, half precision, {weights.stat().st_size / 1e6:.1f} MB",
        "sha256": f"`{spec.weights_sha256}`",
    }
    return "\n".join(["| | |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in rows.items())])


def figures(summary: Mapping[str, Any]) -> str:
    """Quality, wins and losses, intervals and times."""
    head = (
        f"{summary['model']} on {summary['slices'][ALL][ALL]['n']} photos of `{summary['split']}`, runtime "
        f"{summary['runtime']}, {summary['threads']} threads.\n`network` is what the network's looks give, `product` "
        "what is delivered: refined, with the foreground's colours.\nAt a peer, + says that the product is "
        "significantly better and - that it is worse (paired bootstrap, 95 %)."
    )
    tail = "Of the product, with 95 % bootstrap intervals over photos:"
    tabulated = (
        tables.by_source(summary),
        FRINGE,
        "The other figures:",
        tables.others_by_source(summary),
        "Times of one photo, medians:",
        tables.times(summary),
    )
    return "\n\n".join((head, *tabulated, tail, tables.intervals(summary)))


def verdict(model_id: str, calibration: Calibration, reliability: Reliability, *, without: Sequence[str] = ()) -> str:
    """The score, its reliability curve, the limits and what they do. `without`: sources that were left out."""
    curve = ["| score, mean of the bin | photos | IoU >= 0.9 |", "| --- | --- | --- |"]
    curve += [f"| {each.score:.3f} | {each.good.n} | {_share(each.good)} |" for each in reliability.bins]
    counts = ["| verdict by score | " + " | ".join(GROUPS) + " |", "| --- " * (len(GROUPS) + 1) + "|"]
    for name in VERDICTS:
        row = " | ".join(str(reliability.counts[name][group]) for group in GROUPS)
        counts += [f"| {name} | {row} |"]
    error = reliability.expected_calibration_error
    shares = {
        f"poor (IoU under {POOR_IOU}) among the passed": reliability.poor_among_passed,
        f"found (IoU from {FOUND_IOU}) but failed": reliability.found_but_failed,
        "photos without a product failed": reliability.empties_failed,
    }
    parts = (
        _basis(model_id, calibration, without),
        "\n".join(curve),
        f"Brier score {reliability.brier:.3f}, expected calibration error {error:.3f}.",
        _limits(calibration),
        "\n".join(counts),
        "\n".join(f"- {name}: {_share(share)}" for name, share in shares.items()),
    )
    return "\n\n".join(parts)


def _basis(model_id: str, calibration: Calibration, without: Sequence[str]) -> str:
    left_out = f"\nLeft out: {', '.join(without)}." if without else ""
    return (
        f"Of {model_id}, on {calibration.photos} development photos and {calibration.empties} held-out photos "
        f"without a product.{left_out}\nThe score is sigmoid({calibration.slope:.3f} x logit(confidence) "
        f"{calibration.intercept:+.3f}), the chance of an IoU of at least {GOOD_IOU};\nconfidence is the IoU that the "
        "network itself expects of its mask. Every count here is of photos that neither\nthe curve nor the limits have "
        "seen (nested cross-validation, 5 outer and 5 inner folds); in brackets 95 % Wilson intervals."
    )


def _limits(calibration: Calibration) -> str:
    return (
        f"A score below {calibration.review_below:.3f} asks for a look: the lowest limit with at most "
        f"{POOR_AMONG_PASSED:.0%} of the passed photos under an IoU of {POOR_IOU}.\nOne below "
        f"{calibration.fail_below:.5f} fails as a photo without a product: as high as losing at most "
        f"{LOST_TO_FAIL:.1%} of the photos\nwith an IoU of at least {FOUND_IOU} allows. Other findings, such as a "
        "touched border, ask for a look whatever the score."
    )


def _share(share: Share) -> str:
    if share.n == 0:
        return "none"
    return f"{share.count} of {share.n}, {share.count / share.n:.1%} ({share.low:.1%} to {share.high:.1%})"
