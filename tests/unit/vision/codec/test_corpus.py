"""Hundreds of files of every kind, each against the drawing that it was made of, or against its code."""

import warnings
from collections import Counter
from itertools import chain

import numpy as np
import pytest

from tests.corpus.damaged import FAMILIES
from tests.corpus.sample import Sample
from vision.codec.decode import Decoded, decode
from vision.codec.header import ImageHeader, Limits, probe
from vision.errors import ImageError

LIMITS = Limits()
CORPUS = {name: list(samples()) for name, samples in FAMILIES.items()}


def test_the_corpus_is_large_and_nothing_is_in_it_twice() -> None:
    names = Counter(sample.name for sample in chain(*CORPUS.values()))
    assert names.total() >= 600
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("family", CORPUS)
def test_each_file_gives_its_picture_or_its_code(family: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # of damaged metadata, as in the decoder process
        wrong = {sample.name: problem for sample in CORPUS[family] if (problem := _problem(sample))}
    assert wrong == {}


def _problem(sample: Sample) -> str | None:
    """What is wrong with what comes of a file; None where nothing is."""
    header = None
    try:
        header = probe(sample.data, LIMITS, animated=sample.animated)
        decoded = decode(sample.data, LIMITS, animated=sample.animated)
    except ImageError as error:
        if error.code != sample.code:
            return f"{error} caused by {error.__cause__!r}"
        return "refused later than by its header" if sample.at_header and header is not None else None
    if sample.image is None:
        return f"read as {decoded.facts}"
    return _difference(sample, sample.image, header, decoded)


def _difference(sample: Sample, image: np.ndarray, header: ImageHeader, decoded: Decoded) -> str | None:
    if decoded.image.shape != image.shape or header.upright_hw != image.shape[:2]:
        return f"{decoded.image.shape}, and {header.upright_hw} by its header"
    if (worst := np.abs(decoded.image.astype(int) - image).max()) > sample.within:
        return f"off by {worst}"
    if (decoded.alpha is None) != (sample.alpha is None):
        return "alpha"
    if decoded.alpha is not None and np.abs(decoded.alpha.astype(int) - sample.alpha).max() > sample.within:
        return "alpha is off"
    if header.format != decoded.facts.format or sample.icc not in {None, decoded.facts.icc}:
        return f"{decoded.facts}"
    return None
