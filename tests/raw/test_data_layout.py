"""Counts that cannot lie where a file says are refused or doubted, sound ones not."""

import warnings

import numpy as np
import pytest
import tifffile
from dng_files import LONG, RATIONAL, SHORT, TEXT, write_camera_dng

from skadl.raw.data_layout import why_doubtful, why_impossible
from skadl.raw.dng import write_dng
from skadl.raw.image import RawImage
from skadl.raw.lossless_jpeg import jpeg_counts
from skadl.raw.rawfile import read_raw
from skadl.raw.tiff_tags import read_tags


def counts(shape=(64, 96), seed=0):
    return np.random.default_rng(seed).integers(500, 4000, shape, dtype=np.uint16)


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"rowsperstrip": 7},
        {"tile": (32, 48)},
        {"tile": (128, 128)},
        {"tile": (32, 32), "compression": "zlib"},
    ],
    ids=str,
)
@pytest.mark.parametrize("order", "<>")
def test_sound_layouts__are_neither_refused_nor_doubted(tmp_path, layout, order):
    tags = [
        (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, bytes((0, 1, 1, 2)), True),
        (50706, "B", 4, bytes((1, 4, 0, 0)), True),
        (50708, "s", 0, "Lab 1", True),
    ]
    path = tmp_path / "a.dng"
    tifffile.imwrite(
        path,
        counts(),
        photometric=32803,
        byteorder=order,
        metadata=None,
        extratags=tags,
        **layout,
    )
    found = read_tags(path)
    assert (why_impossible(found), why_doubtful(found)) == (None, None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({258: (SHORT, [0])}, "says that a count has 0 bits"),
        ({256: (RATIONAL, [(96, 1)])}, "no whole numbers"),
        ({273: (LONG, [10_000])}, "bytes beyond its end"),
        ({279: (LONG, [2**32 - 1])}, "bytes beyond its end"),
        ({323: (LONG, [64])}, "only one side of its tiles"),
        ({322: (LONG, [2**20]), 323: (LONG, [2**20])}, "tiles are larger"),
    ],
)
def test_read_raw__layout_that_cannot_be__is_refused(tmp_path, change, words):
    path = write_camera_dng(tmp_path / "a.dng", counts(), raw=change)
    with pytest.raises(ValueError, match=rf"a\.dng is damaged.*{words}"):
        read_raw(path)


def test_read_raw__jpeg_that_promises_more_than_its_size__is_not_decoded(tmp_path):
    pytest.importorskip("imagecodecs")
    sound = tmp_path / "a.dng"
    image = RawImage(counts(), "RGGB", 512, 4095, "Lab 1", 100.0)
    write_dng(sound, image, compress=True)
    content = sound.read_bytes()
    at = content.index(b"\xff\xc3") + 5  # height and width, after length and bits
    np.testing.assert_array_equal(read_raw(sound).mosaic, image.mosaic)
    path = tmp_path / "b.dng"
    path.write_bytes(content[:at] + b"\x7f\xff\xff\xff" + content[at + 4 :])
    with pytest.raises(ValueError, match=r"b\.dng is damaged.*counts, where its size"):
        read_raw(path)


@pytest.mark.parametrize("stream", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff" * 40])
def test_jpeg_counts__stream_that_does_not_say_them__none(stream):
    assert jpeg_counts(stream) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({279: (LONG, [100])}, "have 100 bytes, fewer than its size needs"),
        ({273: (LONG, [0])}, "where it says that something else lies"),
        ({257: (LONG, [66]), 50717: (LONG, [65535])}, "fewer than its size needs"),
    ],
)
def test_read_raw__layout_that_may_be_wrong__is_told(tmp_path, change, words):
    path = write_camera_dng(tmp_path / "a.dng", counts(), raw=change)
    with pytest.warns(UserWarning, match=rf"a\.dng may be damaged: .*{words}"):
        read_raw(path)


def test_read_raw__other_tags_twice__is_no_matter(tmp_path):
    path = write_camera_dng(tmp_path / "a.dng", counts(), first={316: (TEXT, b"x\0")})
    content = path.read_bytes().replace(
        (316).to_bytes(2, "little") + b"\2\0\2\0\0\0x",
        (315).to_bytes(2, "little") + b"\2\0\2\0\0\0x",
    )
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_raw(path)
