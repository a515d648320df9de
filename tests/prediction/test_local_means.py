"""Local means: taken out where they stand out, left where only noise is seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skadl.noise.noise_level import NoiseLevel
from skadl.prediction.blocks import (
    BLOCK,
    BlockMap,
    block_counts,
    block_sums,
    sum_blocks,
)
from skadl.prediction.local_means import BlockMeans, local_means
from skadl.raw.mosaic import CFA_PATTERNS, pack_mosaic, unpack_mosaic

NOISE = NoiseLevel(shot=1e-3, read=1e-5)
SIDES = (32, 40)  # blocks


def blocks_of(level, score, clipped=0.0):
    """Blocks of 16 pixels whose residual is `score` standard deviations."""
    level = np.broadcast_to(level, (4, *SIDES)).astype(float)
    sigma = np.sqrt(NOISE.shot * np.maximum(level, 0) + NOISE.read)
    clipped = np.broadcast_to(clipped, level.shape).astype(float)
    return BlockMeans(level, score * sigma, clipped, np.full(SIDES, BLOCK**2 * 1.0))


def noise_of_blocks(seed, size=(4, *SIDES)):
    return np.random.default_rng(seed).normal(scale=1 / BLOCK, size=size)


# Blocks


@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    cfa=st.sampled_from(CFA_PATTERNS),
    band=st.integers(1, 5000),
    seed=st.integers(0, 2**16),
)
def test_sums_of_blocks_are_those_of_the_planes(height, width, cfa, band, seed):
    planes = np.random.default_rng(seed).integers(0, 99, (4, height, width))
    mosaic = unpack_mosaic(planes, cfa).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skadl.prediction.bands.BAND_BYTES", band)
        sums = block_sums(
            lambda rows: mosaic[2 * rows.start : 2 * rows.stop], cfa, height, width
        )
    rows, columns = (range(0, side, BLOCK) for side in (height, width))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            part = planes[:, row : row + BLOCK, column : column + BLOCK]
            np.testing.assert_array_equal(sums[:, i, j], part.sum(axis=(1, 2)))
            assert block_counts(height, width)[i, j] == part[0].size
    np.testing.assert_array_equal(sum_blocks(planes), sums.sum(axis=0))


@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    cfa=st.sampled_from(CFA_PATTERNS),
    cut=st.integers(0, 30),
)
def test_a_map_is_the_same_in_bands_and_keeps_slopes(height, width, cfa, cut):
    n_rows, n_columns = block_counts(height, width).shape
    rows, columns = np.arange(n_rows)[:, None], np.arange(n_columns)
    values = np.arange(4)[:, None, None] + 2.0 * rows + 3.0 * columns
    spread = BlockMap.of(values, cfa, width)
    whole = spread.band(slice(0, height))
    assert whole.shape == (2 * height, 2 * width)
    if 0 < cut < height:
        parts = spread.band(slice(0, cut)), spread.band(slice(cut, height))
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    if 0 < cut < width:
        part = spread.band(slice(0, height), slice(cut, width))
        np.testing.assert_array_equal(part, whole[:, 2 * cut :])
    places = [
        np.clip((np.arange(side) + 0.5) / BLOCK - 0.5, 0, n - 1)
        for side, n in ((height, n_rows), (width, n_columns))
    ]
    expected = np.arange(4)[:, None, None] + 2 * places[0][:, None] + 3 * places[1]
    np.testing.assert_allclose(pack_mosaic(whole, cfa), expected, atol=1e-4)


# Means


@given(seed=st.integers(0, 2**16), steps=st.floats(0, 3))
def test_noise_alone_is_left(seed, steps):
    """Groups of few pixels do not chase it: nearly all of its power stays."""
    level = 0.3 * np.random.default_rng(seed).random(SIDES) ** steps
    score = noise_of_blocks(seed)
    found = local_means(blocks_of(level, score), NOISE)
    assert np.mean(found**2) < 0.03 * np.mean(score**2)


@given(
    bias=st.lists(st.floats(-1, 1), min_size=8, max_size=8),
    dark=st.floats(0, 0.01),
    seed=st.integers(0, 2**16),
)
def test_the_bias_of_each_level_is_found(bias, dark, seed):
    is_dark = np.zeros(SIDES, bool)
    is_dark[:, : SIDES[1] // 2] = True
    bias = np.reshape(bias, (4, 2, 1, 1))
    score = np.where(is_dark, bias[:, 0], bias[:, 1]) + noise_of_blocks(seed)
    found = local_means(blocks_of(np.where(is_dark, dark, 0.5), score), NOISE)
    rest = (score - found)[:, :, : SIDES[1] // 2 - 2].mean(axis=(1, 2))
    error = 1 / (BLOCK * np.sqrt(SIDES[0] * (SIDES[1] / 2 - 2)))
    assert (np.abs(rest) < 2 * error).all()


def test_equal_levels_in_two_parts_of_the_frame_are_told_apart():
    score = np.where(np.arange(SIDES[1]) < SIDES[1] // 2, 0.3, -0.3)
    score = score + noise_of_blocks(0)
    rest = score - local_means(blocks_of(0.1, score), NOISE)
    assert np.abs(rest[:, :, :10].mean(axis=(1, 2))).max() < 0.05


def test_of_a_plane_nothing_is_left():
    score = 0.2 + noise_of_blocks(0)
    blocks = blocks_of(np.linspace(0, 1, SIDES[1]), score)
    sigma = blocks.residual / score
    rest = (score - local_means(blocks, NOISE)) * sigma
    np.testing.assert_allclose(rest.mean(axis=(1, 2)), 0, atol=1e-9)


def test_where_noise_is_clipped_it_keeps_its_mean():
    is_black = np.zeros(SIDES, bool)
    is_black[:, :20] = True
    score = np.where(is_black, 0.4, 0.2) + noise_of_blocks(0)
    level = np.where(is_black, 0.0, 0.5)
    found = local_means(blocks_of(level, score, clipped=0.5 * is_black), NOISE)
    np.testing.assert_allclose(found[:, :, :17], 0)
    rest = (score - found)[:, :, 24:]
    error = 1 / (BLOCK * rest[0].size ** 0.5)
    assert np.abs(rest.mean(axis=(1, 2))).max() < 2 * error


@given(seed=st.integers(0, 2**16), size=st.floats(1e-9, 1e-3))
def test_a_level_that_rounds_otherwise_changes_little(seed, size):
    """Tiles add up otherwise than the whole: no block may change its group for it."""
    rng = np.random.default_rng(seed)
    level, score = rng.random((4, *SIDES)), 0.2 + noise_of_blocks(seed)
    sigma = np.sqrt(NOISE.shot * level + NOISE.read)
    moved = level + size * sigma * rng.choice([-1, 1], level.shape)
    first, second = (
        local_means(blocks_of(part, score), NOISE) for part in (level, moved)
    )
    np.testing.assert_allclose(first, second, atol=10 * size + 1e-12)


@pytest.mark.parametrize("noise", [NoiseLevel(0.0, 0.0), NoiseLevel(1e-3, 0.0)])
def test_no_read_noise_gives_no_nan(noise):
    blocks = blocks_of(np.linspace(-0.1, 1, SIDES[1]), noise_of_blocks(0))
    assert np.isfinite(local_means(blocks, noise)).all()
