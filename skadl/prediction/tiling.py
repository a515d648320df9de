"""Overlapping tiles of a frame: as large as memory allows, exact at every border.

A tile reaches further than what it is used for by the network's halo, beyond which
nothing matters. At a border of the frame it ends where the frame ends, so that the
network pads it as it pads the whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

# The first tile touches fresh memory, which the next ones use again: page faults cost
# about this part of a tile's work more.
TOUCHING = 0.3
# A frame may cost so much more in smaller tiles, which need less memory.
WORTH_MEMORY = 1.03


@dataclass(frozen=True)
class Tile:
    """A rectangle that the network sees, and the part of it that is used."""

    top: int  # of the rectangle in the frame, in packed pixels
    left: int
    rows: slice  # of the frame: what this tile and no other gives the result for
    columns: slice

    @property
    def core(self) -> tuple[slice, slice]:
        """The same rows and columns, counted inside the tile."""
        return (
            slice(self.rows.start - self.top, self.rows.stop - self.top),
            slice(self.columns.start - self.left, self.columns.stop - self.left),
        )


@dataclass(frozen=True)
class Tiling:
    """A frame cut into overlapping tiles of one shape.

    >>> tiling = Tiling(sides=(10, 22), shape=(12, 16), halo=4, multiple=4)
    >>> [(tile.left, tile.columns) for tile in tiling]
    [(0, slice(0, 12, None)), (8, slice(12, 22, None))]
    """

    sides: tuple[int, int]  # of the frame, in packed pixels
    # Of every tile. It reaches over the frame's right and bottom border where that is
    # no multiple of the network's: by less than one.
    shape: tuple[int, int]
    halo: int  # of the network
    multiple: int

    def __len__(self) -> int:
        return len(self._spans(0)) * len(self._spans(1))

    def __iter__(self) -> Iterator[Tile]:
        for top, rows in self._spans(0):
            for left, columns in self._spans(1):
                yield Tile(top, left, rows, columns)

    def _spans(self, axis: int) -> list[tuple[int, slice]]:
        """Start of each tile along an axis, and what it is used for."""
        side, length = self.sides[axis], self.shape[axis]
        padded = _round_up(side, self.multiple)
        step = length - 2 * self.halo
        n_tiles = _count(padded, length, self.halo)
        # The last tile ends where the padded frame ends, however far it overlaps.
        starts = [min(i * step, padded - length) for i in range(n_tiles)]
        cuts = [0, *(start + self.halo for start in starts[1:]), side]
        return [(starts[i], slice(cuts[i], cuts[i + 1])) for i in range(n_tiles)]


def choose_tiling(
    sides: tuple[int, int], halo: int, multiple: int, most_pixels: float
) -> Tiling:
    """Cut a frame into tiles of at most `most_pixels`, of hardly more than least cost.

    All in packed pixels. ValueError if not even the smallest tile fits.

    >>> choose_tiling((500, 500), halo=48, multiple=8, most_pixels=1e7).shape
    (504, 504)
    >>> choose_tiling((2000, 3000), halo=48, multiple=8, most_pixels=1e6).shape
    (1048, 680)
    """
    # Work is in proportion to the pixels computed, those of halos again and again; few
    # large tiles waste less than many small ones, as far as memory goes. There are some
    # hundred shapes at most, so all of them are tried.
    lengths = [_lengths(side, halo, multiple) for side in sides]
    costs = {
        (height, width): (n_down * n_across + TOUCHING) * height * width
        for height, n_down in lengths[0].items()
        for width, n_across in lengths[1].items()
        if height * width <= most_pixels
    }
    if not costs:
        needed = min(lengths[0]) * min(lengths[1])
        raise ValueError(
            f"the smallest tile has {needed} packed pixels, only {int(most_pixels)} fit"
        )
    most_cost = WORTH_MEMORY * min(costs.values())
    shapes = [shape for shape, cost in costs.items() if cost <= most_cost]
    return Tiling(sides, min(shapes, key=math.prod), halo, multiple)


def _lengths(side: int, halo: int, multiple: int) -> dict[int, int]:
    """Candidates for a side of the tiles, each with the number of tiles.

    For each number of tiles the shortest length that covers the frame with it: a longer
    one computes more for nothing.
    """
    padded = _round_up(side, multiple)
    most = max((padded - 2 * halo) // multiple, 1)
    lengths = {
        _round_up(-(-(padded - 2 * halo) // n_tiles), multiple) + 2 * halo
        for n_tiles in range(2, most + 1)
    }
    return {length: _count(padded, length, halo) for length in lengths | {padded}}


def _count(padded: int, length: int, halo: int) -> int:
    if length >= padded:
        return 1
    return -(-(padded - 2 * halo) // (length - 2 * halo))


def _round_up(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple
