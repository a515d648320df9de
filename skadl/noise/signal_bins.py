"""Pixels of a pair sorted into bins of about equal signal, and the noise of each.

A bin that clipping touches is left out whole, since leaving out its clipped pixels
would select on the noise. Where black is clipped the upper half still tells the noise.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    bins, dark = [], []
    parts = np.array_split(order, n_bins)
    shares = zip(_shares(clipped, parts), _shares(at_black, parts), strict=True)
    for pixels, (share_clipped, share_at_black) in zip(parts, shares, strict=True):
        if share_clipped > MOST_CLIPPED:
            continue
        if share_at_black <= MOST_CLIPPED:
            bins.append(pixels)
        elif share_at_black < _MOST_AT_BLACK:
            dark.append(pixels)
    signal, residual = signal.ravel(), residual.ravel()
    centre, sigma = _centres_and_sigmas([residual[pixels] for pixels in bins])
    sigma = np.maximum(sigma, least**0.5)
    clipped_black = np.empty((0, 2))
    if dark:
        gain = _rough_gain(_means(signal, bins), sigma**2)
        means = _means(signal, dark)
        variances = [
            _upper_variance(
                residual[pixels],
                at_black.ravel()[pixels],
                gain**2 * max(mean, 0.0),
            )
            for pixels, mean in zip(dark, means, strict=True)
        ]
        clipped_black = np.stack([means, variances], axis=1)
        # Of noise below a count nothing but whole counts lies above the middle.
        clipped_black = clipped_black[clipped_black[:, 1] >= _COUNT * least]
    return {
        "bins": tuple(bins),
        "centre": centre,
        "sigma": sigma,
        "clipped_black": clipped_black,
    }


def _shares(marked: np.ndarray, parts: Sequence[np.ndarray]) -> np.ndarray:
    """Share of marked pixels in each part: (n_parts,)."""
    if not marked.any():
        return np.zeros(len(parts))
    return _means(marked.ravel(), parts)


def _means(values: np.ndarray, parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([values[pixels].mean(dtype=float) for pixels in parts])


def stable_order(values: np.ndarray) -> np.ndarray:
    """Positions (n,) that sort values, in float32, equal ones in their order.

    >>> stable_order(np.array([2.0, -1.0, 2.0, 1.0, -1.0]))
    array([1, 4, 3, 0, 2])
    """
    # A stable argsort takes many times as long as a sort of numbers, with vectors: of
    # a value's bits, as an integer that rises with it, and its position behind them.
    bits = (values.astype(np.float32) + np.float32(0)).view(np.int32)  # 0 for -0
    bits ^= (bits >> 31) & np.int32(2**31 - 1)  # negative ones fall with their bits
    keys = bits.astype(np.int64)
    keys <<= 32
    keys |= np.arange(len(keys))
    keys.sort()
    keys &= 2**32 - 1
    return keys


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


def _centres_and_sigmas(bins: Sequence[np.ndarray]) -> np.ndarray:
    """Median and robust standard deviation of each: (2, n_bins)."""
    figures = np.zeros((2, len(bins)))
    sizes = np.array([len(values) for values in bins])
    for size in np.unique(sizes):  # bins of one size in one call
        (same,) = np.nonzero(sizes == size)
        values = np.stack([bins[i] for i in same])
        centre = median(values, axis=1)
        figures[0, same] = centre
        values -= centre[:, None]
        figures[1, same] = robust_sigma(values, axis=1)
    return figures
