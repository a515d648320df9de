"""The NoiseProfile of a DNG: read where it lies, never believed where it cannot be."""

import struct

import numpy as np
import pytest
import tifffile

from skadl.raw.dng import write_dng
from skadl.raw.image import RawImage
from skadl.raw.noise_profile import read_noise_profile
from skadl.raw.rawfile import open_raw, read_raw
from skadl.raw.tiff_tags import read_tags

PROFILE = 51041


def raw_image(**facts):
    mosaic = np.random.default_rng(0).integers(400, 4000, (32, 48), dtype=np.uint16)
    return RawImage(mosaic, "RGGB", 512, 4095, "S1", 800, **facts)


def add_tag(path, values):
    """Append a first directory with one tag more: write_dng leaves the profile out."""
    content = path.read_bytes()
    at = struct.unpack("<I", content[4:8])[0]
    count = struct.unpack("<H", content[at : at + 2])[0]
    entries = [content[at + 2 + 12 * i : at + 14 + 12 * i] for i in range(count)]
    content += b"\0" * (len(content) % 2)
    payload = struct.pack(f"<{len(values)}d", *values)
    entries.append(struct.pack("<HHII", PROFILE, 12, len(values), len(content)))
    entries.sort(key=lambda entry: struct.unpack("<H", entry[:2])[0])
    start = len(content) + len(payload)
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + b"\0\0\0\0"
    content = content[:4] + struct.pack("<I", start) + content[8:] + payload
    path.write_bytes(content + directory)
    return path


@pytest.fixture
def dng(tmp_path):
    return write_dng(tmp_path / "a.dng", raw_image())


@pytest.mark.parametrize(
    ("values", "planes"),
    [
        ((1e-3, 1e-6), ((1e-3, 1e-6),) * 4),
        (
            (1e-3, 1e-6, 2e-3, 2e-6, 3e-3, 3e-6),
            ((1e-3, 1e-6), (2e-3, 2e-6), (2e-3, 2e-6), (3e-3, 3e-6)),
        ),
        (
            (1e-3, 0.0, 2e-3, 2e-6, 3e-3, 3e-6, 4e-3, 4e-6),
            ((1e-3, 0.0), (2e-3, 2e-6), (3e-3, 3e-6), (4e-3, 4e-6)),
        ),
    ],
    ids=["one for all", "red green blue", "four planes"],
)
def test_read_raw__noise_profile__is_that_of_the_planes(dng, values, planes):
    add_tag(dng, values)
    assert read_raw(dng).noise_profile == planes
    assert open_raw(dng).noise_profile == planes


@pytest.mark.parametrize(
    "values",
    [
        (1e-3,),
        (1e-3, -1e-6),
        (float("nan"), 1e-6),
        (0.0, 0.0),
        (1e-3, 1e-6) * 2,
        (700.0, 1e-6),
    ],
)
def test_read_raw__impossible_noise_profile__is_left_out_with_a_note(dng, values):
    add_tag(dng, values)
    with pytest.warns(UserWarning, match=r"a\.dng has a NoiseProfile that is not used"):
        assert read_raw(dng).noise_profile is None


def profile_of(path):
    return read_noise_profile(read_tags(path), path.name)


def test_read_noise_profile__other_files__have_none(tmp_path, dng):
    assert profile_of(dng) is None
    tiff = tmp_path / "a.tif"
    extra = [(PROFILE, "d", 2, (1e-3, 1e-6), True)]
    tifffile.imwrite(tiff, np.zeros((4, 4), np.uint16), extratags=extra)
    assert profile_of(tiff) is None  # no DNG: a number may mean anything
    for content in (b"", b"II", b"II*\0\xff\xff\xff\xff", b"text"):
        tiff.write_bytes(content)
        assert profile_of(tiff) is None


def test_read_noise_profile__in_the_directory_of_the_mosaic__goes_first(tmp_path):
    path = tmp_path / "a.dng"
    version = (50706, "B", 4, bytes((1, 4, 0, 0)), True)

    def profile(slope):
        return (PROFILE, "d", 2, (slope, 1e-6), True)

    with tifffile.TiffWriter(path) as writer:
        preview = np.zeros((4, 4, 3), np.uint8)
        tags = [version, profile(1e-3)]
        writer.write(preview, photometric="rgb", subifds=2, extratags=tags)
        small = np.zeros((8, 8, 3), np.uint8)
        writer.write(small, photometric="rgb", extratags=[profile(2e-3)])
        mosaic = np.zeros((8, 8), np.uint16)
        writer.write(mosaic, photometric=32803, extratags=[profile(3e-3)])
    assert profile_of(path)[0] == (3e-3, 1e-6)


def test_raw_image__noise_profile__does_not_outlive_its_counts(dng, tmp_path):
    image = read_raw(add_tag(dng, (1e-3, 1e-6)))
    denoised = image.with_mosaic(image.mosaic)
    assert denoised.noise_profile is None
    written = write_dng(tmp_path / "b.dng", denoised, dng)
    assert read_raw(written).noise_profile is None
    again = read_raw(write_dng(tmp_path / "c.dng", image))
    assert again.noise_profile == image.noise_profile  # the counts are the file's


def test_raw_image__impossible_noise_profile__is_refused():
    with pytest.raises(ValueError, match="noise_profile cannot be used"):
        raw_image(noise_profile=(1e-3, -1.0))
