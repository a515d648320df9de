"""Patches against crops of mosaics that numpy mirrored and transposed."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skadl.adaptation.patches import cut_fixed, cut_patches, select
from skadl.data.store.patch_store import PatchStore
from skadl.estimators.training_pairs import symmetry_of, to_training_pair
from skadl.noise.noise_level import NoiseLevel
from skadl.raw.image import RawImage
from skadl.raw.mosaic import CFA_PATTERNS, pack_mosaic, unpack_mosaic
from skadl.raw.pair import RawPair
from skadl.screening import Screening

CPU = torch.device("cpu")
WHITE = 1000
METADATA = np.array([0.5, -1.0], np.float32)


def numbered_pair(height=10, width=12, cfa="RGGB", black=0, ratio=1.0, white=WHITE):
    """A pair whose sites all differ; clean counts are the noisy ones plus 500."""
    counts = np.arange(height * width, dtype=np.uint16).reshape(height, width)
    facts = (cfa, black, white, "S", 100)
    return RawPair(RawImage(counts, *facts, ratio), RawImage(counts + 500, *facts))


def stored_pair(pair, metadata=METADATA, device=CPU):
    return to_training_pair(
        pair, metadata, NoiseLevel(1e-3, 1e-5), np.zeros(4), Screening(), device
    )


def cut_turned(pairs, side, rng):
    return cut_patches(pairs, side, symmetry_of(4), rng)


def rggb_mosaic(pair, role="noisy"):
    """The mosaic of a pair, mirrored by numpy until it reads RGGB."""
    image = getattr(pair, role)
    axes = {"RGGB": (), "GRBG": (1,), "GBRG": (0,), "BGGR": (0, 1)}[image.cfa]
    return np.flip(image.mosaic, axes)


def every_symmetric_crop(mosaic, side):
    """Crops with red in their corner of the eight mirrored, turned mosaics."""
    crops = {}
    for mirror_rows, mirror_columns, transpose in product((False, True), repeat=3):
        image = mosaic[::-1] if mirror_rows else mosaic
        image = image[:, ::-1] if mirror_columns else image
        top, left = int(mirror_rows), int(mirror_columns)
        image = image[top:, left:]  # the mirror put another colour into the corner
        image = image.T if transpose else image
        for row in range(0, image.shape[0] - 2 * side + 1, 2):
            for column in range(0, image.shape[1] - 2 * side + 1, 2):
                crop = image[row : row + 2 * side, column : column + 2 * side]
                key = pack_mosaic(crop, "RGGB").tobytes()
                crops[key] = (mirror_rows, mirror_columns, transpose)
    return crops


def counts_of(patch, white=WHITE):
    """A normalised patch of `numbered_pair` in counts again."""
    return np.rint(patch.numpy() * white).astype(np.uint16)


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
def test_cut_patches__any_cfa__are_symmetric_crops_and_all_eight_occur(cfa):
    pair = numbered_pair(cfa=cfa)
    stored = stored_pair(pair)
    crops = every_symmetric_crop(rggb_mosaic(pair), side=3)
    rng = np.random.RandomState(0)
    patches = [p for _ in range(60) for p in cut_turned([stored] * 3, 3, rng).noisy]
    seen = {crops[counts_of(patch).tobytes()] for patch in patches}
    assert len(seen) == 8


@given(st.integers(0, 2**31 - 1), st.sampled_from(CFA_PATTERNS), st.integers(1, 4))
def test_cut_patches__any_seed_and_side__are_symmetric_crops(seed, cfa, side):
    pair = numbered_pair(cfa=cfa)
    crops = every_symmetric_crop(rggb_mosaic(pair), side)
    stored = stored_pair(pair)
    batch = cut_turned([stored] * 4, side, np.random.RandomState(seed))
    assert all(counts_of(patch).tobytes() in crops for patch in batch.noisy)


@given(st.integers(0, 2**31 - 1))
def test_cut_patches__noisy_and_clean__show_the_same_place(seed):
    stored = stored_pair(numbered_pair(cfa="GBRG"))
    batch = cut_turned([stored] * 3, 2, np.random.RandomState(seed))
    np.testing.assert_allclose(batch.clean - batch.noisy, 0.5, atol=1e-5)


def test_cut_patches__many__reach_all_but_the_last_row_and_column():
    stored = stored_pair(numbered_pair(8, 8))
    rng = np.random.RandomState(0)
    patches = [cut_turned([stored] * 8, 2, rng).noisy for _ in range(40)]
    reached = set(counts_of(torch.cat(patches)).ravel().tolist())
    assert reached == set(np.arange(64).reshape(8, 8)[:7, :7].ravel().tolist())


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
def test_cut_patches__levels_and_ratio__normalise_as_the_image_does(cfa):
    pair = numbered_pair(6, 6, cfa, black=(1, 5, 9, 13), ratio=30.0, white=2000)
    expected = np.sort(pair.noisy.normalised()[:, 0:3, 0:3], axis=None)
    batch = cut_fixed([stored_pair(pair)], 3, np.random.RandomState(0))
    np.testing.assert_allclose(np.sort(batch.noisy, axis=None), expected, rtol=1e-5)
    np.testing.assert_allclose(
        np.sort(batch.clean, axis=None),
        np.sort(pair.clean.normalised(), axis=None),
        rtol=1e-5,
    )


@given(st.integers(0, 2**31 - 1), st.sampled_from(CFA_PATTERNS))
def test_cut_fixed__any_seed__are_plain_crops(seed, cfa):
    pair = numbered_pair(cfa=cfa)
    crops = every_symmetric_crop(rggb_mosaic(pair), side=3)
    stored = stored_pair(pair)
    batch = cut_fixed([stored] * 3, 3, np.random.RandomState(seed))
    for patch in batch.noisy:
        assert crops[counts_of(patch).tobytes()] == (False, False, False)


def test_cut_fixed__side_of_the_whole_frame__is_the_frame():
    pair = numbered_pair(8, 8, "BGGR")
    batch = cut_fixed([stored_pair(pair)], 4, np.random.RandomState(0))
    mosaic = unpack_mosaic(counts_of(batch.noisy[0]), "RGGB")
    np.testing.assert_array_equal(mosaic, rggb_mosaic(pair))


@pytest.mark.parametrize("cut", [cut_turned, cut_fixed])
def test_cut__batch__is_float32_channels_last_with_its_metadata(cut, device):
    pairs = [
        stored_pair(numbered_pair(), np.full(2, value, np.float32), device)
        for value in (1, 2, 3)
    ]
    batch = cut(pairs, 4, np.random.RandomState(0))
    for images in (batch.noisy, batch.clean):
        assert images.shape == (3, 4, 4, 4) and images.dtype == torch.float32
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert images.device.type == device.type
    assert batch.metadata[:, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("cut", [cut_turned, cut_fixed])
def test_cut__same_seed__same_batch(cut):
    pairs = [stored_pair(numbered_pair())] * 5
    first, second = (cut(pairs, 3, np.random.RandomState(7)) for _ in range(2))
    assert torch.equal(first.noisy, second.noisy)


def test_select__members__in_the_order_asked_for():
    stored = stored_pair(numbered_pair())
    batch = cut_fixed([stored] * 5, 3, np.random.RandomState(0))
    chosen = select(batch, np.array([3, 0]))
    assert torch.equal(chosen.noisy, batch.noisy[[3, 0]])
    assert torch.equal(chosen.clean, batch.clean[[3, 0]])
    assert chosen.metadata.shape == (2, 2)
    assert chosen.noisy.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("cut", [cut_turned, cut_fixed])
@pytest.mark.parametrize("memory_gib", [1e-9, 1])
def test_cut__pairs_of_a_store_among_others__same_batch(
    cut, memory_gib, device, tmp_path
):
    pairs = [numbered_pair(cfa=cfa, ratio=3.0) for cfa in CFA_PATTERNS]
    store = PatchStore(tmp_path, memory_gib=memory_gib)
    held = [stored_pair(pair, device=device) for pair in pairs]
    mixed = [stored_pair(store.pair(pair), device=device) for pair in pairs]
    mixed[1] = held[1]
    first, second = (cut(own, 4, np.random.RandomState(7)) for own in (held, mixed))
    assert torch.equal(first.noisy, second.noisy)
    assert torch.equal(first.clean, second.clean)
    assert second.noisy.device.type == device.type
