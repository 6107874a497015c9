"""What happens beside the weights' own learning: averages, clipping, early stop, half precision, curves."""

from dataclasses import replace

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.unit.training.conftest import TINY
from tests.unit.training.test_run import KillAt, KilledError
from training.callbacks import moving_average
from training.checkpoints import epochs_done
from training.recipe import Recipe

SHORT = replace(Recipe.read(TINY), phases=Recipe.read(TINY).phases[:1])


def test_the_average_forgets_its_start_and_then_keeps_its_decay():
    update = moving_average(0.9)
    averaged = [torch.zeros(2), torch.zeros(1)]
    update(averaged, [torch.ones(2), torch.full((1,), 4.0)], torch.tensor(0))
    assert averaged[0].tolist() == pytest.approx([0.9, 0.9])
    assert averaged[1].tolist() == pytest.approx([3.6])
    averaged = [torch.zeros(1)]
    for count in range(2000):
        update(averaged, [torch.zeros(1)], torch.tensor(count))
    update(averaged, [torch.ones(1)], torch.tensor(2000))
    assert averaged[0].item() == pytest.approx(0.1)
    counters = [torch.tensor(3)]
    update(counters, [torch.tensor(7)], torch.tensor(2000))
    assert counters[0].item() == 7


class Norms(Callback):
    """Norm of all gradients together, before and after they are clipped."""

    def __init__(self):
        self.before, self.after = [], []

    def on_before_optimizer_step(self, _, pl_module, *__):
        self.before.append(_norm(pl_module))

    def on_train_batch_end(self, _, pl_module, *__):
        self.after.append(_norm(pl_module))


def _norm(module):
    gradients = [each.grad.flatten() for each in module.parameters() if each.grad is not None]
    return float(torch.cat(gradients).norm())


@pytest.mark.parametrize("limit", [0.01, 0])
def test_gradients_are_clipped_together(run, limit):
    norms = Norms()
    run("run", replace(SHORT, gradient_clip=limit), watchers=[norms])
    assert len(norms.before) == len(norms.after) == 4
    assert min(norms.before) > 0.01
    assert norms.after == pytest.approx([limit] * 4 if limit else norms.before, rel=1e-3)


def test_a_run_without_progress_ends_and_stays_ended(tmp_path, run):
    still = replace(SHORT.phases[0], samples=48, lr_start=1e-12, lr_end=1e-12)
    recipe = replace(SHORT, phases=(still,), patience=2, batchnorm="frozen")
    stopped = run("run", recipe)
    last = tmp_path / "run" / "last.ckpt"
    assert epochs_done(last) == 3
    written = last.read_bytes()
    assert run("run", recipe) == stopped
    assert last.read_bytes() == written


class Kinds(Callback):
    """Of numbers that come out of the network."""

    def __init__(self):
        self.seen = set()

    def on_fit_start(self, _, pl_module):
        pl_module.network.unet.segmentation_head.register_forward_hook(lambda *call: self.seen.add(call[2].dtype))


@pytest.mark.timeout(1200)  # two threads wait for each other by spinning: minutes where other work keeps a core
def test_half_precision_resumes_bit_for_bit(run):
    tiny, kinds = Recipe.read(TINY), Kinds()
    recipe = replace(tiny, phases=tiny.phases[1:], precision="bf16-mixed", threads=2, loader_workers=1)
    whole = run("whole", recipe, watchers=[kinds])
    assert torch.bfloat16 in kinds.seen
    with pytest.raises(KilledError):
        run("killed", recipe, watchers=[KillAt(3)])
    assert run("killed", recipe).weights_sha256 == whole.weights_sha256


def test_curves_and_pictures_are_there_to_watch(tmp_path, run):
    run("run", SHORT)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert {"train/loss", "train/bce", "val/loss", "val/iou", "val/mae"} <= set(events.Tags()["scalars"])
    assert [each.step for each in events.Scalars("val/iou")] == [1, 3]
    rates = [name for name in events.Tags()["scalars"] if name.startswith("lr-")]
    assert {name.rpartition("/")[2] for name in rates} == {"encoder", "decoder"}
    pictures = events.Images("photo, truth, alpha")
    assert len(pictures) == 2
    assert (pictures[0].width, pictures[0].height) == (3 * 64, 64)
