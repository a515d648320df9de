"""Pixels of a pair sorted into bins of about equal signal, and the noise of each.

A bin that clipping touches is left out whole, since leaving out its clipped pixels
would select on the noise. Where black is clipped the upper half still tells the noise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import nnls

from skadl.support.robust import median, robust_sigma

N_BINS = 16
MIN_PIXELS_IN_BIN = 64
MOST_CLIPPED = 0.01  # share of the pixels that a statistic is taken over
TAIL = 12.0  # robust standard deviations: the tails of real read noise reach far
_COUNT = 12.0  # variance of a count in units of what rounding to counts causes
_MOST_AT_BLACK = 0.55  # of a bin, whose upper half then still tells its noise


def sort_into_bins(
    pixels: np.ndarray | None,
    signal: np.ndarray,
    residual: np.ndarray,
    clipped: np.ndarray,
    at_black: np.ndarray,
    least: float,
) -> dict[str, Any]:
    """Sort flat positions by signal, None for all: what in a `Residual` is of bins."""
    if pixels is None:
        order = stable_order(signal.ravel())
    else:
        order = pixels[stable_order(signal.ravel()[pixels])]
    n_bins = max(1, min(N_BINS, order.size // MIN_PIXELS_IN_BIN))
    # Gathered once; a bin is a slice of each.
    parts = zip(
        np.array_split(order, n_bins),
        *(
            np.array_split(plane.ravel()[order], n_bins)
            for plane in (signal, residual, clipped, at_black)
        ),
        strict=True,
    )
    bins, dark = [], []
    for part in parts:
        share_clipped, share_at_black = part[3].mean(), part[4].mean()
        if share_clipped > MOST_CLIPPED:
            continue
        if share_at_black <= MOST_CLIPPED:
            bins.append(part)
        elif share_at_black < _MOST_AT_BLACK:
            dark.append(part)
    figures = np.array([_centre_and_sigma(part[2]) for part in bins])
    centre, sigma = figures.reshape(-1, 2).T
    sigma = np.maximum(sigma, least**0.5)
    means = np.array([part[1].mean() for part in (*dark, *bins)])
    gain = _rough_gain(means[len(dark) :], sigma**2)
    variances = [
        _upper_variance(part[2], part[4], gain**2 * max(mean, 0.0))
        for part, mean in zip(dark, means, strict=False)
    ]
    clipped_black = np.stack([means[: len(dark)], variances], axis=1)
    # Of noise below a count nothing but whole counts lies above the middle.
    clipped_black = clipped_black[clipped_black[:, 1] >= _COUNT * least]
    return {
        "bins": tuple(part[0] for part in bins),
        "centre": centre,
        "sigma": sigma,
        "clipped_black": clipped_black,
    }


def stable_order(values: np.ndarray) -> np.ndarray:
    """Positions (n,) that sort values, equal ones in their order, as `argsort` does.

    >>> stable_order(np.array([2.0, 1.0, 2.0, 1.0]))
    array([1, 3, 0, 2])
    """
    # A stable argsort takes six times as long as a sort that is not, with vectors.
    order = np.argsort(values)
    ranked = values[order]
    is_next = ranked[1:] != ranked[:-1]
    if is_next.all():
        return order
    rank = np.zeros(len(order), np.uint64)
    np.cumsum(is_next, out=rank[1:])
    keys = (rank << np.uint64(32)) | order.astype(np.uint64)
    keys.sort()
    return (keys & np.uint64(2**32 - 1)).astype(np.intp)


def _rough_gain(signal: np.ndarray, variance: np.ndarray) -> float:
    """Slope of a straight line through signal and variance; 0 where there is none."""
    if len(signal) < 2:
        return 0.0
    design = np.stack([signal, np.ones_like(signal)], axis=1) / variance[:, None]
    return float(nnls(design, np.ones_like(signal))[0][0])


def _upper_variance(
    residual: np.ndarray, at_black: np.ndarray, third_moment: float
) -> float:
    """Variance of noise whose lower part is cut off, by its upper half.

    `third_moment` about the mean is that of shot noise, which reaches further upwards
    than downwards.
    """
    # The median is that of the whole noise while less than half of it is cut.
    has_median = at_black.mean() < 0.4
    centre = np.median(residual) if has_median else 0.0
    above = residual[residual > centre] - centre
    if not above.size:
        return 0.0
    sigma = robust_sigma(above)
    above = above[above < TAIL * sigma] if sigma > 0 else above
    # Half of all pixels should lie above; clipping moves none across the centre.
    upper = float(np.sum(above**2) / (0.5 * len(residual)))
    # Of a gamma distribution that half is larger by so much, to 2 % for a skewness of
    # up to 1.5: about the median and about the mean.
    excess = 0.535 if has_median else 0.26
    variance = upper
    for _ in range(20):
        skewness = min(third_moment / max(variance, 1e-30) ** 1.5, 2.0)
        variance = 0.5 * (variance + upper / (1 + excess * skewness))
    return variance


def _centre_and_sigma(values: np.ndarray) -> tuple[float, float]:
    centre = median(values)
    return centre, robust_sigma(values - centre)
