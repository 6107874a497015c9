"""The segmenter for commands that need no service."""

from config.settings import Settings
from jobs.models import installed_models
from vision.segmenters.runtimes import RuntimeOptions
from vision.segmenters.unet import UnetSegmenter


def load_segmenter(settings: Settings, model: str) -> UnetSegmenter:
    """The segmenter of a name or id that is installed, on the runtime of the settings, warmed up."""
    specs = [spec for spec in installed_models().specs if model in {spec.name, spec.model_id}]
    options = RuntimeOptions(threads=settings.threads, cache_dir=settings.data_dir / "models")
    segmenter = UnetSegmenter.load(specs[-1], runtime=settings.runtime, options=options)
    segmenter.warm_up([1])
    return segmenter
