"""Small conversions that several files of the room need."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.arrays import Alpha, Logits


def sigmoid(logits: Logits) -> Alpha:
    """Any shape of float32 -> float32 in [0, 1]. A fixed curve: nothing is stretched to a photo's own range."""
    # Beyond 30 float32 has reached 0 or 1; exp of more would overflow.
    one = np.float32(1)
    return one / (one + np.exp(-np.clip(logits, np.float32(-30), np.float32(30))))


def in_16bit_steps(alpha: Alpha) -> Alpha:
    """Round to multiples of 1/65535, what a 16-bit matte can hold; clips to [0, 1]."""
    rounded: Alpha = np.rint(np.clip(alpha, 0, 1) * np.float32(65535)) * np.float32(1 / 65535)
    return rounded


def alpha_to_uint8(alpha: Alpha) -> NDArray[np.uint8]:
    """(H, W) float32 in [0, 1] -> (H, W) uint8, rounded."""
    return cv2.convertScaleAbs(alpha, alpha=255).astype(np.uint8, copy=False).reshape(alpha.shape)


def alpha_to_uint16(alpha: Alpha) -> NDArray[np.uint16]:
    """(H, W) float32 in [0, 1] -> (H, W) uint16, rounded."""
    scaled = cv2.multiply(alpha, np.array(65535.0), dtype=cv2.CV_16U)
    return scaled.astype(np.uint16, copy=False).reshape(alpha.shape)
