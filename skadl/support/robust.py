"""A standard deviation that outliers do not move."""

from __future__ import annotations

import numpy as np


def median(values: np.ndarray, axis: int | None = None) -> np.ndarray | np.floating:
    """Return what `np.median` does of finite values, in a fraction of its time.

    >>> median(np.array([[3.0, 1.0, 2.0, 4.0]])), median(np.array([3, 1, 2]))
    (np.float64(2.5), np.int64(2))
    """
    if axis is None:
        values, axis = values.ravel(), 0
    n_values = values.shape[axis]
    if not n_values:
        return np.median(values, axis=axis)
    # NumPy has vectors for one place to part at, not for the three of its own median.
    values = np.partition(values, n_values // 2, axis=axis)
    upper = values.take(n_values // 2, axis)
    if n_values % 2:
        return upper
    lower = values[(slice(None),) * (axis % values.ndim) + (slice(n_values // 2),)]
    return (lower.max(axis=axis) + upper) / 2


def quantile(values: np.ndarray, share: float) -> float:
    """Return what `np.quantile` does of finite values, in a fraction of its time.

    >>> quantile(np.array([4, 1, 3, 2], np.uint8), 0.5)
    2.5
    """
    place = share * (values.size - 1)
    values = np.partition(values.ravel(), int(place))
    low, rest = float(values[int(place)]), place - int(place)
    return low + rest * (float(values[int(place) + 1 :].min()) - low) if rest else low


def robust_sigma(
    deviations: np.ndarray, axis: int | None = None
) -> np.ndarray | np.floating:
    """Estimate the standard deviation of Gaussian deviations by their median size."""
    # Half of a Gaussian lies within 0.6745 of its sigma, and 1 / 0.6745 = 1.4826;
    # unlike the root mean square it bears outliers in up to half of the values.
    return 1.4826 * median(np.abs(deviations), axis=axis)
