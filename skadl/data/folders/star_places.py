"""Where the stars of one noisy frame are, to a part of a pixel."""

from __future__ import annotations

import numpy as np

from skadl.evaluation.star_finding import search_stars, star_margin
from skadl.raw.image import RawImage

_FWHM = 2.0  # packed pixels, of the filter that finds them
_SNR = 8.0
_MOST_STARS = 100
_REACH = 3  # packed pixels from the middle of a star that its place is taken over
_N_ROUNDS = 5


def locate_stars(image: RawImage) -> np.ndarray:
    """Rows and columns of the brightest stars, in pixels of the mosaic: (n, 2)."""
    planes = image.packed().astype(np.float32)
    planes -= np.median(planes, axis=(1, 2), keepdims=True)
    # The mean of the middle two planes: a hot pixel is in one plane, a star in all.
    light = np.sort(planes, axis=0)[1:3].mean(axis=0)
    if min(light.shape) < 2 * star_margin(_FWHM) + 1:
        return np.empty((0, 2))
    peaks, _ = search_stars(light, _FWHM, _SNR, star_margin(_FWHM))
    total = planes.sum(axis=0)
    places = [_centre(total, peak) for peak in peaks[:_MOST_STARS]]
    # A packed pixel is a square of two by two, whose middle is half a pixel on.
    return 2 * np.array(places).reshape(-1, 2) + 0.5


def _centre(light: np.ndarray, peak: np.ndarray) -> np.ndarray:
    """Centre of light under a Gaussian window that follows it, as SExtractor's WIN."""
    row, column = peak.astype(int)
    rows, columns = (np.arange(at - _REACH, at + _REACH + 1) for at in (row, column))
    patch = light[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    patch = np.maximum(patch - np.median(patch), 0)
    at = np.array(peak, float)
    for _ in range(_N_ROUNDS):
        apart = (rows[:, None] - at[0]) ** 2 + (columns - at[1]) ** 2
        weight = patch * np.exp(-0.5 * apart / (_FWHM / 2.355) ** 2)
        total = weight.sum()
        if not total > 0:
            break
        step = [
            (weight.sum(axis=1 - axis) * (line - at[axis])).sum() / total
            for axis, line in enumerate((rows, columns))
        ]
        # Twice, since the window draws the centre to its own by half.
        at = np.clip(at + 2 * np.array(step), peak - 1.5, peak + 1.5)
    return at
