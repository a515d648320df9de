"""Packed frames in square tiles, so that a patch lies together on disk.

A patch of 65 rows of a frame that is stored row by row touches 65 places of the file;
of one that is stored in tiles of 64 by 64 it touches two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

LARGEST_SIDE = 64  # of a tile, in packed pixels


@dataclass(frozen=True)
class TileLayout:
    """How a packed frame (height, width) of counts of a dtype lies in tiles.

    Tiles are of one size and follow one another row by row; within a tile so do
    pixels, and the planes of each lie together.

    >>> layout = TileLayout(100, 64, "<u2")
    >>> layout.grid, layout.tile
    ((2, 1), (50, 64, 4))
    """

    height: int
    width: int
    dtype: str
    n_planes: int = 4

    @cached_property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return (
            math.ceil(self.height / LARGEST_SIDE),
            math.ceil(self.width / LARGEST_SIDE),
        )

    @cached_property
    def tile(self) -> tuple[int, int, int]:
        """Shape of a tile, the smallest that will do: edges leave little unused."""
        n_rows, n_columns = self.grid
        return (
            math.ceil(self.height / n_rows),
            math.ceil(self.width / n_columns),
            self.n_planes,
        )

    @cached_property
    def n_tiles(self) -> int:
        """How many there are."""
        return math.prod(self.grid)

    @cached_property
    def tile_bytes(self) -> int:
        """Size of a tile."""
        return math.prod(self.tile) * np.dtype(self.dtype).itemsize

    @property
    def n_bytes(self) -> int:
        """Size of all tiles."""
        return self.n_tiles * self.tile_bytes


def layout_of(planes: np.ndarray) -> TileLayout:
    """Choose how to store planes (C, h, w): in 16 bits where that loses nothing.

    >>> [layout_of(np.full((4, 2, 2), count)).dtype for count in (7.0, 7.5, -7)]
    ['<u2', '<f4', '<i4']
    """
    is_whole = planes.dtype.kind in "ui" or not np.any(np.rint(planes) != planes)
    if is_whole and planes.min() >= 0 and planes.max() <= np.iinfo(np.uint16).max:
        dtype = "<u2"
    else:  # the types that are trained on
        dtype = "<i4" if planes.dtype.kind in "ui" else "<f4"
    n_planes, height, width = planes.shape
    return TileLayout(height, width, dtype, n_planes)


def to_tiles(planes: np.ndarray, layout: TileLayout) -> np.ndarray:
    """Put planes (C, h, w) into tiles (n_tiles, th, tw, C), zero beyond the edges."""
    (n_rows, n_columns), (height, width, _) = layout.grid, layout.tile
    sides = n_rows * height, n_columns * width
    padded = np.zeros((layout.n_planes, *sides), layout.dtype)
    padded[:, : layout.height, : layout.width] = planes
    tiles = padded.reshape(-1, n_rows, height, n_columns, width)
    tiles = np.ascontiguousarray(tiles.transpose(1, 3, 2, 4, 0))
    return tiles.reshape(-1, *layout.tile)


def from_tiles(tiles: np.ndarray, layout: TileLayout) -> np.ndarray:
    """Put planes (C, h, w) together again: undo `to_tiles`."""
    (n_rows, n_columns), (height, width, _) = layout.grid, layout.tile
    tiles = tiles.reshape(n_rows, n_columns, *layout.tile)
    planes = tiles.transpose(4, 0, 2, 1, 3)
    planes = planes.reshape(-1, n_rows * height, n_columns * width)
    return planes[:, : layout.height, : layout.width]


def window_runs(
    layout: TileLayout, top: int, left: int, height: int, width: int
) -> Iterator[tuple[int, int]]:
    """List a window's tiles in runs that lie together: the first, and how many."""
    tile_height, tile_width, _ = layout.tile
    first, last = left // tile_width, (left + width - 1) // tile_width
    for row in range(top // tile_height, (top + height - 1) // tile_height + 1):
        yield row * layout.grid[1] + first, last - first + 1


def read_window(
    layout: TileLayout,
    read_run: Callable[[int, int], np.ndarray],  # first, n: (n, th, tw, C)
    top: int,
    left: int,
    height: int,
    width: int,
) -> np.ndarray:
    """Cut a window (height, width, C) out of a frame, in the machine's byte order."""
    tile_height, tile_width, n_planes = layout.tile
    dtype = np.dtype(layout.dtype).newbyteorder("=")
    window = np.empty((height, width, n_planes), dtype)
    for first, n_tiles in window_runs(layout, top, left, height, width):
        row, column = divmod(first, layout.grid[1])
        inside, in_tile = _overlap(row * tile_height - top, tile_height, height)
        for step, tile in enumerate(read_run(first, n_tiles)):
            start = (column + step) * tile_width - left
            across, across_tile = _overlap(start, tile_width, width)
            window[inside, across] = tile[in_tile, across_tile]
    return window


def _overlap(start: int, tile: int, window: int) -> tuple[slice, slice]:
    """Where a tile that begins at `start` of a window meets it: in both."""
    first, last = max(0, start), min(window, start + tile)
    return slice(first, last), slice(first - start, last - start)
