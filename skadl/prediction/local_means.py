"""The local means of a correction: noise has none, at any level and in any part.

What a network removes may have a mean: it draws an image towards the brightness and
the colours that it was trained on, in shadows otherwise than in lights. A mean taken
over the whole plane hides that. So means are looked for in groups of blocks: the whole
plane, blocks of about the same level, and large squares of the frame. Each is taken out
as far as it stands out from what noise alone gives.

A group must not be chosen by the pixels' own noise: where noise is positive the noisy
pixel is brighter and so is what is removed from it, and a denoised pixel keeps some of
it. So a block's level is that of all four planes, first over 4x4 packed pixels, last
over 12x12, where hardly anything of a pixel's own noise is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter
from scipy.sparse import csc_array, csr_array

from skadl.noise.noise_level import NoiseLevel
from skadl.noise.signal_bins import MOST_CLIPPED
from skadl.prediction.blocks import BLOCK, stabilised, variance

SQUARE = 64  # packed pixels: side of the squares
NEIGHBOURHOOD = 3  # blocks: side of the wide level
LEVEL_STEP = 1.0  # standard deviations of noise between groups of level, in shadows
_EVEN_STEPS = 8.0  # standard deviations above black from which steps grow with signal
_LOWEST = -4.0  # standard deviations: below black by more there is nothing
# What is left of a group's mean that stands out, in its variance by noise: a little,
# since groups that overlap leave as much in the same direction.
_LEFT = 0.4
_FEW = 200.0  # pixels: groups of fewer have little say in how large means are


@dataclass(frozen=True, eq=False)
class BlockMeans:
    """Means over the blocks of a frame, and how many pixels each has."""

    level: np.ndarray  # (4, rows, columns), denoised
    residual: np.ndarray  # (4, rows, columns), what the network removes
    clipped: np.ndarray  # (4, rows, columns), share of pixels at black or white
    n_pixels: np.ndarray  # (rows, columns)


def wide_level(level: np.ndarray, noise: NoiseLevel) -> np.ndarray:
    """Return the level around each block, of all planes: (rows, columns), in steps.

    `level` are the denoised means of blocks (4, rows, columns).
    """
    wide = uniform_filter(level.mean(axis=0), NEIGHBOURHOOD, mode="nearest")
    return _steps(wide, noise)


def local_means(blocks: BlockMeans, noise: NoiseLevel) -> np.ndarray:
    """Estimate the means of a correction: (4, rows, columns), in sigmas of each block.

    Where more than `MOST_CLIPPED` of a group is clipped its noise has a mean, which
    stays.
    """
    wide = wide_level(blocks.level, noise)
    small = _steps(blocks.level.mean(axis=0), noise)
    # Twice: a block that belongs to two groups in part leaves a little of each mean.
    groups = [_Levels.of(small), _Squares.of(*wide.shape), _Levels.of(wide)]
    groups = [_Everything(), *groups, *groups]
    sigma = np.sqrt(variance(noise, blocks.level.astype(float)))
    score, n_clipped = blocks.residual / sigma, blocks.clipped * blocks.n_pixels
    result = np.zeros(score.shape)
    for group in groups:
        weight = group.gather(blocks.n_pixels)
        for means, plane, clipped in zip(result, score, n_clipped, strict=True):
            rest = group.gather((plane - means) * blocks.n_pixels)
            found = _significant(rest / np.maximum(weight, 1e-9), weight)
            if clipped.any():
                found[group.gather(clipped) > MOST_CLIPPED * weight] = 0.0
            means += group.spread(found)
    # Of a plane as a whole nothing is left.
    is_free = n_clipped.mean(axis=(1, 2)) <= MOST_CLIPPED * blocks.n_pixels.mean()
    weight = blocks.n_pixels * sigma
    rest = np.sum((score - result) * weight, axis=(1, 2)) / weight.sum(axis=(1, 2))
    return result + np.where(is_free, rest, 0.0)[:, None, None]


def _significant(mean: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Draw means of groups towards 0 by what noise of variance 1 would give them.

    `weight` is the number of pixels of each.

    >>> _significant(np.array([0.5, 0.01]), np.array([1e4, 1e2])).round(2)
    array([0.5 , 0.01])
    >>> _significant(np.array([0.01, 0.01]), np.array([1e3, 1e2]))
    array([0., 0.])
    """
    error = 1 / np.maximum(weight, 1.0)
    # Two ways to tell a mean from noise. All groups together: their means vary by more
    # than noise lets them (empirical Bayes). One by itself (James and Stein): a few
    # groups may have large means where most have none.
    say = weight / (weight + _FEW)
    spread = max(np.sum(say * (mean**2 - error)) / max(say.sum(), 1e-9), 0.0)
    alone = 1 - np.minimum(_LEFT * error / np.maximum(mean**2, 1e-30), 1)
    return mean * np.maximum(spread / (spread + error), alone)


class _Everything:
    """One group."""

    def gather(self, values: np.ndarray) -> np.ndarray:
        return np.array([values.sum()])

    def spread(self, values: np.ndarray) -> np.ndarray:
        return values[0]


@dataclass(frozen=True, eq=False)
class _Levels:
    """Groups one step of level apart; a block between two belongs to both in part.

    So a level that rounds otherwise does not move a block from one group to another.
    """

    parts: csc_array  # (n_groups, rows * columns): of each block two, which add to 1
    turned: csr_array  # the same, (rows * columns, n_groups)
    shape: tuple[int, int]

    @classmethod
    def of(cls, steps: np.ndarray) -> _Levels:
        below = np.floor(steps)
        above = (steps - below).ravel()
        below = (below - below.min()).astype(np.int32).ravel()
        parts = np.stack([1 - above, above], axis=1)
        groups = np.stack([below, below + 1], axis=1)
        starts = np.arange(0, 2 * below.size + 1, 2, dtype=np.int32)
        matrix = csc_array(
            (parts.ravel(), groups.ravel(), starts),
            shape=(int(below.max()) + 2, below.size),
        )
        return cls(matrix, matrix.T, steps.shape)

    def gather(self, values: np.ndarray) -> np.ndarray:
        return self.parts @ values.ravel()

    def spread(self, values: np.ndarray) -> np.ndarray:
        return (self.turned @ values).reshape(self.shape)


@dataclass(frozen=True, eq=False)
class _Squares:
    """Groups about centres a square apart; a block between them belongs to four."""

    # Without zeros: products of full matrices start threads, which then wait in a loop.
    to_rows: csr_array  # (rows, n), parts
    to_columns: csr_array  # (columns, m)
    of_rows: csc_array  # (n, rows)
    of_columns: csc_array  # (m, columns)

    @classmethod
    def of(cls, n_rows: int, n_columns: int) -> _Squares:
        sides = [csr_array(_parts(n)) for n in (n_rows, n_columns)]
        return cls(*sides, *(side.T for side in sides))

    def gather(self, values: np.ndarray) -> np.ndarray:
        return (self.of_columns @ (self.of_rows @ values).T).T

    def spread(self, values: np.ndarray) -> np.ndarray:
        return self.to_rows @ (self.to_columns @ values.T).T


def _parts(n_blocks: int) -> np.ndarray:
    """Parts of blocks in squares along a side (n_blocks, n_squares); rows add to 1."""
    n_squares = max(round(n_blocks * BLOCK / SQUARE), 1)
    place = (np.arange(n_blocks) + 0.5) / n_blocks * n_squares - 0.5
    distance = np.clip(place, 0, n_squares - 1)[:, None] - np.arange(n_squares)
    return np.maximum(1 - np.abs(distance), 0)


def _steps(level: np.ndarray, noise: NoiseLevel) -> np.ndarray:
    """Count steps of level from black: of one sigma in shadows, longer in lights."""
    place = np.maximum(stabilised(noise, level.astype(float)), _LOWEST)
    return np.arcsinh(place / _EVEN_STEPS) * (_EVEN_STEPS / LEVEL_STEP)
