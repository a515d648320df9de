"""Noise of the clean frame, which a residual holds beside that of the noisy one.

It is in the residual with its sign turned, and in the finest detail of the clean frame,
with which the noise of the noisy frame has nothing in common: their covariance is its
variance, whatever the picture is.
"""

from __future__ import annotations

import numpy as np

_LARGEST_SHARE = 0.5  # of the residual's variance: then both frames are as noisy
_FARTHEST = 6.0  # robust standard deviations of detail: beyond is no noise
_OF_MANY = 2.0  # standard errors that one of many bins may be off by chance
_MIN_PIXELS = 64
_LEAST_SIDE = 3  # packed pixels, for a pixel with all its neighbours


def shares_of_clean(
    signal: np.ndarray,
    residual: np.ndarray,
    sigma: np.ndarray,
    is_noise: np.ndarray,
    starts: np.ndarray,
) -> tuple[float, np.ndarray]:
    """Part of the residual's variance that the clean frame causes: all, by bin.

    Arrays are (4, h, w), `sigma` the residual's standard deviation at each pixel;
    `is_noise` tells where the residual is known and no outlier. `starts` (n_bins,) are
    the lowest signals of the bins, rising.
    """
    shares = np.zeros(len(starts))
    if min(signal.shape[1:]) < _LEAST_SIDE or not len(starts):
        return 0.0, shares
    usable = _inner(is_noise)
    sigma = _inner(sigma)[usable]
    expected, contrast = (part[usable] for part in _from_neighbours(signal))
    detail = (_inner(signal)[usable] - expected) / sigma
    # Bins of what the neighbours let expect: those of the pixel's own signal would
    # select on the very noise that is looked for. So would a centre of such bins.
    which = np.searchsorted(starts, expected, side="right") - 1
    which = np.maximum(which, 0)
    found = _inner(residual)[usable] / sigma
    planes = np.broadcast_to(np.arange(4)[:, None, None], usable.shape)[usable]
    found -= _means(found, planes * len(starts) + which)
    # Where there is structure around a pixel its detail is uncertain.
    weight = 1 / (1 + (contrast / sigma) ** 2)
    scaled = np.abs(detail) * np.sqrt(weight)
    near = scaled < _FARTHEST * 1.4826 * np.median(scaled) if scaled.size else usable
    products, powers = -(found * detail * weight)[near], (found**2 * weight)[near]
    which = which[near]
    if products.size < _MIN_PIXELS or not powers.any():
        return 0.0, shares
    whole, error = _share(products, powers)
    at_all = _shrunk(whole, error)
    # A clean frame of several exposures is noisier where the longer ones are burnt out.
    order = np.argsort(which, kind="stable")
    edges = np.searchsorted(which[order], np.arange(len(starts) + 1))
    products, powers = products[order], powers[order]
    for index, place in enumerate(map(slice, edges[:-1], edges[1:])):
        shares[index] = at_all
        if products[place].size >= _MIN_PIXELS and powers[place].any():
            own, error = _share(products[place], powers[place])
            shares[index] += _shrunk(own - whole, _OF_MANY * error)
    return float(np.clip(at_all, 0, _LARGEST_SHARE)), np.clip(shares, 0, _LARGEST_SHARE)


def _from_neighbours(signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Expect each pixel from its eight neighbours, and say how much these differ."""
    down, up, right, left = (
        signal[:, 1 + y : signal.shape[1] - 1 + y, 1 + x : signal.shape[2] - 1 + x]
        for y, x in ((1, 0), (-1, 0), (0, 1), (0, -1))
    )
    corners = [
        signal[:, rows, columns]
        for rows in (np.s_[:-2], np.s_[2:])
        for columns in (np.s_[:-2], np.s_[2:])
    ]
    sides, diagonal = (down + up + right + left) / 4, sum(corners) / 4
    # Right for any picture of second order (Immerkaer 1996).
    expected = 2 * sides - diagonal
    first, second, third, fourth = corners
    contrast = np.sqrt(
        ((down + up - right - left) / 2) ** 2
        + ((first + fourth - second - third) / 2) ** 2
        + (2 * (sides - diagonal)) ** 2
    )
    return expected, contrast


def _inner(planes: np.ndarray) -> np.ndarray:
    return planes[:, 1:-1, 1:-1]


def _means(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Mean of each value's group."""
    counts = np.maximum(np.bincount(groups), 1)
    return (np.bincount(groups, values) / counts)[groups]


def _share(products: np.ndarray, powers: np.ndarray) -> tuple[float, float]:
    """Part of the variance, and its standard error."""
    variance = powers.mean()
    return (
        float(products.mean() / variance),
        float(products.std() / len(products) ** 0.5 / variance),
    )


def _shrunk(value: float, error: float) -> float:
    """Shrink towards 0 what is not larger than its error (James and Stein 1961)."""
    return value * max(0.0, 1 - (error / value) ** 2) if value else 0.0
