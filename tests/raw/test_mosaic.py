"""Packing and mirroring against masks of letters and numpy's own mirrors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skadl.raw.lines import column_sums, row_sums
from skadl.raw.mosaic import (
    CFA_PATTERNS,
    check_cfa,
    crop_to_blocks,
    pack_mosaic,
    pad_to_blocks,
    sample_rgb,
    spread_planes,
    to_common_geometry,
    unpack_mosaic,
)

# Mirror axes that turn a mosaic of even sides into RGGB.
MIRRORS = {"RGGB": (), "GRBG": (1,), "GBRG": (0,), "BGGR": (0, 1)}

patterns = st.sampled_from(CFA_PATTERNS)
dtypes = st.sampled_from([np.uint8, np.uint16, np.int32, np.float32])
even_sides = st.integers(1, 6).map(lambda n: 2 * n)


@st.composite
def mosaics(draw, sides=even_sides):
    shape = (draw(sides), draw(sides))
    return draw(arrays(draw(dtypes), shape, elements=st.integers(0, 255)))


def colours(cfa, shape):
    """Index of the plane (R, Gr, Gb, B) that each site belongs to."""
    letters = np.array(list(cfa)).reshape(2, 2)
    red_row = np.argwhere(letters == "R")[0][0]
    code = np.empty((2, 2), int)
    for row in range(2):
        for column in range(2):
            letter = letters[row, column]
            green = 1 if row == red_row else 2
            code[row, column] = {"R": 0, "G": green, "B": 3}[letter]
    return np.tile(code, (shape[0] // 2 + 1, shape[1] // 2 + 1))[: shape[0], : shape[1]]


@given(mosaics(), patterns)
def test_unpack_inverts_pack(mosaic, cfa):
    restored = unpack_mosaic(pack_mosaic(mosaic, cfa), cfa)
    assert restored.dtype == mosaic.dtype
    np.testing.assert_array_equal(restored, mosaic)


@given(st.tuples(st.integers(1, 7), st.integers(1, 7)), patterns)
def test_spread_planes__every_site__has_the_value_of_its_plane(shape, cfa):
    spread = spread_planes(np.arange(4), cfa, shape)
    np.testing.assert_array_equal(spread, colours(cfa, shape))


@given(mosaics(st.integers(1, 9)), patterns)
def test_sample_rgb__every_site__has_its_colour(mosaic, cfa):
    picture = np.stack([mosaic, mosaic + 1, mosaic + 2], axis=2)
    colour = np.array([0, 1, 1, 2])[colours(cfa, mosaic.shape)]
    sampled = sample_rgb(picture, cfa)
    assert sampled.dtype == picture.dtype
    expected = np.take_along_axis(picture, colour[:, :, None], axis=2)[..., 0]
    np.testing.assert_array_equal(sampled, expected)


@given(mosaics(), patterns)
def test_line_sums__are_those_of_the_mosaic(mosaic, cfa):
    packed = pack_mosaic(mosaic.astype(int), cfa)
    rows, columns = mosaic.sum(axis=1, dtype=int), mosaic.sum(axis=0, dtype=int)
    red_row, red_column = np.argwhere(colours(cfa, (2, 2)) == 0)[0]
    for found, sums, red in (
        (row_sums(packed), rows, red_row),
        (column_sums(packed), columns, red_column),
    ):
        np.testing.assert_array_equal(found, [sums[red::2], sums[1 - red :: 2]])


@given(mosaics(st.integers(2, 9)))
def test_crop_to_blocks__keeps_whole_cells(mosaic):
    cropped = crop_to_blocks(mosaic, "RGGB")
    assert cropped.shape == tuple(side - side % 2 for side in mosaic.shape)
    assert np.shares_memory(cropped, mosaic)


@given(mosaics(), patterns)
def test_pack__every_plane__holds_the_sites_of_its_letter(mosaic, cfa):
    packed = pack_mosaic(mosaic, cfa)
    sites = colours(cfa, mosaic.shape)
    for plane in range(4):
        np.testing.assert_array_equal(packed[plane].ravel(), mosaic[sites == plane])


def test_pack__result__shares_no_memory_with_the_mosaic(cfa):
    mosaic = np.zeros((4, 4), np.uint16)
    pack_mosaic(mosaic, cfa)[:] = 1
    assert not mosaic.any()


@given(mosaics(), patterns)
def test_to_common_geometry__packed__equals_packing_the_mirrored_mosaic(mosaic, cfa):
    mirrored = np.flip(mosaic, MIRRORS[cfa])
    expected = pack_mosaic(mirrored, "RGGB")
    np.testing.assert_array_equal(
        to_common_geometry(pack_mosaic(mosaic, cfa), cfa), expected
    )


@given(mosaics(), patterns)
def test_to_common_geometry__applied_twice__changes_nothing(mosaic, cfa):
    packed = pack_mosaic(mosaic, cfa)
    twice = to_common_geometry(to_common_geometry(packed, cfa), cfa)
    np.testing.assert_array_equal(twice, packed)


@given(mosaics(), patterns)
def test_to_common_geometry__tensor__agrees_with_array(mosaic, cfa):
    packed = pack_mosaic(mosaic, cfa).astype(np.float32)
    batch = torch.from_numpy(packed)[None]
    mirrored = to_common_geometry(batch, cfa)
    np.testing.assert_array_equal(mirrored[0].numpy(), to_common_geometry(packed, cfa))


@given(st.integers(2, 9), st.integers(2, 9), patterns)
def test_pad_to_blocks__any_size__keeps_the_cfa_phase(height, width, cfa):
    even = (height + height % 2, width + width % 2)
    padded = pad_to_blocks(colours(cfa, (height, width)), cfa)
    np.testing.assert_array_equal(padded, colours(cfa, even))


@given(mosaics(st.integers(2, 9)))
def test_pad_to_blocks__any_size__adds_only_at_the_end(mosaic):
    padded = pad_to_blocks(mosaic, "RGGB")
    assert padded.shape == tuple(side + side % 2 for side in mosaic.shape)
    height, width = mosaic.shape
    np.testing.assert_array_equal(padded[:height, :width], mosaic)


def test_pad_to_blocks__even_sides__returns_the_same_array():
    mosaic = np.zeros((4, 6))
    assert pad_to_blocks(mosaic, "RGGB") is mosaic


@pytest.mark.parametrize("name", ["rggb", "RGBG", "", "XTRANS", None])
def test_check_cfa__not_bayer__lists_the_four(name):
    with pytest.raises(ValueError, match="RGGB, BGGR, GRBG, GBRG"):
        check_cfa(name)


@pytest.mark.parametrize("shape", [(3, 4), (4, 3), (4,), (2, 2, 2)])
def test_pack__odd_or_not_2d__says_which_shape(shape):
    with pytest.raises(ValueError, match="even sides, got"):
        pack_mosaic(np.zeros(shape), "RGGB")


@pytest.mark.parametrize("shape", [(3, 2, 2), (4, 4), (1, 4, 2, 2)])
def test_unpack__not_four_planes__says_which_shape(shape):
    with pytest.raises(ValueError, match="R, Gr, Gb, B"):
        unpack_mosaic(np.zeros(shape), "RGGB")
