from dataclasses import replace

import numpy as np
import pytest

from tests.images import draw, ring, segment
from vision.calibration import Calibration
from vision.numeric import sigmoid
from vision.qc import Reason, Verdict, confidence_of, judge, measure


def alpha_of(distance):
    return np.clip(0.5 - distance, 0, 1).astype(np.float32)


def test_facts_of_a_disc():
    alpha = draw("disc", "plain", (1200, 1600)).alpha
    facts = measure(alpha, 0.97)
    assert facts.coverage == pytest.approx(alpha.mean(), abs=1e-3)
    rows, columns = np.flatnonzero((alpha >= 0.1).any(1)), np.flatnonzero((alpha >= 0.1).any(0))
    assert facts.bbox_xyxy_px == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert (facts.components, facts.holes, facts.touches_border, facts.max_alpha) == (1, 0, (), 1.0)
    assert facts.largest_share == 1
    assert judge(facts).verdict is Verdict.PASS


def test_a_ring_has_a_hole():
    assert measure(alpha_of(ring((600, 600)))).holes == 1


def test_touched_sides():
    facts = measure(alpha_of(segment((400, 400), (0.5, 0.5), (0.5, 1.1), 60)))
    assert facts.touches_border == ("right",)
    assert judge(facts).reasons == (Reason.TOUCHES_BORDER,)
    assert judge(facts).verdict is Verdict.REVIEW


@pytest.mark.parametrize("logit", [-8.0, -3.0, -0.5])
def test_an_empty_photo_fails_however_faint_or_flat_its_map_is(logit):
    alpha = sigmoid(np.full((64, 64), logit, np.float32))
    judgement = judge(measure(alpha, confidence_of(alpha)))
    assert judgement.verdict is Verdict.FAIL
    assert judgement.reasons == (Reason.NO_FOREGROUND,)


def test_an_all_zero_alpha_has_no_box():
    facts = measure(np.zeros((5, 7), np.float32))
    assert facts.bbox_xyxy_px is None
    assert judge(facts).verdict is Verdict.FAIL


def test_confidence_falls_with_doubt():
    sure, unsure = np.zeros((64, 64), np.float32), np.zeros((64, 64), np.float32)
    sure[16:48, 16:48], unsure[16:48, 16:48] = 0.99, 0.6
    assert confidence_of(sure) == pytest.approx(0.99)
    assert confidence_of(unsure) == pytest.approx(0.6)
    assert Reason.LOW_CONFIDENCE in judge(measure(unsure, confidence_of(unsure))).reasons
    assert confidence_of(np.zeros((64, 64), np.float32)) == 0
    assert judge(replace(measure(sure, 0.99), confidence=0.4)).reasons == (Reason.NO_FOREGROUND,)


def test_a_model_brings_its_own_limits():
    facts = measure(draw("disc", "plain", (300, 300)).alpha, 0.8)
    assert judge(facts).reasons == (Reason.LOW_CONFIDENCE,)
    lenient = Calibration(slope=1.0, intercept=0.0, review_below=0.7, fail_below=0.1, photos=50, empties=9)
    assert judge(facts, lenient).verdict is Verdict.PASS
    assert judge(facts, lenient).score == pytest.approx(0.8)
    assert judge(facts, replace(lenient, slope=2.0)).score == pytest.approx(16 / 17)
    strict = replace(lenient, review_below=0.95, fail_below=0.85)
    assert judge(facts, strict).reasons == (Reason.NO_FOREGROUND,)
    assert judge(replace(facts, confidence=None), strict).score is None
    assert judge(replace(facts, confidence=None), strict).verdict is Verdict.PASS
    assert judge(replace(facts, coverage=0.0), lenient).reasons == (Reason.NO_FOREGROUND,)


def test_other_reasons():
    facts = measure(draw("disc", "plain", (300, 300)).alpha)
    assert judge(replace(facts, coverage=0.005)).reasons == (Reason.VERY_SMALL,)
    assert judge(replace(facts, coverage=0.99)).reasons == (Reason.FILLS_FRAME,)
    assert judge(replace(facts, components=9, largest_share=0.2)).reasons == (Reason.FRAGMENTED,)


@pytest.mark.parametrize("hw", [(1, 1), (1, 900), (900, 1), (3, 2)])
def test_odd_sizes(hw):
    facts = measure(np.ones(hw, np.float32))
    assert facts.bbox_xyxy_px == (0, 0, hw[1], hw[0])
    assert facts.coverage == 1
