"""A frame in blocks of 4x4 packed pixels: their sums, and maps spread over the frame.

What is estimated of a whole frame (its level, what a correction adds or takes on
average) needs no more than a number a block: a sixteenth of a frame in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skadl.noise.noise_level import NoiseLevel
from skadl.prediction.bands import each_band, row_unit
from skadl.raw.mosaic import mosaic_of, pack_mosaic, unpack_mosaic

BLOCK = 4  # packed pixels
SMALLEST_VARIANCE = 1e-20  # keeps what is divided by a standard deviation finite


def block_counts(height: int, width: int) -> np.ndarray:
    """Count the packed pixels of every block; those at the far edges may have fewer.

    >>> block_counts(4, 6)
    array([[16.,  8.]])
    """
    rows, columns = (
        np.minimum(BLOCK, side - np.arange(0, side, BLOCK, dtype=float))
        for side in (height, width)
    )
    return np.outer(rows, columns)


def block_sums(
    read: Callable[[slice], np.ndarray], cfa: str, height: int, width: int
) -> np.ndarray:
    """Add up the blocks of planes: (n_planes, block rows, block columns), float32.

    `read` gives packed rows of the frame as a mosaic. Sides are packed.

    >>> block_sums(lambda rows: np.ones((8, 12)), "RGGB", height=4, width=6)[0]
    array([[16.,  8.]], dtype=float32)
    """
    n_rows, n_columns = (-(-side // BLOCK) for side in (height, width))
    side = mosaic_of(cfa).side
    unit, n_units = row_unit(side)

    def add_up(rows: slice) -> np.ndarray:
        first, last = rows.start * BLOCK, min(rows.stop * BLOCK, height)
        band = read(slice(first, last)).reshape(last - first, side, side * width)
        # Rows first: they are added as they lie in memory. By slices, not `reduceat`,
        # which takes fifty times as long along this axis.
        n_whole = len(band) // BLOCK
        blocks = band[: n_whole * BLOCK].reshape(n_whole, BLOCK, side, side * width)
        shape = rows.stop - rows.start, side, side * BLOCK * n_columns
        sums = np.zeros(shape, np.float32)
        sums[:n_whole, :, : side * width] = blocks.sum(axis=1, dtype=np.float32)
        sums[n_whole:, :, : side * width] = band[n_whole * BLOCK :].sum(axis=0)
        # (block rows, side, BLOCK n_columns, n_units)
        pixels = sums.view(unit).reshape(*shape[:2], -1, n_units)
        mosaic = sum(pixels[:, :, place::BLOCK] for place in range(BLOCK))
        lines = mosaic.view(np.float32).reshape(-1, side * n_columns)
        return pack_mosaic(lines, cfa)

    return np.concatenate(each_band(add_up, n_rows, BLOCK * width), axis=1)


def sum_blocks(planes: np.ndarray) -> np.ndarray:
    """Add up the blocks of all planes (4, h, w) together: (block rows, block columns).

    >>> sum_blocks(np.ones((4, 4, 6)))
    array([[64., 32.]])
    """
    below, right = (-side % BLOCK for side in planes.shape[1:])
    sums = np.pad(planes.sum(axis=0, dtype=float), ((0, below), (0, right)))
    height, width = sums.shape
    sums = sums.reshape(-1, BLOCK, width).sum(axis=1)
    return sums.reshape(len(sums), -1, BLOCK).sum(axis=2)


@dataclass(frozen=True, eq=False)
class BlockMap:
    """A value for each plane and block, interpolated where a band of it is read."""

    values: np.ndarray  # (block rows, side, side * block columns), float32
    width: int  # of the frame, packed

    @classmethod
    def of(cls, values: np.ndarray, cfa: str, width: int) -> BlockMap:
        """Lay out planes (n_planes, block rows, block columns) as a mosaic lies."""
        mosaic = unpack_mosaic(values.astype(np.float32), cfa)
        return cls(mosaic.reshape(values.shape[1], mosaic_of(cfa).side, -1), width)

    def band(self, rows: slice, columns: slice = np.s_[:]) -> np.ndarray:
        """Return a window as a mosaic, bilinear between block centres.

        >>> planes = np.ones((4, 2, 1)) * [[0], [8]]
        >>> steps = BlockMap.of(planes, "RGGB", width=1)
        >>> steps.band(slice(1, 6))[::2, 0]
        array([0., 1., 3., 5., 7.], dtype=float32)
        """
        side = self.values.shape[1]
        above, below, down = _neighbours(
            np.arange(rows.start, rows.stop), len(self.values)
        )
        first = above[0]
        part = self.values[first : below[-1] + 1]
        pixels = np.arange(*columns.indices(self.width))
        left, right, across = _neighbours(pixels, part.shape[2] // side)
        # A block's value for each unit of a row, (n, side, side * pixels).
        units = np.arange(side)
        left, right = (
            np.add.outer(side * blocks, units).ravel() for blocks in (left, right)
        )
        wide = part.take(left, axis=2)
        wide += (part.take(right, axis=2) - wide) * across.repeat(side)
        wide = wide.reshape(len(part), -1)
        steps = np.diff(wide, axis=0, append=wide[-1:])
        band = np.empty((len(above), wide.shape[1]), np.float32)
        # Row by row: three rows stay in the cache, and none is copied out first.
        for row, block, part_of_step in zip(band, above - first, down, strict=True):
            np.multiply(steps[block], part_of_step, out=row)
            row += wide[block]
        return band.reshape(-1, side * len(pixels))


def _neighbours(pixels: np.ndarray, n_blocks: int) -> tuple[np.ndarray, ...]:
    """Find the blocks before and after pixels, and how far they are from the first."""
    place = np.clip((pixels + 0.5) / BLOCK - 0.5, 0, n_blocks - 1)
    before = np.minimum(place.astype(int), max(n_blocks - 2, 0))
    after = np.minimum(before + 1, n_blocks - 1)
    return before, after, (place - before).astype(np.float32)


def variance(noise: NoiseLevel, signal: np.ndarray) -> np.ndarray:
    """Return the variance that noise has at a signal; a fresh array.

    >>> variance(NoiseLevel(2.0, 1.0), np.array([-1.0, 3.0]))
    array([1., 7.])
    """
    result = np.maximum(signal, 0)
    result *= noise.shot
    result += max(noise.read, SMALLEST_VARIANCE)
    return result


def stabilised(noise: NoiseLevel, signal: np.ndarray) -> np.ndarray:
    """Return signal on a scale where the noise of each level is about 1.

    >>> stabilised(NoiseLevel(0.0, 0.25), np.array([-1.0, 0.0, 1.0]))
    array([-2.,  0.,  2.])
    """
    dark = max(noise.read, SMALLEST_VARIANCE) ** 0.5
    above, below = np.maximum(signal, 0), np.minimum(signal, 0)
    return 2 * above / (np.sqrt(variance(noise, signal)) + dark) + below / dark
