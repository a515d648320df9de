"""The metadata vector: where each fact goes, and in what range."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skadl.datasets import camera_info, camera_names
from skadl.network.conditioning import CONDITIONINGS, Conditioning, decode_noise
from skadl.noise.noise_level import NoiseLevel, noise_level

SENSORS = ("A", "B", "C")
NOISE = NoiseLevel(1e-3, 1e-5)

isos = st.floats(50, 102400)
ratios = st.floats(1, 300)
noises = st.builds(NoiseLevel, st.floats(1e-8, 1.0), st.floats(1e-12, 1.0))


@pytest.mark.parametrize("kind", CONDITIONINGS)
@given(sensor=st.sampled_from(SENSORS), iso=isos, ratio=ratios, noise=noises)
def test_vector__any_image__has_the_announced_length_and_is_finite(
    kind, sensor, iso, ratio, noise
):
    codes = Conditioning(kind, SENSORS)
    vector = codes.vector(sensor, iso, ratio, noise)
    assert vector.shape == (codes.length,) and vector.dtype == np.float32
    assert np.isfinite(vector).all()


@given(st.sampled_from(SENSORS), isos)
def test_vector__sensor_iso__is_one_hot_then_the_iso_n_times(sensor, iso):
    vector = Conditioning("sensor_iso", SENSORS).vector(sensor, iso, 1.0, None)
    one_hot = [float(name == sensor) for name in SENSORS]
    assert vector[:3].tolist() == one_hot
    np.testing.assert_allclose(vector[3:], np.log2(iso / 100) / 8, atol=1e-6)


@given(st.sampled_from(SENSORS), isos, ratios, noises)
def test_vector__with_noise__begins_with_the_vector_of_the_paper(s, iso, ratio, noise):
    paper = Conditioning("sensor_iso", SENSORS).vector(s, iso, ratio, None)
    extended = Conditioning("sensor_iso_noise", SENSORS).vector(s, iso, ratio, noise)
    np.testing.assert_array_equal(extended[: len(paper)], paper)


@pytest.mark.parametrize("camera", camera_names())
def test_vector__published_cameras__stay_within_a_few_units(camera):
    info = camera_info(camera)
    codes = Conditioning("sensor_iso_noise", (camera,))
    for iso in (min(info.gain), max(info.gain)):
        for ratio in (1, 300):
            noise = noise_level(*info.noise_at(iso), ratio, info.span)
            vector = codes.vector(camera, iso, ratio, noise)
            assert np.abs(vector).max() < 2.5


def test_vector__noise_of_zero__is_finite():
    codes = Conditioning("sensor_iso_noise", SENSORS)
    assert np.isfinite(codes.vector("A", 100, 1.0, NoiseLevel(0.0, 0.0))).all()


@pytest.mark.parametrize("kind", ["noise", "sensor_iso_noise"])
@given(ratio=ratios, noise=noises)
def test_decode_noise__a_vector__gives_back_the_noise_of_the_image(kind, ratio, noise):
    vector = Conditioning(kind, SENSORS).vector("B", 100, ratio, noise)
    assert decode_noise(vector) == pytest.approx((noise.shot, noise.read), rel=1e-5)
    parts = decode_noise(torch.from_numpy(vector).expand(2, -1))
    for part, expected in zip(parts, (noise.shot, noise.read), strict=True):
        assert part.tolist() == pytest.approx([expected] * 2, rel=1e-5)


@pytest.mark.parametrize(
    ("more", "less"),
    [
        (dict(iso=200), dict(iso=100)),
        (dict(ratio=30), dict(ratio=1)),
        (dict(noise=NoiseLevel(2e-3, 1e-5)), dict(noise=NOISE)),
        (dict(noise=NoiseLevel(1e-3, 2e-5)), dict(noise=NOISE)),
    ],
)
def test_vector__more_noise_in_any_way__raises_an_entry_and_lowers_none(more, less):
    codes = Conditioning("sensor_iso_noise", SENSORS)
    facts = dict(sensor="A", iso=100, ratio=1.0, noise=NOISE)
    step = codes.vector(**(facts | more)) - codes.vector(**(facts | less))
    assert step.min() == 0 and step.max() > 0.05


@given(st.floats(1e-2, 1e2), st.floats(1e-2, 1e4), ratios, st.floats(0.01, 100))
def test_noise_level__counts_in_other_units__is_the_same(gain, variance, ratio, unit):
    level = noise_level(gain, variance, ratio, 1000.0)
    other = noise_level(unit * gain, unit**2 * variance, ratio, unit * 1000.0)
    assert other.shot == pytest.approx(level.shot)
    assert other.read == pytest.approx(level.read)


def test_noise_level__is_the_variance_of_a_normalised_image():
    rng = np.random.default_rng(0)
    gain, read_noise, ratio, counts = 2.0, 5.0, 10.0, 1000.0
    electrons = rng.poisson(20.0, 200_000)
    normalised = (gain * electrons + read_noise * rng.standard_normal(200_000)) * (
        ratio / counts
    )
    level = noise_level(gain, read_noise**2, ratio, counts)
    expected = level.shot * normalised.mean() + level.read
    assert normalised.var() == pytest.approx(expected, rel=0.02)


@given(
    first=st.sampled_from(SENSORS),
    second=st.text(),
    isos=st.tuples(isos, isos),
    ratio=ratios,
    noise=noises,
)
def test_vector__noise_alone__knows_neither_sensor_nor_iso(
    first, second, isos, ratio, noise
):
    codes = Conditioning("noise", SENSORS)
    vector = codes.vector(first, isos[0], ratio, noise)
    np.testing.assert_array_equal(codes.vector(second, isos[1], ratio, noise), vector)
    extended = Conditioning("sensor_iso_noise", SENSORS).vector("A", 100, ratio, noise)
    np.testing.assert_array_equal(vector, extended[-len(vector) :])
