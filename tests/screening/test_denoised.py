"""With a denoiser faults are seen that noise hides, and sound pairs stay good."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from skadl import RawImage, RawPair, check_pairs
from skadl.screening.check import judge_pairs
from skadl.screening.measurements import measure_pair
from skadl.screening.witness import Evidence

SIDE, BLACK, WHITE, READ = 64, 500, 16383, 400.0


def scene(seed, rows=0.0, columns=0.0):
    """Waves, known at every point and so at any shift, in counts above black."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    light = np.full((SIDE, SIDE), 4000.0)
    for _ in range(12):
        down, right = rng.uniform(-0.3, 0.3, 2)
        light += 250 * np.cos(
            down * (y - rows) + right * (x - columns) + rng.uniform(0, 6.28)
        )
    return light * np.tile([[0.6, 1.0], [1.0, 0.5]], (SIDE // 2, SIDE // 2))


def image(light, path=None, dtype=np.float32):
    counts = np.asarray(light + BLACK, dtype)
    return RawImage(counts, "RGGB", BLACK, WHITE, "cam", 100, path=path)


def checks(result):
    return [finding.check for finding in result.pairs[0].findings]


class Oracle:
    """Knows what each noisy frame saw, but for a tenth of its noise."""

    def __init__(self):
        self.seen, self.profiles = {}, []

    def pair(self, seed, seen):
        rng = np.random.default_rng(100 + seed)
        noisy = image(np.rint(seen + rng.normal(0, READ, seen.shape)), dtype=np.uint16)
        rest = rng.normal(0, READ / 10**0.5, seen.shape) / 10**0.5
        self.seen[noisy.mosaic.tobytes()] = image(seen + rest).normalised()
        return RawPair(noisy, image(scene(seed)), scene=seed)

    def __call__(self, noisy):
        self.profiles.append(noisy.noise_profile)
        return self.seen[noisy.mosaic.tobytes()]


@pytest.fixture
def oracle():
    return Oracle()


def test_sound_pairs__with_a_denoiser__stay_good(oracle):
    pairs = [oracle.pair(seed, scene(seed)) for seed in range(6)]
    result = check_pairs(pairs, denoiser=oracle)
    assert result.good == tuple(range(6)), [pair.what for pair in result.pairs]
    for profile in oracle.profiles:
        expected = (READ / (WHITE - BLACK)) ** 2
        signal = 4000 * 0.775 / (WHITE - BLACK)
        variance = np.mean([slope * signal + read for slope, read in profile])
        assert variance == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("rows, columns", [(0.2, 0.0), (-0.2, 0.2)])
def test_shift_under_noise__is_seen_with_the_denoiser_alone(oracle, rows, columns):
    pair = oracle.pair(0, scene(0, rows, columns))
    assert "alignment" not in checks(check_pairs([pair]))
    result = check_pairs([pair], denoiser=oracle)
    assert "alignment" in checks(result)
    checked = result.pairs[0]
    assert checked.shift_error < measure_pair(pair).shift.error / 2
    assert checked.shift_rows == pytest.approx(rows, abs=0.12)
    assert checked.shift_columns == pytest.approx(columns, abs=0.12)


def test_content_that_only_the_denoised_frame_shows__is_to_be_looked_at(oracle):
    pair = oracle.pair(0, scene(0))
    seen = Evidence(local=120.0, local_share=0.01)
    result = judge_pairs([pair], [replace(measure_pair(pair), evidence=seen)])
    assert checks(result) == ["content"] and result.doubtful == (0,)


@pytest.mark.parametrize(
    "denoiser",
    [lambda image: image.mosaic, lambda image: image.normalised() * np.nan],
)
def test_denoiser_that_returns_no_planes__is_refused(oracle, denoiser):
    pair = oracle.pair(0, scene(0))
    with pytest.raises(ValueError, match=r"finite planes of shape \(4, 32, 32\)"):
        check_pairs([pair], denoiser=denoiser)


def test_large_frames__middle_alone_is_denoised():
    shapes = []
    rng = np.random.default_rng(0)
    light = np.tile(scene(0), (9, 9))
    pair = RawPair(image(light + rng.normal(0, READ, light.shape)), image(light))

    def note(noisy):
        shapes.append(noisy.mosaic.shape)
        return noisy.normalised()

    check_pairs([pair], denoiser=note)
    assert shapes == [(512, 512)]
