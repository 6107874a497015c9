"""One call from a data folder to a trained model."""

from pathlib import Path

import cv2
import torch

from training.loop import CHECKPOINT_FILE, Report, Trainer, build_trainer, run_phases
from training.manifest import check_rows, read_manifest, select
from training.prepare import photo_store, synthetic_store
from training.pretrained import load_imagenet_encoder
from training.recipe import Recipe
from vision.segmenters.network import build_network, save_network
from vision.segmenters.spec import ModelSpec


def train(config_path: Path, *, data_dir: Path, run_dir: Path, cache_dir: Path, report: Report = print) -> ModelSpec:
    """Train, or resume, the run that a TOML file describes; weights and sidecar end in `run_dir/weights`.

    `data_dir` holds manifest.csv, `cache_dir` receives decoded samples (about 0.5 MB each).
    ManifestError before any computing when the data is not as the manifest says.
    """
    recipe = Recipe.read(config_path)
    rows = read_manifest(data_dir, recipe.data.licences)
    photos, backgrounds = select(rows, "train"), select(rows, "backgrounds")
    check_rows([*photos, *backgrounds])
    run_dir.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(recipe.threads)
    cv2.setNumThreads(1)
    stores = [photo_store(recipe, photos, cache_dir), synthetic_store(recipe, photos, backgrounds, cache_dir)]
    report(f"{len(stores[0])} photos, {len(stores[1])} synthetic samples")
    trainer = start(recipe, run_dir)
    run_phases(recipe, trainer, stores, run_dir, report)
    return save_network(trainer.average, recipe.model, run_dir / "weights")


def start(recipe: Recipe, run_dir: Path) -> Trainer:
    """Network with the encoder's ImageNet weights, or the state of the run's last checkpoint."""
    torch.manual_seed(recipe.seed)
    network = build_network(recipe.model)
    load_imagenet_encoder(network.unet.encoder.model)
    network = network.to(memory_format=torch.channels_last)
    trainer = build_trainer(recipe, network, build_network(recipe.model))
    checkpoint = run_dir / CHECKPOINT_FILE
    if checkpoint.is_file():
        trainer.load(checkpoint)
    return trainer
