"""A network in training as a function from photos to mattes."""

from collections.abc import Callable

import torch

from vision.arrays import Alpha, Hw, RgbImage
from vision.letterbox import Letterbox
from vision.segmenters.network import SegmentationNetwork

Predict = Callable[[RgbImage], Alpha]


def predictor(network: SegmentationNetwork, canvas_hw: Hw) -> Predict:
    """The network alone, without refinement: letterbox, logits, back to the photo's size, sigmoid."""

    @torch.inference_mode()
    def predict(image: RgbImage) -> Alpha:
        box = Letterbox.fit(image.shape[:2], canvas_hw)
        canvas = torch.from_numpy(box.apply(image).transpose(2, 0, 1)[None].copy()).float()
        logits = network(canvas)[0, 0].numpy()
        return torch.sigmoid(torch.from_numpy(box.invert(logits))).numpy()

    return predict
