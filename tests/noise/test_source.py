"""Where the noise of an image comes from: the order, and what contradicts the image."""

from dataclasses import replace

import numpy as np
import pytest

from skadl.datasets import camera_info, get_camera
from skadl.datasets.simulated.camera_noise import add_camera_noise
from skadl.noise.blind import typical_noise
from skadl.noise.sensors import SensorInfo, SensorTable
from skadl.noise.source import NOISE_SOURCES, find_noise
from skadl.raw.image import RawImage

CAMERA, ISO = get_camera("CanonEOS5D4"), 800.0
GAIN, READ_VARIANCE = CAMERA.noise_at(ISO)
INFO = camera_info("CanonEOS5D4")


def profile(factor=1.0):
    span = INFO.span
    return (GAIN * factor / span, READ_VARIANCE * factor / span**2)


def image(**changes):
    clean = np.tile(np.linspace(520, 9000, 256, dtype=np.float32), (256, 1))
    rng = np.random.default_rng(0)
    mosaic = add_camera_noise(clean, CAMERA, ISO, random_state=rng)
    facts = {"cfa": CAMERA.cfa, "black_level": 512, "white_level": 16383}
    return replace(RawImage(mosaic, **facts, sensor="mine", iso=ISO), **changes)


def sigma(info, signal=2000.0):
    gain, read_variance = info.noise_at(ISO)
    return (gain * signal + read_variance) ** 0.5


TRUTH = sigma(INFO)


def test_find_noise__everything_there__goes_in_order():
    shot, known = image(noise_profile=profile()), SensorTable({"mine": INFO})
    bare = replace(INFO, gain=None, read_noise=None)
    sources = [
        find_noise(shot, INFO, known),
        find_noise(shot, bare, known),
        find_noise(shot, None, SensorTable({"mine": bare, "other": INFO})),
        find_noise(image()),
    ]
    assert [found.source for found in sources] == [
        "given",
        "measured",
        "file",
        "estimated",
    ]
    for found in sources:
        assert found.source in NOISE_SOURCES
        assert not found.notes
        assert sigma(found.sensor) == pytest.approx(TRUTH, rel=0.1)
        assert "counts per electron" in found.sentence


def test_find_noise__file_of_another_bit_depth__what_was_measured_fits_it():
    # Measured on files of 14 bits; this one has 12.
    shot = image()
    fewer_bits = replace(
        shot,
        mosaic=shot.mosaic.astype(np.float32) / 4,
        black_level=512 / 4,
        white_level=16383 / 4,
    )
    known = SensorTable({"mine": replace(INFO, black_offset={ISO: [4.0, 8.0, 0, 0]})})
    for frame in (shot, fewer_bits):
        found = find_noise(frame, None, known)
        assert (found.source, found.notes) == ("measured", ())
    bare = replace(known.get("mine"), gain=None, read_noise=None)
    found = find_noise(fewer_bits, bare)
    assert found.source == "estimated"
    # All of it in the counts of one file.
    assert found.sensor.span == pytest.approx(fewer_bits.span)
    np.testing.assert_allclose(found.sensor.offset_at(ISO), [1.0, 2.0, 0, 0])


def test_find_noise__published_camera__goes_before_an_estimate():
    found = find_noise(image(sensor="Canon EOS 5D Mark IV"))
    assert (found.source, found.notes) == ("published", ())
    assert sigma(found.sensor) == pytest.approx(TRUTH, rel=0.03)
    shot = image(sensor="Canon EOS 5D Mark IV", noise_profile=profile())
    assert find_noise(shot).source == "file"


def test_find_noise__published_at_a_wrong_iso__is_not_believed():
    found = find_noise(image(sensor="Canon EOS 5D Mark IV", iso=12800))
    assert found.source == "estimated"
    assert "published figures of this camera is" in found.notes[0]


def test_find_noise__profile__is_the_mean_of_the_planes_in_counts():
    slope, intercept = profile()
    pairs = [(slope * k, intercept * k) for k in (0.8, 1.0, 1.0, 1.2)]
    found = find_noise(image(noise_profile=pairs), checks=False)
    gain, read_variance = found.sensor.noise_at(ISO)
    assert gain == pytest.approx(GAIN)
    assert read_variance == pytest.approx(READ_VARIANCE)


@pytest.mark.parametrize("factor", [16.0, 1 / 16])
def test_find_noise__profile_that_contradicts_the_image__is_not_believed(factor):
    found = find_noise(image(noise_profile=profile(factor)))
    assert found.source == "estimated"
    assert sigma(found.sensor) == pytest.approx(TRUTH, rel=0.1)
    assert "NoiseProfile is " in found.notes[0]
    assert "the image itself shows, which is believed instead" in found.notes[0]


def test_find_noise__measured_that_contradicts_the_image__is_kept_with_a_note():
    wrong = replace(INFO, gain={ISO: 16 * GAIN}, read_noise={ISO: 40.0})
    found = find_noise(image(), None, SensorTable({"mine": wrong}))
    assert found.source == "measured"
    assert found.sensor is wrong
    assert "more than the image itself shows; check the ISO" in found.notes[0]


def test_find_noise__estimated__says_how_well():
    found = find_noise(image())
    assert "estimated from the image itself: gain" in found.sentence
    assert found.sensor.gain_error[ISO] < 0.2
    assert isinstance(found.sensor, SensorInfo)


def test_find_noise__nothing_tells__says_what_to_do():
    dark = image(mosaic=np.zeros((64, 64), np.uint16))
    with pytest.raises(ValueError, match=r"too small.*--noise.*calibrate_sensor"):
        find_noise(dark)


def test_find_noise__fine_structure_everywhere__assumes_little_and_says_so():
    rng = np.random.default_rng(0)
    grey = np.kron(rng.integers(600, 9000, (128, 128)), np.ones((2, 2)))
    noisy = image(mosaic=(grey + rng.normal(0, 3, grey.shape)).astype(np.uint16))
    found = find_noise(noisy)
    assert found.source == "assumed"
    typical_gain, typical_read_noise = typical_noise(noisy)
    assert found.gain == pytest.approx(typical_gain / 2)
    assert found.read_noise == pytest.approx(typical_read_noise / 2**0.5)
    assert "not determined" in found.figures
    assert "fine structure" in found.notes[0] and "--noise" in found.notes[0]
