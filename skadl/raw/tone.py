"""Linear planes as colours for a screen: white balance, exposure, the sRGB curve."""

from __future__ import annotations

import numpy as np

from skadl.raw.mosaic import colours_of

MIDDLE_GREY = 0.18  # linear light
_GAIN_LIMIT = 8.0  # beyond it, a white balance only colours the noise


def linear_rgb(planes: np.ndarray) -> np.ndarray:
    """Average the planes (n_planes, h, w) of each colour: (h, w, 3)."""
    own = np.array(list(colours_of(len(planes))))
    colours = [planes[own == colour].mean(axis=0) for colour in "RGB"]
    return np.stack(colours, axis=-1)


def grey_world(rgb: np.ndarray) -> tuple[float, float, float]:
    """Choose factors that make the means of red and blue that of green, lowest 1."""
    means = np.clip(rgb, 0, 1).mean(axis=(0, 1), dtype=np.float64)
    gains = np.ones(3)
    if means.min() > 0:
        gains = np.clip(means[1] / means, 1 / _GAIN_LIMIT, _GAIN_LIMIT)
    return tuple((gains / gains.min()).round(6).tolist())


def fitting_exposure(rgb: np.ndarray, white_balance: tuple[float, ...]) -> float:
    """Choose the factor that makes the brightest per cent white, a sky grey."""
    balanced = rgb @ np.array(white_balance)
    middle, high = np.percentile(balanced / 3, (50, 99))
    brightest = max(high, middle / MIDDLE_GREY)
    return float(1 / brightest) if brightest > 1e-6 else 1.0


def srgb_bytes(rgb: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Scale linear (h, w, 3), clip it and apply the curve of sRGB: uint8."""
    linear = np.clip(rgb * factors, 0, 1)
    curved = 1.055 * linear ** np.float32(1 / 2.4) - 0.055
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, curved)
    return np.rint(255 * encoded).astype(np.uint8)
