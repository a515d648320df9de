"""What is taken off a frame: row noise, and the mean of noise that was cut off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skadl import RawImage, RawPair, SensorInfo
from skadl.datasets import make_scenes
from skadl.noise.clipped_black import (
    ends_at_black,
    mean_where_clipped,
    signal_where_clipped,
)
from skadl.noise.fixed_pattern import FixedPattern, PatternAtIso
from skadl.noise.frame_offsets import (
    facts_left,
    find_offsets,
    treat_pair,
    without_offsets,
    without_pattern,
)
from skadl.noise.pair_pattern import with_pair_pattern
from skadl.noise.residual import transfer_curve

BLACK, WHITE, GAIN, READ = 512.0, 16383.0, 0.5, 5.0
FACTS = ("RGGB", BLACK, WHITE, "S", 800.0)


def sensor(row_noise, **more):
    read = (READ**2 + row_noise**2) ** 0.5
    info = SensorInfo("RGGB", BLACK, WHITE, gain={800: GAIN}, read_noise={800: read})
    return replace(info, row_noise={800: row_noise} if row_noise else None, **more)


def photograph(clean, row_noise, seed=0, lowest=0.0):
    """A frame of a scene (H, W) in counts above black, and its rows' offsets."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(0, row_noise, (len(clean), 1)) if row_noise else 0.0
    counts = GAIN * rng.poisson(clean / GAIN) + rng.normal(0, READ, clean.shape) + rows
    mosaic = np.maximum(np.rint(counts + BLACK), lowest).astype(np.uint16)
    return RawImage(mosaic, *FACTS), np.ravel(rows)


def ramp(side=192):
    return np.add.outer(np.linspace(10, 60, side), np.linspace(0, 40, side))


def picture(side=192):
    scene = make_scenes("mixture", 1, size=side, random_state=3)[0].rgb
    return 400 * scene[..., 1]


@pytest.mark.parametrize("cfa", ["RGGB", "BGGR", "GRBG", "GBRG"])
def test_find_offsets__row_noise_on_a_smooth_scene__goes_to_a_tenth(cfa):
    frame, rows = photograph(ramp(), 5.0)
    frame = replace(frame, cfa=cfa)
    found = find_offsets(frame, replace(sensor(5.0), cfa=cfa))
    left = rows - found.counts[:, 0]
    # A slow part of the rows' offsets cannot be told from the scene.
    assert np.mean(left**2) < 0.2 * np.mean(rows**2)
    fast = np.diff(left[::2])
    assert np.mean(fast**2) < 0.1 * np.mean(np.diff(rows[::2]) ** 2)
    assert found.row_variance in (12.5, 25.0)


def test_find_offsets__picture__loses_less_than_it_gains():
    frame, _ = photograph(picture(), 5.0)
    found = find_offsets(frame, sensor(5.0))
    before = frame.mosaic - BLACK - picture()
    after = before - found.counts
    assert np.mean(after**2) < np.mean(before**2) - 0.6 * 25


@settings(max_examples=8)
@given(st.integers(0, 10**6), st.floats(1.0, 10.0))
def test_find_offsets__frame_without_row_noise__changes_by_a_hundredth(seed, told):
    frame, _ = photograph(picture(), 0.0, seed)
    found = find_offsets(frame, sensor(told))
    changed = 0.0 if found.counts is None else np.mean(found.counts**2)
    assert changed < 0.02 * READ**2


def test_find_offsets__little_row_noise__is_left_alone():
    frame, _ = photograph(ramp(), 0.3)
    assert find_offsets(frame, sensor(0.3)).counts is None


def test_find_offsets__frame_of_another_size__keeps_its_pattern():
    frame, _ = photograph(ramp(), 0.0)
    pattern = FixedPattern({800: PatternAtIso(np.zeros(64), np.ones(64))})
    found = find_offsets(frame, sensor(0.0, fixed_pattern=pattern))
    assert found.counts is None


def test_facts_left__after_rows_are_gone__have_less_read_noise():
    frame, _ = photograph(ramp(), 5.0)
    offsets = find_offsets(frame, sensor(5.0))
    left = facts_left(sensor(5.0), 800, offsets)
    whole = READ**2 + 25
    assert left.noise_at(800)[1] == pytest.approx(whole - offsets.row_variance)


@settings(max_examples=15)
@given(st.floats(0, 1e-2), st.floats(1e-8, 1e-2))
def test_signal_where_clipped__mean_of_clipped_noise__is_undone(shot, read):
    signal = np.geomspace(1e-5, 1, 50)
    back = signal_where_clipped(mean_where_clipped(signal, shot, read), shot, read)
    sigma = np.sqrt(shot * signal + read)
    assert np.all(np.abs(back - signal) < 0.02 * sigma + 1e-6)


def test_mean_where_clipped__drawn_noise__has_that_mean():
    rng = np.random.default_rng(0)
    for signal in (0.0, 0.5, 2.0):
        drawn = np.maximum(signal + rng.normal(0, 1, 10**6), 0).mean()
        expected = mean_where_clipped(np.array(signal), 0.0, 1.0)
        assert drawn == pytest.approx(float(expected), abs=0.004)


def test_ends_at_black__what_a_file_holds__decides():
    dark = np.zeros((64, 64))
    assert ends_at_black(photograph(dark, 0, lowest=BLACK)[0])
    assert not ends_at_black(photograph(dark, 0)[0])
    assert not ends_at_black(photograph(dark + 500, 0, lowest=BLACK)[0])


def test_transfer_curve__clipped_blacks__still_tell_the_noise():
    clean = np.tile(np.linspace(0, 60, 256), (256, 1))
    noisy, _ = photograph(clean, 0.0, lowest=BLACK)
    truth = RawImage((clean + BLACK).astype(np.float32), *FACTS)
    curve = transfer_curve(RawPair(noisy, truth))
    expected = GAIN * curve.signal + READ**2
    assert curve.signal.min() < READ
    np.testing.assert_allclose(curve.variance, expected, rtol=0.12)


def test_treat_pair__clipped_blacks__clean_frame_has_the_mean_of_the_noisy():
    clean = np.full((128, 128), 2.0)
    noisy, _ = photograph(clean, 0.0, lowest=BLACK)
    truth = RawImage((clean + BLACK).astype(np.float32), *FACTS)
    shown, noise = treat_pair(RawPair(noisy, truth), sensor(0.0))
    assert shown.clean.mosaic.mean() == pytest.approx(noisy.mosaic.mean(), abs=0.15)
    assert noise.read < 0.5 * READ**2 / (WHITE - BLACK) ** 2


def test_treat_pair__nothing_to_take_off__is_the_same_pair():
    noisy, _ = photograph(ramp(), 0.0)
    pair = RawPair(noisy, noisy)
    assert treat_pair(pair, sensor(0.0))[0] is pair
    assert without_pattern(pair, sensor(0.0)) is pair


def test_without_offsets__pattern__is_gone():
    columns = np.linspace(-9, 9, 192)
    noisy, _ = photograph(ramp(), 0.0)
    moved = noisy.with_mosaic(noisy.mosaic + columns.astype(np.float32))
    pattern = FixedPattern({800: PatternAtIso(np.zeros(192), columns)})
    info = sensor(0.0, fixed_pattern=pattern)
    plain = without_offsets(moved, find_offsets(moved, info))
    np.testing.assert_allclose(plain.mosaic, noisy.mosaic, atol=1e-3)


def in_counts_of_more_bits(image, factor=4):
    """The same frame from a file of more bits."""
    return replace(
        image,
        mosaic=image.mosaic.astype(np.float32) * factor,
        black_level=factor * np.asarray(image.black_level),
        white_level=factor * image.white_level,
    )


def test_find_offsets__file_of_another_bit_depth__same_offsets_in_its_counts():
    # Figures of a sensor are in its own counts; a camera writes 12 or 14 bits.
    frame, _ = photograph(ramp(), 5.0)
    pattern = PatternAtIso(np.zeros(192), np.linspace(-9, 9, 192), hot=np.array([999]))
    info = sensor(5.0, fixed_pattern=FixedPattern({800: pattern}))
    info = replace(info, black_offset={800: [1.0, 2.0, -1.0, 0.5]})
    found = find_offsets(frame, info)
    other = find_offsets(in_counts_of_more_bits(frame), info)
    assert found.row_variance > 0
    np.testing.assert_allclose(other.counts, 4 * found.counts, atol=1e-2)
    # In the counts of the sensor, of whose read noise it is a part.
    assert other.row_variance == pytest.approx(found.row_variance)


def test_with_pair_pattern__files_of_another_bit_depth__same_pattern():
    columns = np.where(np.arange(192) % 7, 0.0, 20.0)
    clean = ramp()
    truth = RawImage((clean + BLACK).astype(np.float32), *FACTS)
    pairs = []
    for seed in range(6):
        noisy, _ = photograph(clean + columns, 0.0, seed)
        pairs.append(RawPair(noisy, truth))
    more_bits = [
        RawPair(*map(in_counts_of_more_bits, (pair.noisy, pair.clean)))
        for pair in pairs
    ]
    found = with_pair_pattern(sensor(0.0), pairs).fixed_pattern.at(800)
    other = with_pair_pattern(sensor(0.0), more_bits).fixed_pattern.at(800)
    assert np.corrcoef(found.columns, columns)[0, 1] > 0.9
    np.testing.assert_allclose(other.columns, found.columns, atol=1e-2)
