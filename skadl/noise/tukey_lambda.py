"""The Tukey-lambda distribution, which fits the long tails of read noise."""

from __future__ import annotations

import numpy as np
from scipy.special import beta, zeta


def tukey_lambda_variance(shape: float) -> float:
    """Variance of the Tukey-lambda distribution of unit scale, for a shape above -0.5.

    Shape 0 is the logistic distribution, 0.14 is nearly Gaussian.

    >>> round(tukey_lambda_variance(1.0), 4)  # uniform on (-1, 1)
    0.3333
    """
    if not shape > -0.5:
        raise ValueError(f"shape must be above -0.5, got {shape}.")
    if abs(shape) < 1e-4:  # where the closed form loses its digits: first order
        return float(np.pi**2 / 3 - 4 * (zeta(2) + zeta(3)) * shape)
    return float(2 / shape**2 * (1 / (1 + 2 * shape) - beta(shape + 1, shape + 1)))


def draw_tukey_lambda(
    shape: float, size: tuple[int, ...], rng: np.random.Generator
) -> np.ndarray:
    """Draw from the Tukey-lambda distribution of unit scale: shape `size`, float32."""
    # By its quantile function, (u**shape - (1 - u)**shape) / shape; expm1 of logarithms
    # keeps the digits of a small shape, and float64 those of the tails.
    # Centres of 2**32 equal cells: never 0 or 1, where the quantile is infinite.
    cells = rng.integers(0, 2**32, size=size, dtype=np.uint32)
    upper = (cells + 0.5) * 2.0**-32
    log_upper, log_lower = np.log(upper), np.log1p(-upper)
    if abs(shape) < 1e-6:
        return (log_upper - log_lower).astype(np.float32)
    difference = np.expm1(shape * log_upper) - np.expm1(shape * log_lower)
    return (difference / shape).astype(np.float32)
