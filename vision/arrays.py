"""Array types of the vision room: one meaning each. Sizes are (height, width) tuples named `_hw`."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Hw: TypeAlias = tuple[int, int]
"""(height, width) in pixels."""
RgbImage: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) uint8 sRGB, EXIF orientation applied."""
RgbaImage: TypeAlias = NDArray[np.uint8]
"""(H, W, 4) uint8 sRGB with straight alpha."""
Canvas: TypeAlias = NDArray[np.uint8]
"""(h, w, 3) uint8: a letterboxed image of the network's input size."""
Alpha: TypeAlias = NDArray[np.float32]
"""(H, W) float32 in [0, 1]; 1 is product, 0 is background."""
Mask: TypeAlias = NDArray[np.bool_]
"""(H, W) bool; True is product."""
Logits: TypeAlias = NDArray[np.float32]
"""(H, W) float32, unbounded; above 0 is product. sigmoid(logits) is alpha."""
Colours: TypeAlias = NDArray[np.float32]
"""(..., 3) float32 sRGB values in [0, 255]."""
