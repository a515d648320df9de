"""Whether an image has the noise level that is given for it.

Where the denoised picture is smooth, whatever else there is in the noisy one is noise.
A network finds such places better than a filter does, also when it was told a noise
level that is wrong by a factor of two: it errs in how much it removes, hardly in where
there is texture.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.stats import chi2

from skadl.noise.noise_level import NoiseLevel
from skadl.noise.signal_bins import MOST_CLIPPED
from skadl.prediction.blocks import stabilised, variance

PATCH = 8  # packed pixels: side of the patches that are smooth or not
SMOOTH = 0.15  # part of a patch's finest detail that may be left after denoising
# What planes have in common is texture that was taken for noise.
MOST_SHARED = 0.05  # of the power
LEAST_PATCHES = 32  # smooth ones, below which an image says nothing
# Fewer are enough where a small image is flat: nearly all smooth, and of one level.
LEAST_OF_FLAT = 8
NEARLY_ALL = 0.9
MOST_UNEVEN = (
    2.0  # standard deviations of noise from the darkest patch to the brightest
)
_MOST_ERRORS = 3.0  # standard errors that the shared part of few patches may have
# Among smooth patches some still hold a little texture: the lower tenth, against that
# of noise alone.
_QUANTILE = 0.1


def noise_factor(
    parts: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]], noise: NoiseLevel
) -> float | None:
    """Return by what factor the noise variance of an image differs from what is told.

    Parts of the image: planes (4, h, w), what the network removes from them, and which
    pixels are clipped. None where too few patches are smooth to tell, or where they
    are not noise alone.

    >>> rng = np.random.default_rng(0)
    >>> noisy = rng.normal(0.5, 0.1, (4, 128, 128))
    >>> part = noisy, noisy - 0.5, np.zeros(noisy.shape, bool)
    >>> 1.9 < noise_factor([part], NoiseLevel(shot=0.0, read=0.005)) < 2.1
    True
    """
    found = [_patches(*part, noise) for part in parts]
    powers, shared, is_smooth, levels = map(np.concatenate, zip(*found, strict=True))
    n_smooth, n_planes = np.count_nonzero(is_smooth), levels.shape[1]
    if n_smooth < max(LEAST_OF_FLAT, min(LEAST_PATCHES, NEARLY_ALL * is_smooth.size)):
        return None
    if n_smooth < LEAST_PATCHES and np.ptp(levels, axis=0).max() > MOST_UNEVEN:
        return None
    powers, shared = powers[is_smooth], shared[is_smooth]
    details = n_planes * (PATCH // 2) ** 2  # of a patch, independent
    expected = float(chi2.ppf(_QUANTILE, details)) / details
    factor = float(np.quantile(powers, _QUANTILE)) / expected
    n_products = n_smooth * details * (n_planes - 1) / 2  # of two planes' details
    # Texture among it makes it too large: a bound that still holds where it is low.
    most_shared = max(MOST_SHARED, _MOST_ERRORS * n_products**-0.5)
    is_noise = shared.sum() <= most_shared * powers.sum()
    return factor if is_noise or factor < 1 else None


def _patches(
    planes: np.ndarray, removed: np.ndarray, clipped: np.ndarray, noise: NoiseLevel
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each patch: power of its finest detail, what the planes share, is it smooth.

    And the level of its planes (n, C). All in units of the noise told.
    """
    height, width = (side // PATCH * PATCH for side in planes.shape[1:])
    planes, removed, clipped = (
        part[:, :height, :width] for part in (planes, removed, clipped)
    )
    clean = planes - removed
    told = variance(noise, _quads(clean).mean(axis=(2, 4)))
    noisy_detail, clean_detail = (
        _finest_detail(part) / np.sqrt(told) for part in (planes, clean)
    )
    noisy_power, clean_power = (
        _per_patch(detail**2, PATCH // 2) for detail in (noisy_detail, clean_detail)
    )
    # The mean product of two planes: the square of a sum without its squares.
    total = _per_patch(noisy_detail.sum(axis=0, keepdims=True) ** 2, PATCH // 2)
    n_planes = len(planes)
    shared = (total - n_planes * noisy_power) / (n_planes * (n_planes - 1))
    is_smooth = clean_power <= SMOOTH * noisy_power
    is_smooth &= _per_patch(clipped, PATCH) <= MOST_CLIPPED
    level = stabilised(noise, np.stack([_per_patch(p[None], PATCH) for p in clean]))
    levels = level.reshape(n_planes, -1).T
    return noisy_power.ravel(), shared.ravel(), is_smooth.ravel(), levels


def _finest_detail(planes: np.ndarray) -> np.ndarray:
    """Diagonal difference of 2x2 pixels: no slope, row or column is seen in it.

    Of independent noise it has the variance of a pixel.
    """
    quads = _quads(planes)
    return 0.5 * (
        quads[:, :, 0, :, 0]
        - quads[:, :, 0, :, 1]
        - quads[:, :, 1, :, 0]
        + quads[:, :, 1, :, 1]
    )


def _quads(planes: np.ndarray) -> np.ndarray:
    n_planes, height, width = planes.shape
    return planes.reshape(n_planes, height // 2, 2, width // 2, 2)


def _per_patch(planes: np.ndarray, side: int) -> np.ndarray:
    """Mean over the planes and pixels of each patch."""
    n_planes, height, width = planes.shape
    # Whole rows are added up first: sums of a few values have no vectors.
    rows = planes.sum(axis=0, dtype=np.result_type(planes.dtype, np.float32))
    rows = rows.reshape(height // side, side, width).sum(axis=1)
    sums = rows.reshape(height // side, width // side, side).sum(axis=2)
    return sums / (n_planes * side * side)
