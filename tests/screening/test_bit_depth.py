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
