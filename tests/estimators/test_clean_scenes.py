"""Scenes that are photographed again hold no noise of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_preparation import prepared

from skadl import RawImage, RawPair
from skadl.datasets import make_domain
from skadl.estimators.clean_scenes import noise_of_clean, without_clean_noise
from skadl.estimators.own_scenes import OTHER_SCENES
from skadl.estimators.start import find_start
from skadl.noise.noise_level import NoiseLevel
from skadl.noise.renoising import OWN_SIDE, RENOISED
from skadl.raw.image import align_image

BLACK, SPAN = 64.0, 4000.0


@pytest.fixture(scope="module")
def witness():
    return find_start("universal").witness("float32")


def flat_pair(cfa, side, noise, seed=0):
    """A grey card whose clean frame is as noisy as `noise` says."""
    rng = np.random.default_rng(seed)
    light = 0.2
    sigma = np.sqrt(noise.shot * light + noise.read)
    planes = light + rng.normal(0, sigma, (side, side))
    counts = (planes * SPAN + BLACK).astype(np.float32)
    image = RawImage(counts, cfa, BLACK, BLACK + SPAN, "S", 400)
    return RawPair(image, image), light, sigma


@pytest.mark.parametrize("cfa", ["RGGB", "GBRG"])
def test_without_clean_noise__grey_card__keeps_a_fifth_of_it_and_the_light(
    witness, cfa
):
    noise = NoiseLevel(1e-3, 1e-5)
    pair, light, sigma = flat_pair(cfa, 96, noise)
    cleaned = without_clean_noise(pair, noise, witness, np.random.default_rng(0))
    planes = cleaned.clean.normalised()
    assert planes.std() < sigma / 5
    np.testing.assert_allclose(planes.mean(axis=(1, 2)), light, atol=sigma / 10)
    assert cleaned.clean.cfa == cfa and cleaned.clean.mosaic.dtype == np.float32


def test_without_clean_noise__large_frame__is_a_window_of_it(witness):
    noise = NoiseLevel(1e-3, 1e-5)
    pair, *_ = flat_pair("RGGB", 2 * OWN_SIDE + 40, noise)
    cleaned = without_clean_noise(pair, noise, witness, np.random.default_rng(0))
    assert cleaned.clean.mosaic.shape == (2 * OWN_SIDE, 2 * OWN_SIDE)


def test_without_clean_noise__xtrans__planes_go_back_to_their_sites():
    # Whatever the sites are called, planes that a witness leaves alone come back.
    rng = np.random.default_rng(0)
    black = tuple(rng.uniform(50, 80, 9).tolist())
    mosaic = rng.uniform(100, 4000, (36, 48)).astype(np.float32)

    def as_they_are(images, noise):
        return [align_image(image).normalised() for image in images]

    for cfa in ("XTRANS-GBG", "XTRANS-GRG"):
        image = RawImage(mosaic, cfa, black, 4095, "S", 400)

        pair = without_clean_noise(
            RawPair(image, image), NoiseLevel(1e-3, 1e-5), as_they_are, rng
        )
        np.testing.assert_allclose(pair.clean.mosaic, mosaic, rtol=1e-4)


def test_noise_of_clean__next_to_none__is_none():
    assert noise_of_clean(NoiseLevel(0.1, 0.1), 0.001) is None
    assert noise_of_clean(NoiseLevel(0.1, 0.1), 0.5) == NoiseLevel(0.1, 0.1)


def noisier_clean(pair, sigma, rng):
    clean = pair.clean
    counts = clean.mosaic + rng.normal(0, sigma, clean.mosaic.shape)
    return replace(pair, clean=clean.with_mosaic(counts.astype(np.float32)))


@pytest.mark.parametrize("sigma", [0.0, 40.0])
def test_prepare__clean_frames_with_noise__are_denoised_before_they_are_scenes(
    witness, sigma
):
    target = make_domain("SonyA7S2", 3, size=64, iso=400, random_state=0)
    rng = np.random.default_rng(0)
    sources = [
        noisier_clean(pair, sigma, rng)
        for pair in make_domain(
            "NikonD850", 5, size=128, iso=6400, ratio=1, random_state=1
        )
    ]
    asked = []

    def recording(images, noise):
        asked.extend(zip(images, noise, strict=True))
        return witness(images, noise)

    data = prepared(target, {"A": sources}, witness=recording)
    assert len(data.sources[RENOISED]) == len(sources) + OTHER_SCENES
    clean = {pair.clean.mosaic.tobytes() for pair in sources}
    scenes = [known for known in asked if known[0].mosaic.tobytes() in clean]
    # Where a picture has much structure its noise cannot be told from it.
    assert len(scenes) >= 3 if sigma else not scenes
    for image, level in scenes:  # of another shape than the noisy frame's
        variance = level.shot * image.normalised().mean() + level.read
        assert 1 / 4 < variance / (sigma / image.span) ** 2 < 4
