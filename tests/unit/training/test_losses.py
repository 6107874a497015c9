import pytest
import torch

from training.losses import boundary_weight, segmentation_loss, soft_dice, weighted_bce


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
    losses = [soft_dice(logits, empty).item() for logits in (none, some, more)]
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
