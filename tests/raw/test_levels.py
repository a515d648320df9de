"""Counts to normalised planes and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skadl.raw.levels import black_planes, cast_counts, denormalise, normalise


@given(
    arrays(np.uint16, (4, 2, 3), elements=st.integers(0, 65535)),
    arrays(np.float64, 4, elements=st.integers(0, 2000)),
    st.integers(2001, 65535),
    st.floats(1, 300),
)
def test_denormalise_inverts_normalise(packed, black, white, ratio):
    planes = normalise(packed, black, white, ratio)
    assert planes.dtype == np.float32
    back = denormalise(planes, black, white, ratio)
    np.testing.assert_array_equal(cast_counts(back, np.dtype(np.uint16)), packed)


@given(st.floats(0, 500), st.integers(600, 70000), st.floats(0.5, 300))
def test_normalise__black_and_white__are_zero_and_ratio(black, white, ratio):
    levels = np.tile([black, white], (4, 1, 1))
    planes = normalise(levels, np.full(4, black), white, ratio)
    np.testing.assert_allclose(planes[..., 0], 0, atol=1e-3)
    np.testing.assert_allclose(planes[..., 1], ratio, rtol=1e-5)


def test_normalise__planes_with_own_black__share_one_scale():
    black = np.array([10.0, 20.0, 30.0, 40.0])
    step = normalise(
        np.broadcast_to(black[:, None, None] + 7, (4, 1, 1)), black, 125, 2
    )
    np.testing.assert_allclose(step, 7 * 2 / (125 - 25), rtol=1e-6)


def test_black_planes__four_levels__go_to_the_sites_of_their_colour():
    levels = (1, 2, 3, 4)  # in reading order of the 2x2 pattern
    assert black_planes(levels, "RGGB").tolist() == [1, 2, 3, 4]
    assert black_planes(levels, "BGGR").tolist() == [4, 3, 2, 1]
    assert black_planes(levels, "GRBG").tolist() == [2, 1, 4, 3]
    assert black_planes(levels, "GBRG").tolist() == [3, 4, 1, 2]


@given(
    arrays(np.float32, 8, elements=st.floats(-1e6, 1e6, width=32)),
    st.sampled_from([np.uint8, np.uint16, np.int16]),
)
def test_cast_counts__integers__are_rounded_and_clipped(counts, dtype):
    cast = cast_counts(counts, np.dtype(dtype))
    limits = np.iinfo(dtype)
    assert cast.dtype == dtype
    inside = np.clip(counts.astype(np.float64), limits.min, limits.max)
    assert np.abs(cast.astype(np.float64) - inside).max() <= 0.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cast_counts__floats__are_kept(dtype):
    counts = np.array([-1.25, 70000.5], np.float32)
    cast = cast_counts(counts, np.dtype(dtype))
    assert cast.dtype == dtype and cast.tolist() == [-1.25, 70000.5]
