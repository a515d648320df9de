"""X-Trans mosaics against a tile of letters, at each of its 36 offsets."""

from __future__ import annotations

import dataclasses
from itertools import product

import numpy as np
import pytest
import rawpy
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skadl import RawImage, read_raw, write_dng
from skadl.raw.image import align_image, window_of
from skadl.raw.mosaic import (
    XTRANS_PATTERNS,
    align_blocks,
    aligned,
    check_cfa,
    crop_to_blocks,
    find_blocks,
    mosaic_of,
    pack_mosaic,
    pad_to_blocks,
    pattern_at,
    sample_rgb,
    spread_planes,
    unpack_mosaic,
)
from skadl.raw.symmetry import plane_order, symmetric_sites

# As Fujifilm's own drawings have it: green squares, and lone green pixels between.
TILE = np.array(
    [list(row) for row in "GGRGGB GGBGGR BRGRBG GGBGGR GGRGGB RBGBRG".split()]
)
OFFSETS = list(product(range(6), repeat=2))
patterns = st.sampled_from(XTRANS_PATTERNS)
sides = st.integers(2, 6).map(lambda n: 3 * n)


def letters(offset, shape):
    """Colours of a mosaic that begins at an offset of the tile."""
    rows, columns = (
        start + np.arange(n) for start, n in zip(offset, shape, strict=True)
    )
    return TILE[rows[:, None] % 6, columns % 6]


def pattern_letters(cfa, shape):
    tile = np.array(list(mosaic_of(cfa).pattern)).reshape(6, 6)
    return np.tile(tile, (shape[0] // 6 + 1, shape[1] // 6 + 1))[: shape[0], : shape[1]]


@st.composite
def mosaics(draw):
    return draw(
        arrays(np.uint16, (draw(sides), draw(sides)), elements=st.integers(0, 9))
    )


@pytest.mark.parametrize("offset", OFFSETS)
def test_find_blocks__every_offset__mosaic_from_there_has_planes_of_one_colour(offset):
    name, (top, left) = find_blocks("".join(letters(offset, (6, 6)).ravel()))
    colours = letters(offset, (23, 20))[top:, left:]
    np.testing.assert_array_equal(colours, pattern_letters(name, colours.shape))
    planes = pack_mosaic(crop_to_blocks(colours, name), name)
    assert max(top, left) <= 2 and len(planes) == 9
    for plane, colour in zip(planes, mosaic_of(name).colours, strict=True):
        assert (plane == colour).all()


@given(mosaics(), patterns)
def test_unpack__inverts_pack(mosaic, cfa):
    restored = unpack_mosaic(pack_mosaic(mosaic, cfa), cfa)
    assert restored.dtype == mosaic.dtype
    np.testing.assert_array_equal(restored, mosaic)


@given(mosaics(), patterns)
def test_align_blocks__gives_the_same_planes_and_is_its_own_inverse(mosaic, cfa):
    alike = align_blocks(mosaic, cfa)
    packed = pack_mosaic(mosaic, cfa)
    np.testing.assert_array_equal(pack_mosaic(alike, aligned(cfa)), packed)
    np.testing.assert_array_equal(align_blocks(alike, cfa), mosaic)


@given(st.integers(6, 20), st.integers(6, 20), patterns)
def test_pad_to_blocks__any_size__goes_on_with_the_colours(height, width, cfa):
    padded = pad_to_blocks(pattern_letters(cfa, (height, width)), cfa)
    assert padded.shape == (height + -height % 3, width + -width % 3)
    np.testing.assert_array_equal(padded, pattern_letters(cfa, padded.shape))


@given(st.tuples(st.integers(1, 9), st.integers(1, 9)), patterns)
def test_spread_planes_and_sample_rgb__every_site__has_its_colour(shape, cfa):
    colours = pattern_letters(cfa, shape)
    of_planes = np.array(list(mosaic_of(cfa).colours))
    np.testing.assert_array_equal(spread_planes(of_planes, cfa, shape), colours)
    rgb = np.broadcast_to(np.array(list("RGB")), (*shape, 3))
    np.testing.assert_array_equal(sample_rgb(rgb, cfa), colours)


@given(mosaics(), patterns, st.data())
def test_symmetric_sites__each_symmetry__is_that_of_the_mosaic(mosaic, cfa, data):
    own = mosaic_of(cfa)
    symmetry = data.draw(st.sampled_from(own.symmetries))
    mirror_rows, mirror_columns, transpose = symmetry
    mosaic = mosaic[: min(mosaic.shape), : min(mosaic.shape)]
    turned = mosaic[::-1] if mirror_rows else mosaic
    turned = turned[:, ::-1] if mirror_columns else turned
    turned = turned.T if transpose else turned
    # Of the turned mosaic, some pattern of the family has planes of one colour.
    colours = pattern_letters(cfa, mosaic.shape)
    colours = colours[::-1] if mirror_rows else colours
    colours = colours[:, ::-1] if mirror_columns else colours
    colours = colours.T if transpose else colours
    name, corner = find_blocks("".join(colours[:6, :6].ravel()))
    assert corner == (0, 0)
    packed = pack_mosaic(mosaic, cfa).transpose(1, 2, 0)  # (n, n, 9)
    n = len(packed) - 1
    sites = symmetric_sites(own, n, *symmetry)
    found = packed.ravel()[sites].reshape(n, n, 9)
    expected = pack_mosaic(turned, name).transpose(1, 2, 0)[:n, :n]
    np.testing.assert_array_equal(found, expected)
    assert sorted(plane_order(own, *symmetry)) == list(range(9))


@given(st.integers(0, 3), st.integers(0, 3), patterns)
def test_pattern_at__after_some_blocks__is_the_pattern_that_is_left(row, column, cfa):
    colours = pattern_letters(cfa, (24, 24))[3 * row :, 3 * column :]
    left = pattern_at(cfa, row, column)
    np.testing.assert_array_equal(colours, pattern_letters(left, colours.shape))


def test_check_cfa__letters__name_the_mosaic_or_say_where_it_begins():
    for name in XTRANS_PATTERNS:
        assert check_cfa(mosaic_of(name).pattern) == name
    inside = "".join(letters((0, 0), (6, 6)).ravel())
    with pytest.raises(ValueError, match=r"give mosaic\[1:, 1:\], whose pattern is"):
        check_cfa(inside)
    with pytest.raises(ValueError, match="are not those of an X-Trans mosaic"):
        check_cfa("R" * 36)


def x_trans(cfa=XTRANS_PATTERNS[0], black=1024, shape=(40, 50), **changes):
    mosaic = np.random.default_rng(0).integers(1200, 15000, shape, dtype=np.uint16)
    image = RawImage(mosaic, cfa, black, 16383, "FUJIFILM X-T9", 800)
    return dataclasses.replace(image, **changes)


NINE = tuple(range(1000, 1009))


@pytest.mark.parametrize("cfa", XTRANS_PATTERNS)
@pytest.mark.parametrize("black", [1024, NINE])
def test_image__planes__are_above_the_black_of_their_sites(cfa, black):
    image = x_trans(cfa, black, (12, 18))
    blacks = np.broadcast_to(np.asarray(black, float), 9).reshape(3, 3)
    first = image.mosaic[:3, :3] - blacks
    expected = pack_mosaic(first, cfa)[:, 0, 0] / image.span
    np.testing.assert_allclose(image.normalised()[:, 0, 0], expected, rtol=1e-5)
    alike = align_image(image)
    np.testing.assert_array_equal(alike.normalised(), image.normalised())
    part = window_of(image, slice(1, 3), slice(2, 5))
    np.testing.assert_array_equal(part.normalised(), image.normalised()[:, 1:3, 2:5])


def test_image__four_black_levels_or_too_small__say_what_is_needed():
    with pytest.raises(ValueError, match="one finite number or nine in CFA reading"):
        x_trans(black_level=(1, 2, 3, 4))
    with pytest.raises(ValueError, match="at least 6x6"):
        x_trans(shape=(5, 60))


def test_image__in_a_notebook__shows_its_colours():
    red = (mosaic_of(XTRANS_PATTERNS[0]).pattern, 1024, 16383, "A", 100)
    letters_ = pattern_letters(XTRANS_PATTERNS[0], (12, 12))
    image = RawImage(np.where(letters_ == "R", 9000, 2000), *red)
    assert (
        "XTRANS-GBG" in image._repr_html_() and "data:image/png" in image._repr_html_()
    )


@pytest.mark.parametrize("cfa", XTRANS_PATTERNS)
@pytest.mark.parametrize("black", [1024, NINE, 1024.25])
@pytest.mark.parametrize("compress", [False, True])
def test_write_dng__x_trans__is_read_again_exactly(tmp_path, cfa, black, compress):
    image = x_trans(cfa, black)
    path = write_dng(tmp_path / "x.dng", image, compress=compress)
    again = read_raw(path)
    np.testing.assert_array_equal(again.mosaic, image.mosaic)
    np.testing.assert_allclose(again.black_planes, image.black_planes, rtol=1e-6)
    assert (again.cfa, again.white_level) == (cfa, image.white_level)
    assert (again.sensor, again.iso) == (image.sensor, image.iso)


@pytest.mark.parametrize("cfa", XTRANS_PATTERNS)
def test_write_dng__x_trans__libraw_and_tiff_readers_agree(tmp_path, cfa):
    image = x_trans(cfa, shape=(606, 606))
    path = write_dng(tmp_path / "x.dng", image)
    pattern = mosaic_of(cfa).pattern
    with rawpy.imread(str(path)) as raw:
        np.testing.assert_array_equal(raw.raw_image_visible, image.mosaic)
        found = "".join("RGBG"[index] for index in raw.raw_pattern.ravel())
        assert found == pattern and raw.postprocess(half_size=True).any()
    with tifffile.TiffFile(path) as tiff:
        tags = tiff.pages[0].tags
        assert tags[33421].value == (6, 6)
        assert bytes(tags[33422].value) == bytes("RGB".index(c) for c in pattern)


def test_write_dng__denoised_x_trans__counts_of_16_bits(tmp_path):
    image = x_trans().with_mosaic(x_trans().mosaic + np.float32(0.25))
    again = read_raw(write_dng(tmp_path / "x.dng", image))
    np.testing.assert_array_equal(again.mosaic, 4 * image.mosaic)
    assert again.normalised() == pytest.approx(image.normalised(), abs=1e-6)


def foreign_dng(path, mosaic, offset):
    """A DNG by another writer, whose mosaic begins at an offset of the tile."""
    codes = bytes("RGB".index(letter) for letter in letters(offset, (6, 6)).ravel())
    tags = [
        (33421, "H", 2, (6, 6), True),
        (33422, "B", 36, codes, True),
        (50706, "B", 4, bytes((1, 4, 0, 0)), True),
        (50708, "s", 0, "Unique One", True),
        (50714, "H", 1, 200, True),
        (50717, "I", 1, 4095, True),
    ]
    tifffile.imwrite(path, mosaic, photometric=32803, extratags=tags, metadata=None)
    return path


@pytest.mark.parametrize("offset", [(0, 0), (1, 1), (2, 5), (4, 1), (5, 3), (3, 2)])
def test_read_raw__any_offset__begins_with_a_whole_block(tmp_path, offset):
    mosaic = np.random.default_rng(1).integers(400, 4000, (38, 49), dtype=np.uint16)
    image = read_raw(foreign_dng(tmp_path / "x.dng", mosaic, offset), iso=100)
    name, (top, left) = find_blocks("".join(letters(offset, (6, 6)).ravel()))
    np.testing.assert_array_equal(image.mosaic, mosaic[top:, left:])
    assert image.cfa == name and image.black_level == 200
    # What is written from it is the same part of the picture.
    again = read_raw(write_dng(tmp_path / "again.dng", image))
    np.testing.assert_array_equal(again.mosaic, image.mosaic)
    assert again.cfa == name


def test_read_raw__6x6_that_is_not_x_trans__is_refused(tmp_path):
    counts = np.arange(38 * 49, dtype=np.uint16).reshape(38, 49) % 3000
    path = foreign_dng(tmp_path / "q.dng", counts, (0, 0))
    codes = ["RGB".index(letter) for letter in letters((0, 0), (6, 6)).ravel()]
    codes[2], codes[5] = codes[5], codes[2]  # a red and a blue one
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags[33422].overwrite(bytes(codes))
    with pytest.raises(ValueError, match="q.dng: the colours GGBGGR.*are not those of"):
        read_raw(path, iso=100)
