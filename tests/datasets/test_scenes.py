"""Scenes: natural statistics, honest train/test split, no network."""

from __future__ import annotations

import socket

import numpy as np
import pytest
from skimage.color import rgb2xyz
from threadpoolctl import threadpool_limits

from skadl.datasets import Scene, make_scenes
from skadl.datasets.simulated import scenes as scenes_module
from skadl.datasets.simulated.scenes import (
    PHOTOGRAPHS,
    SCENE_KINDS,
    TEST_PHOTOGRAPHS,
    srgb_to_linear,
)


def spectral_slope(luminance):
    """Exponent of the radially averaged power spectrum of a windowed log image."""
    image = np.log(luminance.astype(float) + 0.02)
    height, width = image.shape
    window = np.hanning(height)[:, None] * np.hanning(width)
    power = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    edges = np.geomspace(0.02, 0.3, 12)
    rings = [(radius > low) & (radius <= high) for low, high in zip(edges, edges[1:])]  # noqa: B905
    frequencies = [np.log(radius[ring].mean()) for ring in rings]
    return np.polyfit(frequencies, [np.log(power[ring].mean()) for ring in rings], 1)[0]


@pytest.mark.parametrize("kind", SCENE_KINDS)
@pytest.mark.parametrize("size", [64, (33, 70), 2])
def test__make_scenes__every_kind__is_linear_rgb_of_the_size(kind, size):
    for scene in make_scenes(kind, 3, size, random_state=0):
        assert scene.rgb.shape == ((size, size) if np.isscalar(size) else size) + (3,)
        assert scene.rgb.dtype == np.float32
        assert np.isfinite(scene.rgb).all()
        assert scene.rgb.min() >= 0
        assert 0.15 < scene.rgb.max() <= 1


@pytest.mark.parametrize("kind", ["dead-leaves", "photographs"])
def test__power_spectrum__falls_as_in_natural_images(kind):
    # Natural images: power about 1/f**2, from 1.5 to 3 (Ruderman and Bialek 1994).
    slopes = [
        spectral_slope(scene.rgb[..., 1])
        for scene in make_scenes(kind, 12, 192, random_state=0)
    ]
    assert -3 < np.mean(slopes) < -1.5


def test__dead_leaves__have_edges_and_smooth_places():
    for scene in make_scenes("dead-leaves", 4, 128, random_state=1):
        steps = np.abs(np.diff(np.log(scene.rgb[..., 1] + 1e-3), axis=1))
        assert np.quantile(steps, 0.5) < 0.1
        assert np.quantile(steps, 0.995) > 0.3


def test__dead_leaves__differ_in_colour():
    means = np.array(
        [s.rgb.mean(axis=(0, 1)) for s in make_scenes("dead-leaves", 12, 48, 0)]
    )
    balance = means / means[:, 1:2]
    assert (balance.std(axis=0)[[0, 2]] > 0.05).all()


@pytest.mark.parametrize("kind", ["dead-leaves", "photographs", "mixture"])
def test__test_scenes__same_seed__are_not_those_of_training(kind):
    train = make_scenes(kind, 12, 40, random_state=3)
    test = make_scenes(f"{kind}-test", 12, 40, random_state=3)
    assert not {scene.name for scene in train} & {scene.name for scene in test}
    for one, two in zip(train, test, strict=True):
        assert np.abs(one.rgb - two.rgb).max() > 0.01


def test__photographs__train_and_test__share_none():
    assert not set(PHOTOGRAPHS) & set(TEST_PHOTOGRAPHS)
    shown = {s.name for s in make_scenes("photographs", 60, 32, random_state=0)}
    assert shown == set(PHOTOGRAPHS)
    shown = {s.name for s in make_scenes("photographs-test", 20, 32, random_state=0)}
    assert shown == set(TEST_PHOTOGRAPHS)


def test__mixture__shows_both_in_turn():
    names = [scene.name for scene in make_scenes("mixture", 6, 32, random_state=0)]
    assert [name.startswith("leaves") for name in names] == [1, 0, 1, 0, 1, 0]


def test__photographs__network_off__still_come(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    scenes_module._encoded_photograph.cache_clear()
    monkeypatch.setattr(socket, "socket", refuse)
    for name in (*PHOTOGRAPHS, *TEST_PHOTOGRAPHS):
        photograph = scenes_module._encoded_photograph(name)
        assert photograph.dtype == np.uint8
        assert photograph.ndim == 3


@pytest.mark.parametrize("size", [(300, 200), 256, (40, 900), 600])
def test__photographs__large_sizes__are_filled(size):
    (scene,) = make_scenes("photographs", 1, size, random_state=0)
    assert scene.rgb.shape[:2] == (size if isinstance(size, tuple) else (size, size))
    # Filled with picture to the last corner, not with a constant.
    assert scene.rgb[-32:, -32:].std() > 0


def test__photographs__crops_differ_with_the_seed_and_repeat_with_it():
    one, again, other = (
        make_scenes("photographs-test", 4, 64, random_state=seed) for seed in (1, 1, 2)
    )
    for first, second in zip(one, again, strict=True):
        np.testing.assert_array_equal(first.rgb, second.rgb)
    assert any((a.rgb != b.rgb).any() for a, b in zip(one, other, strict=True))


def test__photographs__drawing_one__leaves_the_next_unchanged():
    (first,) = make_scenes("photographs", 1, 32, random_state=0)
    kept = first.rgb.copy()
    first.rgb[:] = 0
    (again,) = make_scenes("photographs", 1, 32, random_state=0)
    np.testing.assert_array_equal(again.rgb, kept)


def test__make_scenes__more_of_them__keeps_the_first():
    few = make_scenes("mixture", 2, 32, random_state=0)
    many = make_scenes("mixture", 5, 32, random_state=0)
    for one, two in zip(few, many[:2], strict=True):
        np.testing.assert_array_equal(one.rgb, two.rgb)


def test__srgb_to_linear__agrees_with_scikit_image():
    grey = np.linspace(0, 1, 101)
    luminance = rgb2xyz(np.repeat(grey[:, None], 3, axis=1))[:, 1]
    np.testing.assert_allclose(srgb_to_linear(grey), luminance, atol=1e-6)


def test__make_scenes__bad_argument__is_explained():
    with pytest.raises(ValueError, match="photographs-test"):
        make_scenes("photograph", 1, 32)
    with pytest.raises(ValueError, match="n_scenes"):
        make_scenes("mixture", 0, 32)
    with pytest.raises(ValueError, match="size"):
        make_scenes("mixture", 1, (32, -4))


def test__scene__integer_or_negative_light__is_refused():
    with pytest.raises(ValueError, match="white level"):
        Scene(np.full((4, 4, 3), -0.1), "negative")
    assert Scene(np.zeros((4, 4, 3)), "dark").name == "dark"


def test_photograph__any_number_of_blas_threads__is_the_same_to_the_last_bit():
    # A fit that is resumed in another process simulates its pairs again.
    made = []
    for threads in (1, 2):
        with threadpool_limits(threads, "blas"):
            made.append(scenes_module._photograph.__wrapped__("flower", 1.7))
    np.testing.assert_array_equal(*made)
