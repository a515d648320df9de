"""Blind photon transfer: simulated sensors whose noise is known, and images without."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from skadl.datasets import get_camera, make_domain
from skadl.datasets.simulated.camera_noise import add_camera_noise
from skadl.noise.blind import estimate_noise
from skadl.raw.image import RawImage
from skadl.raw.mosaic import CFA_PATTERNS, pack_mosaic, unpack_mosaic

CAMERA, ISO = get_camera("CanonEOS5D4"), 800.0
GAIN, READ_VARIANCE = CAMERA.noise_at(ISO)


def raw_image(mosaic, cfa="RGGB", black=512, white=16383):
    return RawImage(mosaic, cfa, black, white, "S1", ISO)


def ramp(shape=(256, 256), low=520.0, high=9000.0):
    """Clean counts that rise over the columns."""
    return np.tile(np.linspace(low, high, shape[1], dtype=np.float32), (shape[0], 1))


def expose(clean, seed=0):
    rng = np.random.default_rng(seed)
    return add_camera_noise(clean, CAMERA, ISO, random_state=rng)


def within(estimate, truth, error, n_errors=3):
    return abs(np.log(estimate / truth)) < n_errors * error


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
def test_estimate_noise__ramp__is_that_of_the_camera(cfa):
    found = estimate_noise(raw_image(expose(ramp()), cfa))
    sigma = (GAIN * found.signal + READ_VARIANCE) ** 0.5
    assert found.gain == pytest.approx(GAIN, rel=0.15)
    assert found.sigma == pytest.approx(sigma, rel=0.08)
    assert within(found.gain, GAIN, found.gain_error)
    assert within(found.read_noise, READ_VARIANCE**0.5, found.read_noise_error)
    assert found.gain_error < 0.2
    assert found.sigma_error < 0.1


def test_estimate_noise__dark_frame__tells_read_noise_and_not_gain():
    found = estimate_noise(raw_image(expose(ramp(low=514, high=520))))
    assert found.read_noise == pytest.approx(READ_VARIANCE**0.5, rel=0.1)
    assert found.read_noise_error < 0.1 < found.gain_error


def test_estimate_noise__bright_frame__tells_gain_and_not_read_noise():
    found = estimate_noise(raw_image(expose(ramp(low=4000))))
    assert found.gain == pytest.approx(GAIN, rel=0.15)
    assert found.read_noise_error > 0.5


@pytest.mark.parametrize("name", ["SonyA7S2", "NikonD850", "CanonEOS70D", "Pixel4a"])
def test_estimate_noise__scenes_of_a_camera__error_is_honest(name):
    pairs = make_domain(name, 4, size=512, random_state=0)
    for pair in pairs:
        gain, read_variance = get_camera(name).noise_at(pair.iso)
        found = estimate_noise(pair.noisy)
        truth = (gain * found.signal + read_variance) ** 0.5
        assert within(found.sigma, truth, found.sigma_error)
        assert found.sigma_error < 0.35


def test_estimate_noise__floats_and_scaled_counts__scale_with_them():
    mosaic = expose(ramp())
    whole = estimate_noise(raw_image(mosaic))
    assert estimate_noise(raw_image(mosaic.astype(np.float32))).gain == pytest.approx(
        whole.gain, rel=1e-3
    )
    wide = estimate_noise(raw_image(mosaic.astype(float) * 4, "RGGB", 2048, 65532))
    assert wide.gain == pytest.approx(4 * whole.gain, rel=1e-3)
    assert wide.sigma == pytest.approx(4 * whole.sigma, rel=1e-3)


def test_estimate_noise__black_level_off__keeps_the_variance():
    right = estimate_noise(raw_image(expose(ramp())))
    wrong = estimate_noise(raw_image(expose(ramp()), black=505))
    assert wrong.sigma == pytest.approx(right.sigma, rel=0.03)


def test_estimate_noise__row_noise_hot_pixels_and_clipped_sky__hardly_move_it():
    rng = np.random.default_rng(1)
    clean = ramp()
    clean[:64] = 20_000
    mosaic = expose(np.minimum(clean, 16383)).astype(float)
    mosaic += 3 * rng.standard_normal((len(mosaic), 1))
    mosaic.flat[rng.integers(0, mosaic.size, 60)] = 16383
    mosaic = np.clip(np.rint(mosaic), 0, 16383).astype(np.uint16)
    assert estimate_noise(raw_image(mosaic)).gain == pytest.approx(GAIN, rel=0.15)


def test_estimate_noise__smoothed_image__finds_little():
    planes = pack_mosaic(expose(ramp()).astype(np.float32), "RGGB")
    smooth = np.stack([gaussian_filter(plane, 2) for plane in planes])
    found = estimate_noise(raw_image(unpack_mosaic(smooth, "RGGB")))
    assert found.sigma < 0.1 * (GAIN * found.signal + READ_VARIANCE) ** 0.5


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_estimate_noise__constant__is_finite(dtype):
    found = estimate_noise(raw_image(np.full((256, 256), 3000, dtype)))
    assert np.isfinite([*vars(found).values()]).all()
    assert found.sigma < 1


def grain(contrast):
    """A surface of fine grain, the same in all colours."""
    rng = np.random.default_rng(2)
    pattern = gaussian_filter(rng.standard_normal((256, 256)), 0.8)
    return 3000 * (1 + contrast * pattern / pattern.std()).astype(np.float32) + 512


@pytest.mark.parametrize(
    ("mosaic", "reason"),
    [
        (expose(np.maximum(grain(0.3), 520)), "full of fine structure"),
        (np.full((256, 256), 16383, np.uint16), "clipped"),
        (np.zeros((256, 256), np.uint16), "clipped"),
        (np.full((256, 256), np.nan), "clipped"),
        (expose(ramp((64, 64))), "too small"),
    ],
    ids=["grain", "white", "black", "not finite", "small"],
)
def test_estimate_noise__image_that_does_not_tell__says_why(mosaic, reason):
    with pytest.raises(ValueError, match=reason):
        estimate_noise(raw_image(mosaic))
