"""Noise of the clean frame, which a residual holds beside that of the noisy one.

It is in the residual with its sign turned, and in the finest detail of the clean frame,
with which the noise of the noisy frame has nothing in common: their covariance is its
variance, whatever the picture is.
"""

from __future__ import annotations

import numpy as np

from skadl.support.robust import median

_LARGEST_SHARE = 0.5  # of the residual's variance: then both frames are as noisy
_FARTHEST = 6.0  # robust standard deviations of detail: beyond is no noise
_TO_SIGMA = 1.4826  # of the median of absolute values of Gaussian noise
_DOUBT = 2.0  # standard errors that a share may be off by chance
_MIN_PIXELS = 64
_CELLS = 4096
_LEAST_SIDE = 3  # packed pixels, for a pixel with all its neighbours


def shares_of_clean(
    signal: np.ndarray,
    residual: np.ndarray,
    sigma: np.ndarray,
    is_noise: np.ndarray,
    starts: np.ndarray,
) -> tuple[float, np.ndarray]:
    """Part of the residual's variance that the clean frame causes: all, by bin.

    Arrays are (n_planes, h, w), `sigma` the residual's standard deviation at each
    pixel; `is_noise` tells where the residual is known and no outlier. `starts`
    (n_bins,) are the lowest signals of the bins, rising.
    """
    shares = np.zeros(len(starts))
    if min(signal.shape[1:]) < _LEAST_SIDE or not len(starts):
        return 0.0, shares
    # Positions, since a mask selects several times as slowly.
    usable = np.flatnonzero(_inner(is_noise))
    inner = (_inner(planes).ravel()[usable] for planes in (sigma, signal, residual))
    sigma, signal_there, found = inner
    expected, contrast = (part.ravel()[usable] for part in _from_neighbours(signal))
    detail = (signal_there - expected) / sigma
    # Bins of what the neighbours let expect: those of the pixel's own signal would
    # select on the very noise that is looked for. So would a centre of such bins.
    n_bins, n_planes = len(starts), len(signal)
    which = _bin_of(expected, starts)
    which += usable // _inner(is_noise)[0].size * n_bins

    def summed(values: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(which, values, n_planes * n_bins)

    found /= sigma
    found -= (summed(found) / np.maximum(summed(), 1)).astype(found.dtype)[which]
    # Where there is structure around a pixel its detail is uncertain.
    contrast /= sigma * sigma
    contrast += 1
    weight = 1 / contrast
    scaled = detail * detail
    scaled *= weight
    if not scaled.size:
        return 0.0, shares
    weight *= scaled <= (_FARTHEST * _TO_SIGMA) ** 2 * median(scaled)
    weighted = found * weight
    products = weighted * detail
    powers = weighted * found
    figures = np.array(
        [summed(values) for values in (weight > 0, products, products**2, powers)]
    )
    figures = figures.reshape(4, n_planes, n_bins).sum(axis=1)
    figures[1] *= -1  # the clean frame's noise is in the residual with its sign turned
    (whole,), (error,) = _share(*figures.sum(axis=1, keepdims=True))
    (at_all,) = _shrunk(np.array([whole]), np.array([error]))
    # A clean frame of several exposures is noisier where the longer ones are burnt out.
    own, errors = _share(*figures)
    shares = np.clip(at_all + _shrunk(own - whole, errors), 0, _LARGEST_SHARE)
    return float(np.clip(at_all, 0, _LARGEST_SHARE)), shares


def _bin_of(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Find the bin that each value lies in, to a 4096th of their range."""
    # A search for each value takes four times as long as a look into a table.
    low, high = starts[0], starts[-1]
    if not high > low:
        return np.zeros(values.shape, np.intp)
    table = np.searchsorted(starts, np.linspace(low, high, _CELLS), side="right") - 1
    cells = values - low
    cells *= (_CELLS - 1) / (high - low)
    np.clip(cells, 0, _CELLS - 1, out=cells)
    return table[cells.astype(np.intp)]


def _from_neighbours(signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Expect each pixel from its eight neighbours, and square how these differ."""
    down, up, right, left = (
        signal[:, 1 + y : signal.shape[1] - 1 + y, 1 + x : signal.shape[2] - 1 + x]
        for y, x in ((1, 0), (-1, 0), (0, 1), (0, -1))
    )
    corners = [
        signal[:, rows, columns]
        for rows in (np.s_[:-2], np.s_[2:])
        for columns in (np.s_[:-2], np.s_[2:])
    ]
    first, second, third, fourth = corners
    vertical, horizontal = down + up, right + left
    falling, rising = first + fourth, second + third
    sides, diagonal = vertical + horizontal, falling + rising  # four times the means
    sides /= 2
    diagonal /= 4
    # Right for any picture of second order (Immerkaer 1996).
    expected = sides - diagonal
    vertical -= horizontal
    falling -= rising
    vertical *= vertical
    falling *= falling
    vertical += falling
    vertical /= 4
    diagonal *= -2
    diagonal += sides
    diagonal *= diagonal
    vertical += diagonal
    return expected, vertical


def _inner(planes: np.ndarray) -> np.ndarray:
    return planes[:, 1:-1, 1:-1]


def _share(
    counts: np.ndarray, products: np.ndarray, squares: np.ndarray, powers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Part of the variance in each group, and its standard error.

    0 and inf where it is not known.
    """
    is_known = (counts >= _MIN_PIXELS) & (powers > 0)
    powers = np.where(is_known, powers, 1.0)
    value = np.where(is_known, products / powers, 0.0)
    spread = squares - products**2 / np.maximum(counts, 1)
    error = np.where(is_known, np.sqrt(np.maximum(spread, 0)) / powers, np.inf)
    return value, error


def _shrunk(values: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Shrink towards 0 what is not far beyond its error (James and Stein 1961)."""
    doubt = np.divide(
        _DOUBT * errors, values, out=np.ones_like(values), where=values != 0
    )
    return np.where(np.abs(doubt) < 1, values * (1 - doubt**2), 0.0)
