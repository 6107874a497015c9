import numpy as np
import pytest

from tests.images import coarse_logits, draw
from vision.cutout import ExistingAlpha, is_alpha_used, make_cutout, prepare_subject

HW = (300, 400)


@pytest.fixture(scope="module")
def drawing():
    return draw("disc", "plain", HW)


def test_photo_without_alpha(drawing):
    subject = prepare_subject(drawing.image, None)
    assert subject.needs_network
    made = make_cutout(subject, coarse_logits(drawing.alpha))
    assert np.abs(made.alpha - drawing.alpha).mean() < 0.004
    assert made.foreground.shape == drawing.image.shape
    assert made.facts.confidence is not None
    assert set(made.stage_s) == {"refine", "foreground", "qc"}
    assert min(made.stage_s.values()) > 0


@pytest.mark.parametrize("rule", list(ExistingAlpha))
def test_an_opaque_alpha_counts_for_nothing(drawing, rule):
    opaque = np.ones(HW, np.float32)
    opaque[0, 0] = 0.5  # one pixel of many
    assert not is_alpha_used(opaque)
    subject = prepare_subject(drawing.image, opaque, rule)
    assert subject.needs_network
    assert subject.own_alpha is None
    assert subject.seen is drawing.image


def test_auto_keeps_a_used_alpha_and_its_colours(drawing):
    subject = prepare_subject(drawing.image, drawing.alpha)
    assert not subject.needs_network
    made = make_cutout(subject, None)
    assert np.abs(made.alpha - drawing.alpha).max() <= 0.5 / 255 + 1e-6
    assert made.foreground is drawing.image
    assert made.facts.confidence is None


def test_ignore_lays_the_photo_over_white(drawing):
    subject = prepare_subject(drawing.image, drawing.alpha, ExistingAlpha.IGNORE)
    assert subject.needs_network
    assert (subject.image[drawing.alpha == 0] == 255).all()
    assert subject.own_alpha is None


def test_multiply_leaves_no_more_than_either(drawing):
    half = drawing.alpha.copy()
    half[:, :200] = 0
    subject = prepare_subject(drawing.image, half, ExistingAlpha.MULTIPLY)
    assert (subject.seen[half == 0] == 255).all()
    made = make_cutout(subject, np.full((75, 100), 9, np.float32))
    assert np.abs(made.alpha - half).max() < 0.01


def test_logits_are_wanted_exactly_when_the_network_is(drawing):
    with pytest.raises(ValueError, match="logits"):
        make_cutout(prepare_subject(drawing.image, None), None)
    with pytest.raises(ValueError, match="logits"):
        make_cutout(prepare_subject(drawing.image, drawing.alpha), np.zeros((3, 4), np.float32))
