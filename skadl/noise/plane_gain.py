"""Gains of the planes, where a camera multiplies red and blue before it writes.

Some Nikons do. Then noise of one signal differs from plane to plane, and a curve over
all of them bends: dark pixels are red and blue as a rule, bright ones green.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from skadl.noise.residual import OUTLIER, Residual
from skadl.support.robust import robust_sigma

_SURE = 4.0  # standard errors of the largest difference
_LEAST_SHOT = 0.5  # of a plane's variance: else an error of the read noise would tell
_LEAST = 0.02  # of a factor: less is not worth telling
_ERROR = 0.01  # of a plane's logarithm in one pair, beside statistics
_FLOOR = np.finfo(float).tiny  # counts may be floats of any unit


def find_plane_gain(
    measured: Sequence[Residual], gains: Sequence[float], read: Sequence[float]
) -> np.ndarray | None:
    """Gain of each plane over the mean gain, (n_planes,); None where they are alike.

    `gains` and `read` variances are those of each pair by all planes together.
    """
    sums = np.zeros((len(measured), 4, len(measured[0].signal)))
    for row, one, gain, variance in zip(sums, measured, gains, read, strict=True):
        signal = np.maximum(one.signal, 0)
        expected = gain * signal + variance
        squares = (one.residual - one.pixel_centre) ** 2
        squares *= 1 - one.by_pixel(one.clean_shares[1], 0.0)
        usable = (one.known > 0) & (squares < (2 * OUTLIER) ** 2 * expected)
        weight = usable * signal / expected**2
        row[0] = (weight * (squares - variance)).sum(axis=(1, 2)) / gain
        row[1] = (weight * signal).sum(axis=(1, 2))
        row[2] = (usable * gain * signal / expected).sum(axis=(1, 2))
        row[3] = usable.sum(axis=(1, 2))
    total = sums[:, 1].sum(axis=0)
    *_, shot, counts = sums.sum(axis=0)
    if not (total > 0).all() or (shot < _LEAST_SHOT * counts).any():
        return None
    ratios = sums[:, 0].sum(axis=0) / total
    # A weighted mean of squares of noise errs by the root of 2 over its information.
    errors = np.hypot(
        (2 / total) ** 0.5 / np.mean(gains), _ERROR / len(measured) ** 0.5
    )
    if not (ratios > 0).all():
        return None
    factors = ratios / ratios.mean()
    apart = np.abs(factors - 1)
    if apart.max() < _LEAST or (apart < _SURE * errors).all():
        return None
    return factors


def with_equal_planes(
    measured: Residual, factors: np.ndarray, gain: float, read: float
) -> Residual:
    """Scale the residual so that all planes have the noise of the mean gain."""
    signal = np.maximum(measured.signal, 0)
    by_plane = factors[:, None, None]
    own = by_plane * gain * signal + by_plane**2 * read  # what multiplies, does so
    residual = measured.residual * np.sqrt(
        (gain * signal + read) / np.maximum(own, _FLOOR)
    )
    figures = [
        (np.median(residual.flat[pixels]), residual.flat[pixels])
        for pixels in measured.bins
    ]
    centre = np.array([middle for middle, _ in figures])
    sigma = np.array([robust_sigma(values - middle) for middle, values in figures])
    sigma = np.maximum(sigma, measured.least_variance**0.5)
    return replace(measured, residual=residual, centre=centre, sigma=sigma)
