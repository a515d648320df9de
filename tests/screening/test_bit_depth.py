"""Files of several bit depths of one sensor are compared in one scale."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from skadl import RawImage, RawPair, calibrate_sensor, check_pairs
from skadl.noise.noise_level import expected_noise, measured_noise
from skadl.noise.residual import transfer_curve
from skadl.screening.screen import analyse_residual

GAIN, READ, BLACK, WHITE = 2.0, 8.0, 512, 16383


def pair_at(index, scale, dtype=np.uint16):
    """A pair of one camera, whose 14-bit counts are stored times `scale`."""
    rng = np.random.default_rng(index)
    rows, columns = np.mgrid[:128, :160]
    light = 240 * (3 + index) * (0.3 + 0.7 * (np.sin(columns / 23) > 0))
    light = light * (0.5 + columns / 160)
    noisy = rng.poisson(light / GAIN) * GAIN + rng.normal(0, READ, light.shape)

    def image(light):
        counts = (light + BLACK) * scale
        if np.dtype(dtype).kind == "u":
            counts = np.clip(np.rint(counts), 0, 65535)
        levels = BLACK * scale, WHITE * scale
        return RawImage(counts.astype(dtype), "RGGB", *levels, "cam", 1600)

    return RawPair(image(noisy), image(light), index)


SETS = {
    "12 and 14 bit": [(1, np.uint16), (0.25, np.uint16)] * 3,
    "14 and 16 bit": [(1, np.uint16), (4, np.uint16)] * 3,
    "counts and normalised floats": [(1, np.uint16), (1 / WHITE, np.float32)] * 3,
}


@pytest.fixture(scope="module", params=SETS)
def pairs(request):
    return [pair_at(i, *stored) for i, stored in enumerate(SETS[request.param])]


def test_check_pairs__several_bit_depths__are_good(pairs):
    result = check_pairs(pairs)
    assert result.good == tuple(range(6)), [pair.what for pair in result.pairs]


LEVELS = {"450 nm": (0.006, 0.04, 0.04, 0.22), "700 nm": (0.08, 0.02, 0.02, 0.003)}


def narrow_band_pair(seed, levels, light=1.0, dropped=0.0):
    """A pair of 8 bits under light of one colour, some planes of it nearly black.

    `light` is what the noisy frame got beside what is said, `dropped` what it lost of
    each count below it, where bits were cut off.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:256, :320]
    disks = sum(
        np.hypot(rows - y, columns - x) < r
        for y, x, r in rng.uniform((0, 0, 8), (256, 320, 50), (12, 3))
    )
    places = np.reshape(levels, (2, 2))[rows % 2, columns % 2]  # R, Gr, Gb, B
    clean = 255 * places * (0.1 + np.clip(disks, 0, 2) / 2.1)
    gain, read = 0.0414, 0.2  # counts: a 12-bit camera whose files hold 8
    counts = rng.poisson(light * clean / gain) * gain
    counts += rng.normal(0, read, clean.shape)
    noisy = np.clip(np.rint(counts - dropped), 0, 255).astype(np.uint8)
    frames = noisy, clean.astype(np.float32)
    return RawPair(*(RawImage(f, "RGGB", 0, 255, "cam", 100) for f in frames), seed)


@pytest.mark.parametrize("levels", LEVELS.values(), ids=LEVELS)
def test_check_pairs__8_bits_and_nearly_black_planes__are_good(levels):
    # Where noise is less than a count, rounding hides it and what is left is not noise.
    result = check_pairs([narrow_band_pair(seed, levels) for seed in range(4)])
    assert result.good == tuple(range(4)), [pair.what for pair in result.pairs]


@pytest.mark.parametrize("levels", LEVELS.values(), ids=LEVELS)
def test_check_pairs__8_bits_of_more_light_and_bits_cut_off__are_told(levels):
    pairs = [narrow_band_pair(s, levels, light=1.03, dropped=0.4) for s in range(4)]
    assert check_pairs(pairs).doubtful == tuple(range(4))


def test_calibrate_sensor__several_bit_depths__is_in_counts_of_the_first(pairs):
    with pytest.warns(UserWarning, match="All pairs used are at ISO 1600"):
        info = calibrate_sensor(pairs)
    assert info.gain[1600.0] == pytest.approx(GAIN, rel=0.02)
    assert info.read_noise[1600.0] == pytest.approx(READ, rel=0.1)
    expected = expected_noise(info, 1600, 1)
    for pair in pairs:
        seen = measured_noise(pair, transfer_curve(pair), info)
        assert seen.shot == pytest.approx(expected.shot, rel=0.1)


@pytest.mark.parametrize("exponent", [-40, 24])
def test_analyse_residual__floats_of_any_unit__says_the_same(exponent):
    one, other = (
        analyse_residual(pair_at(2, unit, np.float32)) for unit in (1, 2.0**exponent)
    )
    assert asdict(other.screening) == pytest.approx(asdict(one.screening), rel=1e-3)
    in_counts = other.curve.in_counts_of(one.curve.span)
    np.testing.assert_allclose(in_counts.signal, one.curve.signal, rtol=1e-5)
    np.testing.assert_allclose(in_counts.variance, one.curve.variance, rtol=1e-5)
