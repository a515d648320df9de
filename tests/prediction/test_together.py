"""Small images denoised together: as each would be alone."""

from dataclasses import replace

import numpy as np
import pytest

from skadl.datasets import make_domain
from skadl.estimators.start import find_start
from skadl.network.conditioning import Conditioning
from skadl.noise.noise_level import NoiseLevel, info_of
from skadl.noise.sensors import SensorTable
from skadl.prediction import together
from skadl.prediction.fitted_model import FittedModel
from skadl.prediction.together import denoise_together


@pytest.fixture(scope="module")
def model():
    network = find_start("universal").network
    conditioning = Conditioning("noise", ())
    return FittedModel(network, conditioning, SensorTable(), None, safeguard=False)


def images_of(sizes, camera="NikonD850"):
    pairs = [
        make_domain(camera, 1, size=size, iso=3200, random_state=seed)[0]
        for seed, size in enumerate(sizes)
    ]
    return [pair.noisy for pair in pairs]


def infos_of(images, noise):
    return [info_of(noise, image) for image in images]


@pytest.mark.parametrize("camera", ["NikonD850", "IMX686"])
def test_together__frames_of_several_sizes__as_each_alone(model, camera):
    images = images_of([64, 128, 64], camera)
    infos = infos_of(images, NoiseLevel(0.002, 1e-4))
    found = denoise_together(model, images, infos)
    for image, info, planes in zip(images, infos, found, strict=True):
        assert planes.shape == image.normalised().shape
        assert np.allclose(planes, model.denoise_planes(image, info), atol=1e-5)


def test_together__odd_sides_and_borders__are_near_those_alone(model):
    images = [image.with_mosaic(image.mosaic[:77, :91]) for image in images_of([96])]
    infos = infos_of(images, NoiseLevel(0.002, 1e-4))
    (found,) = denoise_together(model, images, infos)
    expected = model.denoise_planes(images[0], infos[0])
    # Beyond the border coarser scales are continued in another way.
    assert found.shape == expected.shape
    assert np.median(np.abs(found - expected)) < 1e-3


def test_together__wrong_noise__is_found_in_each_image(model):
    # Told four times too little noise, an image of pure noise shows more.
    model = replace(model, safeguard=True)
    images = images_of([128, 128])
    infos = [
        info_of(NoiseLevel(factor * 0.004, factor * 4e-4), image)
        for factor, image in zip((1.0, 0.25), images, strict=True)
    ]
    found = denoise_together(model, images, infos)
    for image, info, planes in zip(images, infos, found, strict=True):
        (alone,) = denoise_together(model, [image], [info])
        assert np.allclose(planes, alone, atol=1e-5)


def test_together__batches__do_not_matter(model, monkeypatch):
    images = images_of([64] * 5)
    infos = infos_of(images, NoiseLevel(0.002, 1e-4))
    whole = denoise_together(model, images, infos)
    monkeypatch.setattr(together, "MOST_PIXELS", 2 * 32 * 32)
    for planes, alone in zip(
        whole, denoise_together(model, images, infos), strict=True
    ):
        assert np.allclose(planes, alone, atol=1e-5)


def test_together__offset_of_black_in_other_counts__as_each_alone(model):
    # Figures of a sensor are in its own counts, which may be those of fewer bits.
    (image,) = images_of([64])
    (info,) = infos_of([image], NoiseLevel(0.002, 1e-4))
    info = replace(info, black_offset={image.iso: [30.0, -20.0, 10.0, 25.0]})
    more_bits = replace(
        image,
        mosaic=image.mosaic.astype(np.float32) * 4,
        black_level=4 * np.asarray(image.black_level),
        white_level=4 * image.white_level,
    )
    expected = model.denoise_planes(image, info)
    for frame in (image, more_bits):
        (found,) = denoise_together(model, [frame], [info])
        assert np.allclose(found, expected, atol=1e-4)
