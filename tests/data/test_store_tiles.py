"""Tiles: every frame comes back, and every window is that of the frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skadl.data.store.tiles import (
    LARGEST_SIDE,
    TileLayout,
    from_tiles,
    layout_of,
    read_window,
    to_tiles,
)

SIDES = st.integers(1, 2 * LARGEST_SIDE + 9)


def numbered_planes(height, width):
    return np.arange(4 * height * width, dtype=np.int64).reshape(4, height, width)


@given(SIDES, SIDES)
def test_to_tiles__any_sides__from_tiles_gives_the_frame_back(height, width):
    planes = numbered_planes(height, width)
    layout = layout_of(planes)
    tiles = to_tiles(planes, layout)
    assert tiles.nbytes == layout.n_bytes and tiles.flags.c_contiguous
    np.testing.assert_array_equal(from_tiles(tiles, layout), planes)


@given(SIDES, SIDES)
def test_tiling__any_sides__hardly_anything_is_unused(height, width):
    layout = TileLayout(height, width, "<u2")
    (n_rows, n_columns), (tile_height, tile_width, _) = layout.grid, layout.tile
    assert 0 <= n_rows * tile_height - height < n_rows
    assert 0 <= n_columns * tile_width - width < n_columns
    assert max(tile_height, tile_width) <= LARGEST_SIDE


@given(st.data(), SIDES, SIDES)
def test_read_window__any__is_the_slice_in_runs_of_neighbours(data, height, width):
    planes = numbered_planes(height, width)
    layout = layout_of(planes)
    tiles = to_tiles(planes, layout)
    top, left = (data.draw(st.integers(0, n - 1)) for n in (height, width))
    sides = [
        data.draw(st.integers(1, n - a)) for n, a in ((height, top), (width, left))
    ]
    runs = []

    def read_run(first, n_tiles):
        runs.append((first, n_tiles))
        assert first + n_tiles <= len(tiles)
        return tiles[first : first + n_tiles]

    window = read_window(layout, read_run, top, left, *sides)
    expected = planes[:, top : top + sides[0], left : left + sides[1]]
    np.testing.assert_array_equal(window, expected.transpose(1, 2, 0))
    assert len(runs) <= sides[0] // layout.tile[0] + 2


@pytest.mark.parametrize(
    ("counts", "dtype"),
    [
        (np.array([0, 65535], np.int64), "<u2"),
        (np.array([0, 65536], np.int64), "<i4"),
        (np.array([-1, 1], np.int8), "<i4"),
        (np.array([0, 255], np.uint8), "<u2"),
        (np.array([0.0, 65535.0]), "<u2"),
        (np.array([0.0, 65536.0]), "<f4"),
        (np.array([-1.0, 1.0]), "<f4"),
        (np.array([0.5, 1.0], np.float16), "<f4"),
        (np.array([np.nan, 1.0]), "<f4"),
        (np.array([np.inf, 1.0]), "<f4"),
    ],
)
def test_tiling_of__counts__are_kept_in_16_bits_where_nothing_is_lost(counts, dtype):
    assert layout_of(np.broadcast_to(counts, (4, 3, 2))).dtype == dtype
