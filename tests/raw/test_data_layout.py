"""Counts that cannot lie where a file says are refused or doubted, sound ones not."""

import struct
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


def write_lab_dng(path, byteorder="<", **layout):
    tags = [
        (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, bytes((0, 1, 1, 2)), True),
        (50706, "B", 4, bytes((1, 4, 0, 0)), True),
        (50708, "s", 0, "Lab 1", True),
        (50717, "H", 1, 4095, True),
    ]
    tifffile.imwrite(
        path,
        counts(),
        photometric=32803,
        byteorder=byteorder,
        metadata=None,
        extratags=tags,
        **layout,
    )
    return path


def change_entry(path, order, code, part, value):
    """Write another number into a part of a tag's entry in the only directory."""
    content = bytearray(path.read_bytes())
    (start,) = struct.unpack_from(order + "I", content, 4)
    (n_entries,) = struct.unpack_from(order + "H", content, start)
    (at,) = [
        at
        for at in range(start + 2, start + 2 + 12 * n_entries, 12)
        if struct.unpack_from(order + "H", content, at) == (code,)
    ]
    n_bytes = struct.unpack_from(order + "H", content, at + 2)[0]
    kind = "H" if part != "count" and (part != "value" or n_bytes == 3) else "I"
    place = at + {"code": 0, "type": 2, "count": 4, "value": 8}[part]
    struct.pack_into(order + kind, content, place, value)
    path.write_bytes(content)


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
    path = write_lab_dng(tmp_path / "a.dng", byteorder=order, **layout)
    found = read_tags(path)
    assert (why_impossible(found), why_doubtful(found)) == (None, None)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        # The version that says that it is a DNG, and what LibRaw then takes as it is.
        ([(50706, "count", 2**24), (324, "count", 100_000)], "not in it"),
        ([(50706, "count", 2**32 - 1), (258, "value", 0)], "a count has 0 bits"),
        ([(324, "type", 99)], "not in it"),
        ([(256, "count", 0)], "not in it"),
    ],
    ids=str,
)
@pytest.mark.parametrize("order", "<>")
def test_read_raw__values_of_layout_tags_lie_nowhere__is_refused(
    tmp_path, damage, words, order
):
    path = write_lab_dng(tmp_path / "a.dng", byteorder=order, tile=(64, 96))
    for code, part, value in damage:
        change_entry(path, order, code, part, value)
    with pytest.raises(ValueError, match=rf"a\.dng is damaged.*{words}"):
        read_raw(path, iso=100)


@pytest.mark.parametrize(
    ("layout", "damage", "words"),
    [
        ({"tile": (64, 96)}, (322, 48), "names 1 parts of counts where its size makes"),
        ({"tile": (32, 48)}, (323, 64), "names 4 parts of counts where its size makes"),
        ({"rowsperstrip": 16}, (278, 8), "names 4 parts .* makes 8"),
        ({}, (258, 12), "more than its size needs"),
    ],
    ids=str,
)
def test_read_raw__parts_that_do_not_make_its_size__is_told(
    tmp_path, layout, damage, words
):
    path = write_lab_dng(tmp_path / "a.dng", **layout)
    change_entry(path, "<", damage[0], "value", damage[1])
    with pytest.warns(UserWarning, match=rf"a\.dng may be damaged: .*{words}"):
        read_raw(path, iso=100, white_level=2**32)


def test_read_raw__file_that_libraw_lacks_memory_for__says_what_is_damaged(tmp_path):
    path = write_lab_dng(tmp_path / "a.dng", tile=(64, 96))
    change_entry(path, "<", 50717, "code", 323)  # another length of its tiles
    with pytest.raises(ValueError, match=r"a\.dng is damaged.*are there twice"):
        read_raw(path, iso=100)


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


@pytest.mark.parametrize("width", [48, 192, 1277])
def test_read_raw__jpeg_of_another_size_than_its_tags__is_told(tmp_path, width):
    pytest.importorskip("imagecodecs")
    path = tmp_path / "a.dng"
    image = RawImage(counts(), "RGGB", 512, 4095, "Lab 1", 100.0)
    write_dng(path, image, compress=True)
    change_entry(path, "<", 256, "value", width)
    with pytest.warns(UserWarning, match=r"a\.dng may be damaged: .* 6,144 counts, wh"):
        read_raw(path, black_level=0, white_level=65535)


@pytest.mark.parametrize("bits", [0, 16])
def test_read_raw__dng_by_its_name_alone__is_told(tmp_path, bits):
    path = tmp_path / "a.dng"
    write_dng(path, RawImage(counts(), "RGGB", 512, 4095, "NIKON D850", 100.0))
    change_entry(path, "<", 50706, "code", 254)
    change_entry(path, "<", 258, "value", bits)
    words = "by its name it is a DNG" if bits else "a count has 0 bits"
    with pytest.warns(UserWarning, match=rf"a\.dng may be damaged: .*{words}"):
        read_raw(path, sensor="S", iso=100, black_level=0, white_level=65535)


@pytest.mark.parametrize("stream", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff" * 40])
def test_jpeg_counts__stream_that_does_not_say_them__none(stream):
    assert jpeg_counts(stream) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({279: (LONG, [100])}, "have 100 bytes, fewer than its size needs"),
        ({273: (LONG, [0])}, "where it says that something else lies"),
        # A row before its counts, where a tag has its values.
        (
            {50716: (LONG, [0] * 400), 273: (LONG, [900]), 50717: (LONG, [65535])},
            "where it says that something else lies",
        ),
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
