import pytest
import torch

from training.losses import (
    alpha_error,
    boundary_miss,
    boundary_weight,
    dissimilarity,
    part_targets,
    segmentation_losses,
    soft_dice,
    soft_iou,
    weighted_bce,
)
from training.recipe import LossWeights

ALL = LossWeights(iou=1, ssim=1, boundary=1, alpha=1)
TERMS = (soft_dice, soft_iou, dissimilarity, boundary_miss, alpha_error)


def segmentation_loss(logits, targets):
    return segmentation_losses([logits], targets, ALL)["loss"].mean()


@pytest.fixture
def square():
    target = torch.zeros(1, 1, 32, 32)
    target[..., 8:24, 8:24] = 1
    return target


def test_loss_falls_as_the_logits_agree_better(square):
    sign = square * 2 - 1
    losses = [segmentation_loss(sign * size, square).item() for size in (-2.0, 0.0, 2.0, 8.0)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.01


def test_an_empty_photo_is_punished_by_the_area_claimed():
    empty = torch.zeros(1, 1, 32, 32)
    some = torch.full_like(empty, -9.0)
    some[..., :8, :8] = 9
    more = torch.full_like(empty, 9.0)
    none = torch.full_like(empty, -9.0)
    losses = [soft_dice(torch.sigmoid(logits), empty).item() for logits in (none, some, more)]
    assert losses[0] < 0.001 < losses[1] < losses[2]


def test_weight_is_high_at_the_edge_alone_and_one_on_average(square):
    weight = boundary_weight(square, radius_px=2, gain=3.0)
    assert weight.mean().item() == pytest.approx(1)
    assert weight[0, 0, 8, 16] == pytest.approx(4 * weight[0, 0, 0, 0].item())
    assert weight[0, 0, 16, 16] == weight[0, 0, 0, 0]


def test_bce_takes_soft_targets():
    target = torch.full((1, 1, 4, 4), 0.5)
    weight = torch.ones_like(target)
    at_target = weighted_bce(torch.zeros_like(target), target, weight)
    assert at_target < weighted_bce(torch.ones_like(target), target, weight)
    assert at_target < weighted_bce(-torch.ones_like(target), target, weight)


def test_gradients_are_finite_for_extreme_logits(square):
    logits = torch.full_like(square, 80.0).requires_grad_()
    segmentation_loss(logits, square).backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("term", TERMS)
def test_each_term_is_zero_for_the_truth_and_grows_with_the_error(square, term):
    shifted, far = (torch.roll(square, pixels, dims=2) for pixels in (3, 8))
    perfect, near, worse = (term(alpha, square).item() for alpha in (square, shifted, far))
    assert perfect == pytest.approx(0, abs=1e-3)
    assert perfect < near < worse


@pytest.mark.parametrize("term", TERMS)
def test_each_term_counts_images_one_by_one(square, term):
    alphas = torch.cat([square, torch.roll(square, 4, dims=2)])
    together = term(alphas, square.expand(2, -1, -1, -1))
    assert together.shape == (2,)
    assert together[1].item() == pytest.approx(term(alphas[1:], square).item(), rel=1e-5)


def test_iou_of_half_an_overlap():
    target = torch.zeros(1, 1, 8, 8)
    target[..., :4] = 1
    alpha = torch.zeros(1, 1, 8, 8)
    alpha[..., 2:6] = 1
    assert soft_iou(alpha, target, smooth=0).item() == pytest.approx(1 - 16 / 48)


def test_the_rim_holds_edges_and_whatever_is_thin(square):
    thin = torch.zeros_like(square)
    thin[..., 3, :] = 1
    body, rim = part_targets(torch.maximum(square, thin), radius_px=2)
    assert body[0, 0, 16, 16] == 1
    assert body[0, 0, 8, 16] == 0
    assert rim[0, 0, 3, 20] == 1
    assert torch.equal(body + rim, torch.maximum(square, thin))


def test_a_term_without_weight_is_not_computed(square):
    assert set(segmentation_losses([square], square, LossWeights())) == {"bce", "dice", "loss"}


def test_parts_need_a_network_that_has_them(square):
    with pytest.raises(ValueError, match="body and rim"):
        segmentation_losses([square], square, LossWeights(parts=1))
    sizes = segmentation_losses([square] * 3, square, LossWeights(parts=1))
    assert sizes["parts"].shape == (1,)
