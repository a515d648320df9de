"""What moved between the two frames: where the residual is more than noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter, uniform_filter
from scipy.special import chdtri

from skadl.noise.residual import OUTLIER, whiteness
from skadl.screening.alignment import Aligned
from skadl.screening.symptoms import without_offsets
from skadl.support.robust import median, robust_sigma

BLOCK = 4  # packed pixels a side
_WIDER = 3  # blocks a side, of the second look for what is larger and fainter
_CHANCE = 3e-3  # that noise alone marks a block anywhere in a frame
_POWER = 6.5  # standard deviations of the power of a block
_LEAST_BLOCKS = 16


@dataclass(frozen=True, eq=False)
class Motion:
    """Blocks of the frame in which the residual is more than noise."""

    moved: np.ndarray  # (h // 4, w // 4), bool
    share: float  # of the blocks in which noise is known
    # Mean square of what moved over the whole frame, relative to the noise's.
    energy: float
    # Of the residual elsewhere: 1 for noise; less where a picture is all over it.
    whiteness: float = 1.0


def find_motion(aligned: Aligned) -> Motion:
    """Look for blocks of the residual that noise cannot have left."""
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
    # The mean score of a block, over its standard error, is Gaussian in each plane
    # where there is noise only; its squares, summed over the planes, follow a
    # chi-squared distribution of so many degrees. Looked at in two sizes, so each look
    # has half of the chance of a false alarm, shared by all blocks (Bonferroni).
    total = _sum_blocks(score) * usable
    count = count * usable
    power = _sum_blocks(score**2).sum(axis=0) * usable
    moved = np.zeros(usable.shape, bool)
    n_planes = len(score)
    limit = chdtri(n_planes, _CHANCE / (2 * usable.sum()))
    for size in (1, _WIDER):
        # A moving sum of blocks; uniform_filter gives their mean.
        window = (1, size, size)
        sums, counts = (
            uniform_filter(x, window, mode="constant") for x in (total, count)
        )
        means = sums * size / np.sqrt(np.maximum(counts, 1e-9))
        # In units of the blocks' own spread: noise that neighbours share is no alarm.
        spread = robust_sigma(means[:, usable], axis=1)
        evidence = (means / np.maximum(spread, 1.0)[:, None, None]) ** 2
        found = usable & (evidence.sum(axis=0) > limit)
        # Fine detail that moved cancels in the mean of a block, not in its squares.
        powers = uniform_filter(power, size, mode="constant") * size**2
        centre = median(powers[usable])
        spread = robust_sigma(powers[usable] - centre)
        # Squares of a Gaussian score have the variance 2, in planes of 4x4 pixels.
        least = np.sqrt(2 * n_planes * BLOCK**2) * size
        found |= usable & (powers - centre > _POWER * np.maximum(spread, least))
        # The wider look finds the middle of three by three blocks; of these only those
        # that are themselves above the ordinary are marked.
        if size == 1:
            above = (evidence.sum(axis=0) > 2 * n_planes) | (
                powers - centre > 2 * spread
            )
        moved |= maximum_filter(found, size) & usable & above
    height, width = (BLOCK * n for n in moved.shape)
    inside = (slice(None), slice(height), slice(width))
    variance = (known * sigma**2)[inside]
    excess = _sum_blocks(known * residual**2) - _sum_blocks(variance)
    excess = excess.sum(axis=0)
    energy = max(0.0, float(excess[moved].sum() / max(variance.sum(), 1e-300)))
    still = np.repeat(np.repeat(usable & ~moved, BLOCK, axis=0), BLOCK, axis=1)
    share = float(moved.sum() / usable.sum())
    return Motion(moved, share, energy, whiteness(score[inside] * still))


def _sum_blocks(planes: np.ndarray) -> np.ndarray:
    n_rows, n_columns = (side // BLOCK for side in planes.shape[1:])
    inner = planes[:, : n_rows * BLOCK, : n_columns * BLOCK]
    blocks = inner.reshape(len(planes), n_rows, BLOCK, n_columns, BLOCK)
    return blocks.sum(axis=(2, 4), dtype=float)
