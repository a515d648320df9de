"""Published noise: found by what files call a camera, in the counts of the file."""

import pytest

from skadl.datasets import camera_info, camera_names
from skadl.noise.published import _NAMES_IN_FILES, published_noise
from skadl.raw.exif import camera_name


@pytest.mark.parametrize("camera", camera_names())
def test_published_noise__every_camera__is_that_of_the_simulation(camera):
    info = camera_info(camera)
    for iso in (min(info.gain), 700.0, max(info.gain)):
        gain, read_noise = published_noise(camera, iso, info.span)
        true_gain, true_variance = info.noise_at(iso)
        assert gain == pytest.approx(true_gain, rel=0.03)
        assert read_noise == pytest.approx(true_variance**0.5, rel=0.03)


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("SONY", "ILCE-7SM2", "SonyA7S2"),
        ("NIKON CORPORATION", "NIKON D850", "NikonD850"),
        ("Canon", "Canon EOS 5D Mark IV", "CanonEOS5D4"),
        ("Canon", "Canon EOS 70D", "CanonEOS70D"),
        ("Canon", "Canon EOS REBEL T5i", "CanonEOS700D"),
        ("Canon", "Canon EOS Kiss X7i", "CanonEOS700D"),
        ("Google", "Pixel 4a", "Pixel4a"),
        ("OPPO", "CPH1919", "OppoReno10x"),
    ],
)
def test_published_noise__names_in_exif__are_known(make, model, camera):
    name = camera_name(make, model)
    assert published_noise(name, 800, 4000) == published_noise(camera, 800, 4000)
    assert published_noise(name.upper(), 800, 4000) is not None


@pytest.mark.parametrize(
    "name", ["Canon EOS 7D", "Canon EOS 70D Mark II", "NIKON D85", "Pixel 4a (5G)", "x"]
)
def test_published_noise__other_cameras__are_not_taken_for_one(name):
    assert published_noise(name, 800, 4000) is None


def test_published_noise__twelve_bits__is_a_quarter_of_fourteen():
    fine, coarse = (published_noise("NIKON D850", 800, s) for s in (16000, 4000))
    assert coarse == pytest.approx([x / 4 for x in fine])


def test_published_noise__iso_far_from_the_calibration__is_not_told():
    gain, _ = published_noise("NIKON D850", 12800, 15983)
    assert gain == pytest.approx(2 * published_noise("NIKON D850", 6400, 15983)[0])
    assert published_noise("NIKON D850", 51200, 15983) is None
    assert set(_NAMES_IN_FILES) <= set(camera_names())
