"""PSNR against scikit-image, its floor, and the sanity of SSIM."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from skimage.metrics import peak_signal_noise_ratio

from skadl.evaluation.metrics import psnr, ssim

FLOOR = 20 * np.log10(65535)


@st.composite
def image_pairs(draw):
    shape = draw(array_shapes(min_dims=1, max_dims=3, max_side=8))
    elements = st.floats(0, 1, width=32)
    return tuple(draw(arrays(np.float32, shape, elements=elements)) for _ in range(2))


def images(shape=(4, 16, 16), noise=0.1, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.random(shape)
    return truth + noise * rng.standard_normal(shape), truth


@given(image_pairs(), st.sampled_from([0.5, 1.0, 255.0]))
def test_psnr__any_images__agrees_with_scikit_image(pair, data_range):
    prediction, truth = (data_range * image.astype(np.float64) for image in pair)
    value = psnr(prediction, truth, data_range=data_range)
    if np.array_equal(prediction, truth):
        expected = FLOOR
    else:
        expected = peak_signal_noise_ratio(truth, prediction, data_range=data_range)
    assert value == pytest.approx(min(expected, FLOOR))


@given(image_pairs())
def test_psnr__any_images__is_finite_and_symmetric(pair):
    assert np.isfinite(psnr(*pair))
    assert psnr(*pair) == psnr(*reversed(pair))


def test_psnr__identical_images__is_one_16_bit_step():
    truth = np.ones((4, 4))
    assert psnr(truth, truth) == pytest.approx(96.33, abs=0.01)
    assert psnr(truth + 1e-9, truth) == psnr(truth, truth)


def test_psnr__unsigned_integers__do_not_wrap_around():
    zero, one = np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8)
    assert psnr(zero, one, data_range=255) == psnr(one, zero, data_range=255)
    assert psnr(zero, one, data_range=255) == pytest.approx(20 * np.log10(255))


@pytest.mark.parametrize("metric", [psnr, ssim])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_metric__not_finite__is_refused(metric, bad):
    prediction, truth = images()
    prediction[0, 0, 0] = bad
    for pair in ((prediction, truth), (truth, prediction)):
        with pytest.raises(ValueError, match="must be finite"):
            metric(*pair)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_metric__shapes_differ__are_both_named(metric):
    with pytest.raises(ValueError, match=r"\(8, 8\) and \(4, 8, 8\)"):
        metric(np.zeros((8, 8)), np.zeros((4, 8, 8)))


@pytest.mark.parametrize("metric", [psnr, ssim])
@pytest.mark.parametrize("data_range", [0, -1, np.nan])
def test_metric__data_range__must_be_positive(metric, data_range):
    with pytest.raises(ValueError, match="data_range must be positive"):
        metric(*images(), data_range=data_range)


def test_metric__no_pixels__is_refused():
    with pytest.raises(ValueError, match="non-empty shape"):
        psnr(np.zeros((0, 4)), np.zeros((0, 4)))


def test_ssim__identical_images__is_one():
    _, truth = images()
    assert ssim(truth, truth) == pytest.approx(1)


def test_ssim__more_noise__is_lower():
    values = [ssim(*images(noise=noise)) for noise in (0, 0.05, 0.2, 0.8)]
    assert values == sorted(values, reverse=True) and values[-1] < 0.7


def test_ssim__planes__is_the_mean_over_planes():
    prediction, truth = images()
    planes = [ssim(p, t) for p, t in zip(prediction, truth, strict=True)]
    assert ssim(prediction, truth) == pytest.approx(np.mean(planes))


def test_ssim__units__do_not_matter():
    prediction, truth = images()
    scaled = ssim(255 * prediction, 255 * truth, data_range=255)
    assert scaled == pytest.approx(ssim(prediction, truth))


@pytest.mark.parametrize("shape", [(6, 20), (4, 20, 6), (20,), (1, 1, 8, 8)])
def test_ssim__too_small_or_odd_shape__says_what_it_needs(shape):
    with pytest.raises(ValueError, match="sides of at least 7"):
        ssim(np.zeros(shape), np.zeros(shape))
