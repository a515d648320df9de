"""TIFF and NumPy files of mosaics: nothing lost, nothing half-written."""

import json
import os

import numpy as np
import pytest
import tifffile

from skadl.raw.image import RawImage
from skadl.raw.imagefile import write_image, write_tiff
from skadl.raw.rawfile import read_raw

COUNTS = np.linspace(500, 4000, 24 * 32, dtype=np.float32).reshape(24, 32)


def raw_image(mosaic=COUNTS):
    return RawImage(mosaic, "GRBG", 512, 4095, "NIKON D850", 800)


def test_write_image__npy__keeps_dtype_and_values(tmp_path):
    path = write_image(tmp_path / "a.npy", raw_image())
    again = np.load(path)
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again, COUNTS)


@pytest.mark.parametrize("name", ["a.tif", "a.TIFF"])
def test_write_image__tiff__says_how_to_read_its_counts(tmp_path, name):
    path = write_image(tmp_path / name, raw_image())
    with tifffile.TiffFile(path) as tiff:
        stored, facts = tiff.asarray(), json.loads(tiff.pages[0].description)
    assert stored.dtype == np.uint16
    assert (facts["cfa"], facts["sensor"], facts["iso"]) == ("GRBG", "NIKON D850", 800)
    assert facts["white_level"] == 4095 * facts["scale"]
    assert facts["black_level"] == 512 * facts["scale"]
    np.testing.assert_allclose(stored / facts["scale"], COUNTS, atol=1 / 32)


def test_write_tiff__whole_counts__are_stored_as_they_are(tmp_path):
    whole = COUNTS.astype(np.uint16)
    path = write_tiff(tmp_path / "a.tif", raw_image(whole))
    np.testing.assert_array_equal(tifffile.imread(path), whole)


def test_write_image__dng__is_that_of_write_dng(tmp_path):
    path = write_image(tmp_path / "a.dng", raw_image(COUNTS.astype(np.uint16)))
    np.testing.assert_array_equal(read_raw(path).mosaic, COUNTS.astype(np.uint16))


def test_write_image__other_ending__is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a.png ends in '.png'; skadl writes .dng"):
        write_image(tmp_path / "a.png", raw_image())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["a.npy", "a.tif", "a.dng"])
def test_write_image__counts_not_finite__leave_nothing(tmp_path, name):
    with pytest.raises(ValueError, match="not finite"):
        write_image(tmp_path / name, raw_image(np.full((4, 4), np.nan)))
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        write_image(tmp_path / "gone" / name, raw_image())
    assert os.listdir(tmp_path) == []
