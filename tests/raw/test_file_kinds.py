"""Files that are sound but not read: each is refused for its own reason."""

import struct

import numpy as np
import pytest
from dng_files import LONG, RATIONAL, SHORT, SRATIONAL, write_camera_dng

from skadl.raw.exif import exif_number, read_exposure
from skadl.raw.exif_blocks import encode_entry
from skadl.raw.rawfile import RAW_SUFFIXES, read_raw
from skadl.raw.tiff_tags import numbers, read_tags, text


def counts(shape=(64, 96), seed=0):
    return np.random.default_rng(seed).integers(500, 4000, shape, dtype=np.uint16)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.arq", b"II*\0\x08\0\0\0" + bytes(99), "pixel shift composite.*arw shots"),
        ("a.nef", b"\xff\xd8\xff\xe1" + bytes(99), "is a JPEG.*give the camera's RAW"),
        ("a.heic", b"\0\0\0\x18ftypheic" + bytes(99), "is a HEIF"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(99), "is a PNG"),
        ("a.zip", b"PK\x03\x04" + bytes(99), "is a ZIP archive; unpack it"),
        ("a.cr2", b"", "is empty"),
    ],
)
def test_read_raw__sound_file_of_another_kind__is_refused_as_that(
    tmp_path, name, content, words
):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{name} .*{words}") as caught:
        read_raw(path)
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("has_preview", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_read_raw__jpeg_xl_in_a_dng__says_how_to_convert_it(
    tmp_path, has_preview, order
):
    path = write_camera_dng(
        tmp_path / "j.dng",
        counts(),
        raw={259: (SHORT, [52546])},
        has_preview=has_preview,
        order=order,
    )
    with pytest.raises(ValueError, match="JPEG XL.*DNG Converter") as caught:
        read_raw(path)
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("white", [1, 4095])
def test_read_raw__floating_point_dng__is_not_cut_in_silence(tmp_path, dtype, white):
    mosaic = (counts() / 4095 * white).astype(dtype)
    path = write_camera_dng(tmp_path / "f.dng", mosaic, raw={50717: (LONG, [white])})
    bits = 8 * mosaic.itemsize
    with pytest.raises(ValueError, match=f"floating-point numbers of {bits} bits"):
        read_raw(path)


def test_read_raw__floating_point_of_24_bits__is_refused_too(tmp_path):
    mosaic = np.zeros((64, 144), np.uint8)  # as many bytes
    tags = {256: (LONG, [48]), 258: (SHORT, [24]), 339: (SHORT, [3])}
    path = write_camera_dng(tmp_path / "f.dng", mosaic, raw=tags)
    with pytest.raises(
        ValueError, match=r"f\.dng is (a DNG of floating-point|damaged)"
    ):
        read_raw(path)


def test_raw_suffixes__pixel_shift__is_seen_in_folders():
    assert ".arq" in RAW_SUFFIXES


# What the tags say


@pytest.mark.parametrize("corner", [(1, 1), (3, 2), (2, 5), (0, 0), (4, 6)])
@pytest.mark.parametrize("repeat", [(2, 2), (1, 2), (2, 1), (4, 2)])
def test_read_raw__black_pattern_and_odd_margin__is_that_of_each_photosite(
    tmp_path, corner, repeat
):
    # DNG: the pattern begins at the corner of the ActiveArea.
    top, left = corner
    pattern = np.array([500.25, 510, 520, 530, 500.25, 510, 520, 530])
    pattern = pattern[: repeat[0] * repeat[1]].reshape(repeat)
    parts = [(round(4 * level), 4) for level in pattern.flat]
    path = write_camera_dng(
        tmp_path / "b.dng",
        counts(),
        raw={
            50829: (LONG, [top, left, 60, 90]),
            50713: (SHORT, [*repeat]),
            50714: (RATIONAL, parts),
        },
    )
    image = read_raw(path)
    first = [row + row % 2 for row in (top, left)]
    expected = tuple(
        pattern[
            (first[0] - top + row) % repeat[0], (first[1] - left + column) % repeat[1]
        ]
        for row in (0, 1)
        for column in (0, 1)
    )
    levels = np.broadcast_to(image.black_level, 4)
    assert tuple(levels) == expected


@pytest.mark.parametrize("code", [34865, 34866, 34867])
@pytest.mark.parametrize("type_", [SHORT, LONG])
def test_read_raw__iso_in_another_tag__is_the_iso(tmp_path, code, type_):
    path = write_camera_dng(
        tmp_path / "s.dng",
        counts(),
        exif={code: (type_, [640]), 34864: (SHORT, [1])},
        without=(34855,),
    )
    assert read_raw(path).iso == 640


def test_read_exposure__time_without_an_end__is_that_in_apex_units(tmp_path):
    endless = {33434: (RATIONAL, [(1, 0)])}
    path = write_camera_dng(tmp_path / "e.dng", counts(), exif=endless)
    assert read_exposure(path) == (800, None)
    endless |= {37377: (SRATIONAL, [(3, 1)]), 37378: (RATIONAL, [(4, 1)])}
    path = write_camera_dng(tmp_path / "e.dng", counts(), exif=endless)
    assert read_exposure(path) == (800, 0.125)
    assert exif_number(read_tags(path), "FNumber") == 4


@pytest.mark.parametrize("ratio", [(0, 0), (0, 1), (2**32 - 1, 1)])
def test_read_exposure__time_that_cannot_be__is_none(tmp_path, ratio):
    exif = {33434: (RATIONAL, [ratio])}
    path = write_camera_dng(tmp_path / "e.dng", counts(), exif=exif)
    assert read_exposure(path)[1] is None


@pytest.mark.parametrize("order", "<>")
def test_read_tags__either_byte_order__gives_the_same(tmp_path, order):
    path = write_camera_dng(tmp_path / "a.dng", counts(), order=order)
    tags = read_tags(path)
    assert tags.is_dng and tags.is_little_endian == (order == "<")
    assert text(tags.first[272]) == "Lab Camera"
    assert numbers(tags.mosaic[256]) == [96]
    assert numbers(tags.first[50728]) == [0.45, 1, 0.62]
    assert numbers(tags.exif[33434]) == [1 / 60]


def test_read_tags__values_outside_the_file__are_left_out(tmp_path):
    path = tmp_path / "t"
    entry = struct.pack("<HHII", 315, 2, 2**31, 40)
    path.write_bytes(b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + entry + bytes(4))
    assert read_tags(path).first == {}


def test_read_tags__directory_that_points_to_itself__ends(tmp_path):
    path = tmp_path / "t"
    entry = struct.pack("<HHII", 330, 4, 1, 8)
    path.write_bytes(b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + entry + bytes(4))
    assert read_tags(path).first[330] == encode_entry(330, LONG, [8])
