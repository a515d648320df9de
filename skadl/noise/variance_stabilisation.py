"""The generalised Anscombe transform, which makes noise alike everywhere, and back.

Noise of a sensor grows with the signal. After the transform it has a standard deviation
of about one everywhere, which is what denoisers of Gaussian noise expect. The way back
is the exact unbiased inverse of Mäkitalo and Foi, "Optimal inversion of the generalized
Anscombe transformation for Poisson-Gaussian noise" (IEEE Transactions on Image
Processing 2013): a denoised value is taken for the mean of transformed noisy ones, and
the inverse gives the signal that has this mean. Where electrons are few, the algebraic
inverse of the square root lies far below it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.stats import norm, poisson

from skadl.noise.noise_level import NoiseLevel

_LEAST_SHOT = 1e-9
# In electrons: from this signal, or this variance of read noise, the series of the
# inverse errs by a hundredth of an electron, of fourteen of noise. Below it the mean is
# summed up, over electrons and over read noise.
_FEW = 200.0
_N_NODES, _N_SIGNALS = 801, 2000


def stabilise(planes: np.ndarray, noise: NoiseLevel) -> np.ndarray:
    """Give planes whose variance is ``shot * signal + read`` unit noise everywhere.

    Of any shape, normalised, black at 0; the result is float64.
    """
    shot = max(noise.shot, _LEAST_SHOT)
    read = noise.read / shot**2
    return _transform(np.asarray(planes, float) / shot, read)


def unstabilise(z: np.ndarray, noise: NoiseLevel) -> np.ndarray:
    """Return the planes whose mean under `stabilise` is `z`: of any shape, float64.

    Below what black gives it goes on as a straight line, so that dark places keep their
    mean.
    """
    shot = max(noise.shot, _LEAST_SHOT)
    read = noise.read / shot**2
    z = np.asarray(z, float)
    if read > _FEW:
        return _inverse_series(np.maximum(z, 1.0), read) * shot
    signals, means = _mean_table(read)
    slope = (signals[1] - signals[0]) / (means[1] - means[0])
    electrons = np.interp(z, means, signals)
    electrons = np.where(z < means[0], (z - means[0]) * slope, electrons)
    many = z > means[-1]
    electrons[many] = _inverse_series(z[many], read)
    return electrons * shot


def _transform(electrons: np.ndarray, read: float) -> np.ndarray:
    return 2 * np.sqrt(np.maximum(electrons + 3 / 8 + read, 0))


def _inverse_series(z: np.ndarray, read: float) -> np.ndarray:
    """Invert the mean, in electrons, by its series (the paper's closed form)."""
    root = 1.5**0.5
    series = z**2 / 4 + root / 4 / z - 11 / 8 / z**2 + 5 / 8 * root / z**3
    return series - 1 / 8 - read


@lru_cache(maxsize=64)
def _mean_table(read: float) -> tuple[np.ndarray, np.ndarray]:
    """Signals up to `_FEW` electrons, and the means that they have when transformed."""
    # Dense at black, where the mean bends.
    signals = _FEW * np.linspace(0, 1, _N_SIGNALS) ** 2
    counts = np.arange(int(_FEW + 12 * _FEW**0.5))
    nodes = np.linspace(-8, 8, _N_NODES)
    weights = norm.pdf(nodes)
    weights /= weights.sum()
    # (n_counts, n_nodes) -> (n_counts,): the mean over read noise for each count.
    of_count = _transform(counts[:, None] + read**0.5 * nodes, read) @ weights
    means = np.empty(_N_SIGNALS)
    for block in np.array_split(np.arange(_N_SIGNALS), 20):
        means[block] = poisson.pmf(counts, signals[block, None]) @ of_count
    return signals, means
