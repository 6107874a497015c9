"""From a run's checkpoint to a model that the service loads, and from a model to a new run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jobs.models import installed_models
from training.callbacks import BEST, LAST
from training.recipe import Recipe
from vision.segmenters.network import SegmentationNetwork, build_network, load_network, save_network
from vision.segmenters.spec import WEIGHTS_FOLDER, ModelSpec, read_spec

PREFIX = "network."


class StartError(Exception):
    """There is nothing to start from, or it is another network; the message says which."""


def export_run(run_dir: Path, recipe: Recipe) -> ModelSpec:
    """The best weights of a run, or the last ones when no photos chose, to `run_dir/weights`."""
    name = BEST if recipe.data.validation_photos else LAST
    return export_checkpoint(run_dir / f"{name}.ckpt", run_dir / "weights", version=recipe.model.version)


def export_checkpoint(path: Path, folder: Path, *, version: str | None = None) -> ModelSpec:
    """Averaged weights of a checkpoint and their sidecar to `folder`; StartError when it is no checkpoint of ours."""
    spec, state = read_checkpoint(path)
    network = build_network(spec)
    network.load_state_dict(state)
    return save_network(network.eval(), replace(spec, version=version or spec.version), folder)


def epochs_done(last: Path) -> int:
    """Whole epochs that a run's last checkpoint has behind it; 0 without one."""
    if not last.is_file():
        return 0
    return int(torch.load(last, map_location="cpu", weights_only=True, mmap=True)["epoch"]) + 1


def read_checkpoint(path: Path) -> tuple[ModelSpec, dict[str, Tensor]]:
    """Model and averaged weights. StartError when the file is no checkpoint of ours."""
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        fields = checkpoint["hyper_parameters"]["model"]
        state = {key.removeprefix(PREFIX): value for key, value in checkpoint["state_dict"].items()}
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise StartError(f"{path} is no checkpoint of a run: {error}") from error
    return ModelSpec(**fields), state


def load_start(network: SegmentationNetwork, source: str) -> tuple[ModelSpec, str]:
    """Fill a network from a checkpoint, a sidecar (.json) or an installed model; returns it, and how much was taken.

    Tensors whose name and shape agree are taken, so that another head may start on a trained encoder.
    StartError when not even the encoder fits.
    """
    spec, state = _source(source)
    wanted = network.state_dict()
    fitting = {key: value for key, value in state.items() if key in wanted and value.shape == wanted[key].shape}
    encoder = {key for key in wanted if key.startswith("unet.encoder.")}
    if missing := sorted(encoder - fitting.keys()):
        raise StartError(f"{source} has another encoder: {len(missing)} tensors do not fit, such as {missing[0]}")
    network.load_state_dict({key: value.to(wanted[key].dtype) for key, value in fitting.items()}, strict=False)
    return spec, f"{spec.model_id}, {len(fitting)} of {len(wanted)} tensors"


def load_model(source: str) -> tuple[ModelSpec, SegmentationNetwork]:
    """A whole model, in evaluation mode, from a checkpoint, a sidecar or an installed model. StartError as above."""
    spec, state = _source(source)
    network = build_network(spec)
    network.load_state_dict(state)
    return spec, network.eval()


def _source(source: str) -> tuple[ModelSpec, dict[str, Tensor]]:
    path = Path(source)
    if path.suffix == ".ckpt":
        return read_checkpoint(path)
    if path.suffix == ".json" and path.is_file():
        folder, spec = path.parent, read_spec(path.stem, path.parent)
    else:
        folder, spec = WEIGHTS_FOLDER, _installed(source)
    if spec.is_onnx:
        raise StartError(f"{spec.model_id} is an ONNX graph, whose weights no network of ours takes")
    return spec, load_network(spec, folder).state_dict()


def _installed(word: str) -> ModelSpec:
    """As everywhere, a name means the highest version by number."""
    spec = installed_models(WEIGHTS_FOLDER).find(word)
    if spec is None:
        raise StartError(f"there is no checkpoint, sidecar or installed model {word!r}")
    return spec
