"""A standard deviation that outliers do not move."""

from __future__ import annotations

import numpy as np


def robust_sigma(
    deviations: np.ndarray, axis: int | None = None
) -> np.ndarray | np.floating:
    """Estimate the standard deviation of Gaussian deviations by their median size."""
    # Half of a Gaussian lies within 0.6745 of its sigma, and 1 / 0.6745 = 1.4826;
    # unlike the root mean square it bears outliers in up to half of the values.
    return 1.4826 * np.median(np.abs(deviations), axis=axis)
