"""All figures of one photo, by name."""

from dataclasses import dataclass

from training import metrics
from training.evaluation import colours, matting
from vision.arrays import Alpha, RgbImage
from vision.foreground import estimate_foreground

THRESHOLD = metrics.THRESHOLD


@dataclass(frozen=True)
class Figure:
    """A figure's heading, and how to read it."""

    label: str
    digits: int
    is_better_high: bool
    meaning: str


FIGURES: dict[str, Figure] = {
    "iou": Figure("IoU", 3, True, "intersection over union at alpha 0.5"),
    "dice": Figure("Dice", 3, True, "Dice (F1) at alpha 0.5"),
    "biou": Figure("BIoU", 3, True, "boundary IoU, a band of 1 % of the diagonal (Cheng et al. 2021)"),
    "wf": Figure("wF", 3, True, "weighted F-measure (Margolin et al. 2014)"),
    "sm": Figure("S", 3, True, "structure measure (Fan et al. 2017)"),
    "mae": Figure("MAE", 4, False, "mean absolute error of alpha"),
    "sad": Figure("SAD", 2, False, "sum of absolute errors of alpha over the photo, in thousands"),
    "mse": Figure("MSE", 4, False, "mean squared error of alpha"),
    "grad": Figure("Grad", 2, False, "gradient error over the photo, in thousands (Rhemann et al. 2009)"),
    "conn": Figure("Conn", 2, False, "connectivity error over the photo, in thousands (Rhemann et al. 2009)"),
    "grad_mse": Figure("grad_mse", 1, False, "mean squared difference of blurred gradients x 1000"),
    "psnr_white": Figure("PSNR", 1, True, "of the composite over white, in dB, at most 60"),
    "ssim_white": Figure("SSIM", 4, True, "of the composite over white"),
    "fringe_black": Figure("fringe, black", 2, False, "mean CIEDE2000 in the edge band, over black"),
    "fringe_white": Figure("fringe, white", 2, False, "mean CIEDE2000 in the edge band, over white"),
}


@dataclass(frozen=True)
class Truth:
    """What a photo should become. `foreground` holds the product's true colours where they are known."""

    image: RgbImage
    alpha: Alpha
    foreground: RgbImage | None = None

    @property
    def edge_foreground(self) -> RgbImage:
        """The true colours, or the best guess from the true alpha: what the edge should look like without fringe."""
        return self.foreground if self.foreground is not None else estimate_foreground(self.image, self.alpha)


def measure_all(truth: Truth, alpha: Alpha, foreground: RgbImage | None) -> dict[str, float]:
    """Every figure of `FIGURES`; NaN where one is not defined, such as wF without a product.

    foreground: the colours that are delivered with the alpha, or None for a matte alone, which shows the photo's own.
    The composite over white compares the true colours where they are known; else the observed ones, with the made
    against the true alpha, so that only alpha counts.
    """
    truth_mask, mask = truth.alpha >= THRESHOLD, alpha >= THRESHOLD
    figures = metrics.measure(truth.alpha, alpha)
    figures |= {
        "dice": matting.dice(truth_mask, mask),
        "sm": matting.s_measure(truth_mask, alpha),
        "sad": matting.sad(truth.alpha, alpha),
        "mse": matting.mse(truth.alpha, alpha),
        "grad": matting.grad(truth.alpha, alpha),
        "conn": matting.conn(truth.alpha, alpha),
    }
    figures |= _on_white(truth, alpha, foreground)
    band = colours.edge_band(truth.alpha)
    reference = truth.edge_foreground
    shown = truth.image if foreground is None else foreground
    for name, ground in (("fringe_black", 0.0), ("fringe_white", 255.0)):
        wanted = colours.composite(reference, truth.alpha, ground)
        figures[name] = colours.fringe(wanted, colours.composite(shown, alpha, ground), band)
    return {name: figures[name] for name in FIGURES}


def _on_white(truth: Truth, alpha: Alpha, foreground: RgbImage | None) -> dict[str, float]:
    if truth.foreground is None:
        wanted, shown = truth.image, truth.image
    else:
        wanted, shown = truth.foreground, truth.image if foreground is None else foreground
    right = colours.composite(wanted, truth.alpha, 255.0)
    made = colours.composite(shown, alpha, 255.0)
    return {"psnr_white": colours.psnr(right, made), "ssim_white": colours.ssim(right, made)}
