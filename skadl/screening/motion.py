"""What moved between the two frames: where the residual is more than noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter, uniform_filter
from scipy.stats import chi2

from skadl.noise.residual import OUTLIER
from skadl.screening.alignment import Aligned
from skadl.screening.symptoms import without_offsets

BLOCK = 4  # packed pixels a side
_WIDER = 3  # blocks a side, of the second look for what is larger and fainter
_CHANCE = 3e-3  # that noise alone marks a block anywhere in a frame
_POWER = 6.5  # standard deviations of the power of a block
_LEAST_BLOCKS = 16
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, eq=False)
class Motion:
    """Blocks of the frame in which the residual is more than noise.

    Parameters
    ----------
    moved : ndarray of shape (h // 4, w // 4), bool
    share : float
        Of the blocks in which noise is known, in [0, 1].
    energy : float
        Mean square of what moved over the whole frame, relative to the mean variance
        of the noise.
    whiteness: float
        Of the residual elsewhere: 1 for noise; less where a picture is all over it.
    """

    moved: np.ndarray
    share: float
    energy: float
    whiteness: float = 1.0


def find_motion(aligned: Aligned) -> Motion:
    """Look for blocks of the residual that noise cannot have left.

    Parameters
    ----------
    aligned : Aligned

    Returns
    -------
    Motion

    Notes
    -----
    The mean residual of a block, in standard errors, is Gaussian in each plane for
    noise; its squares, summed over the planes, follow a chi-squared distribution of
    four degrees of freedom. Blocks beyond its quantile are marked, at the size of a
    block and at three times that. The spread of the blocks themselves is the unit, so
    that noise shared by neighbours raises no alarm.
    """
    sigma, known = aligned.sigma, aligned.known
    # What moved has drawn the means of its rows and columns: take them anew.
    bounded = np.clip(aligned.residual, -OUTLIER * sigma, OUTLIER * sigma)
    drawn = bounded - without_offsets(bounded, known / sigma**2)
    residual = aligned.residual - drawn
    score = known * np.clip(residual / sigma, -OUTLIER, OUTLIER)
    count = _sum_blocks(known)
    usable = (count >= BLOCK**2 / 2).all(axis=0)
    if usable.sum() < _LEAST_BLOCKS:
        return Motion(np.zeros(usable.shape, bool), 0.0, 0.0)
    total = _sum_blocks(score) * usable
    count = count * usable
    power = _sum_blocks(score**2).sum(axis=0) * usable
    moved = np.zeros(usable.shape, bool)
    limit = chi2.isf(_CHANCE / (2 * usable.sum()), 4)
    for size in (1, _WIDER):
        # A moving sum of blocks; uniform_filter gives their mean.
        window = (1, size, size)
        sums, counts = (
            uniform_filter(x, window, mode="constant") for x in (total, count)
        )
        means = sums * size / np.sqrt(np.maximum(counts, 1e-9))
        spread = _MAD_TO_SIGMA * np.median(np.abs(means[:, usable]), axis=1)
        evidence = (means / np.maximum(spread, 1.0)[:, None, None]) ** 2
        found = usable & (evidence.sum(axis=0) > limit)
        # Fine detail that moved cancels in the mean of a block, not in its squares.
        powers = uniform_filter(power, size, mode="constant") * size**2
        centre = np.median(powers[usable])
        spread = _MAD_TO_SIGMA * np.median(np.abs(powers[usable] - centre))
        least = np.sqrt(2 * 4 * BLOCK**2) * size  # of Gaussian noise
        found |= usable & (powers - centre > _POWER * np.maximum(spread, least))
        if size == 1:
            above = (evidence.sum(axis=0) > 2 * 4) | (powers - centre > 2 * spread)
        moved |= maximum_filter(found, size) & usable & above
    height, width = (BLOCK * n for n in moved.shape)
    inside = (slice(None), slice(height), slice(width))
    variance = (known * sigma**2)[inside]
    excess = _sum_blocks(known * residual**2)
    excess = (excess - _sum_blocks(variance)).sum(axis=0)
    energy = max(0.0, float(excess[moved].sum() / max(variance.sum(), 1e-300)))
    still = np.repeat(np.repeat(usable & ~moved, BLOCK, axis=0), BLOCK, axis=1)
    share = float(moved.sum() / usable.sum())
    return Motion(moved, share, energy, _whiteness(score[inside] * still))


def _whiteness(score: np.ndarray) -> float:
    down_right = (score[:, 1:, 1:] * score[:, :-1, :-1]).sum()
    down_left = (score[:, 1:, :-1] * score[:, :-1, 1:]).sum()
    power = (score**2).sum()
    return float(1 - (down_right + down_left) / (2 * power)) if power > 0 else 1.0


def _sum_blocks(planes: np.ndarray) -> np.ndarray:
    n_rows, n_columns = (side // BLOCK for side in planes.shape[1:])
    inner = planes[:, : n_rows * BLOCK, : n_columns * BLOCK]
    blocks = inner.reshape(len(planes), n_rows, BLOCK, n_columns, BLOCK)
    return blocks.sum(axis=(2, 4), dtype=float)
