"""Sensors that saturate below their white level: found first, masked, and said once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_fits import BRIEF, tiny_denoiser

from skadl import RawImage, RawPair, check_pairs

SIDE, BLACK, GAIN, RATIO = 128, 100, 2.0, 10


def scene(seed):
    rows, columns = np.mgrid[:SIDE, :SIDE]
    light = 900 * (0.5 + 0.3 * seed) * (0.4 + 0.6 * (np.sin(columns / 11) > 0))
    colour = np.array([[0.6, 1.0], [1.0, 0.4]])  # RGGB
    return light * (0.5 + rows / SIDE) * np.tile(colour, (SIDE // 2, SIDE // 2))


def lamp_pair(seed, stops, given, share=0.004, ratio=RATIO, dtype=np.uint16):
    """A lamp in a scene, on a sensor that stops at `stops` counts above black."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    radius = (rows - 40 - 5 * seed) ** 2 + (columns - 60 + 4 * seed) ** 2
    light = np.where(radius < share * SIDE**2 / np.pi, 3.0 * stops, scene(seed))
    noisy = GAIN * rng.poisson(light / ratio / GAIN) + rng.normal(0, 6, light.shape)
    clean = light + rng.normal(0, 1, light.shape)
    counts = (np.rint(BLACK + np.minimum(x, stops)) for x in (noisy, clean))
    facts = dict(black_level=BLACK, white_level=given, sensor="X", iso=1600)
    noisy, clean = (RawImage(x.astype(dtype), "RGGB", **facts) for x in counts)
    return RawPair(replace(noisy, ratio=ratio), clean, scene=seed)


def white_findings(result):
    of_pairs = [f for pair in result.pairs for f in pair.findings]
    return [f for f in (*result.findings, *of_pairs) if f.check == "white level"]


@pytest.mark.parametrize("stops, given", [(15_211, 16_383), (3_592, 4_095)])
@pytest.mark.parametrize("ratio", [1, RATIO])
def test_sensor_that_saturates_early__is_said_once_and_every_pair_is_good(
    stops, given, ratio
):
    result = check_pairs([lamp_pair(i, stops, given, ratio=ratio) for i in range(4)])
    assert result.good == (0, 1, 2, 3), [pair.what for pair in result.pairs]
    (finding,) = white_findings(result)
    assert f"white_level={BLACK + stops}" in finding.next_step
    right = check_pairs([lamp_pair(i, stops, BLACK + stops) for i in range(4)])
    assert right.good == (0, 1, 2, 3) and not white_findings(right)


def test_lamp_too_small_for_one_pair_to_tell__others_tell():
    small = [lamp_pair(i, 15_211, 16_383, share=0.0015) for i in range(2)]
    result = check_pairs([lamp_pair(i, 15_211, 16_383) for i in (2, 3)] + small)
    assert result.good == (0, 1, 2, 3), [pair.what for pair in result.pairs]
    assert len(white_findings(check_pairs(small))) == 1


def test_even_surface_in_a_clean_frame_without_noise__is_no_saturation():
    rng = np.random.default_rng(0)
    rows = np.mgrid[:SIDE, :SIDE][0]
    facts = dict(black_level=BLACK, white_level=16_383, sensor="X", iso=1600)
    pairs = []
    for _ in range(3):
        light = np.where(rows < 40, 6000, 1000 + 20 * rows) + BLACK
        noisy = np.rint(light + rng.normal(0, 40, light.shape))
        frames = (RawImage(x.astype("u2"), "RGGB", **facts) for x in (noisy, light))
        pairs.append(RawPair(*frames))
    assert not white_findings(check_pairs(pairs))


def test_mean_of_a_burst__is_told_in_counts_of_the_file():
    pairs = []
    for index in range(3):
        pair = lamp_pair(index, 3_592, 4_095)
        levels = dict(black_level=16 * BLACK, white_level=16 * 4_095)
        mean = replace(pair.clean, mosaic=pair.clean.mosaic * 16, **levels)
        pairs.append(replace(pair, clean=mean))
    (finding,) = white_findings(check_pairs(pairs))
    assert f"white_level={BLACK + 3_592}" in finding.next_step


def test_fit__sensor_saturates_early__warns_with_the_level():
    pairs = [lamp_pair(i, 15_211, 16_383) for i in range(3)]
    with pytest.warns(UserWarning, match="white_level=15311"):
        tiny_denoiser(**BRIEF).fit(pairs)
