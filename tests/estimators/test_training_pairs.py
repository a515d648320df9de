"""What a raw pair becomes for the loop: its counts, its symmetries, its weight."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from skadl.adaptation.patches import Batch
from skadl.data.store.patch_store import PatchStore
from skadl.estimators.training_pairs import (
    ShotNoiseAugmentation,
    noise_weight,
    symmetry_of,
    to_training_pair,
)
from skadl.noise.noise_level import NoiseLevel
from skadl.raw.image import RawImage
from skadl.raw.mosaic import pack_mosaic
from skadl.raw.pair import RawPair
from skadl.screening import Screening

CPU = torch.device("cpu")
WHITE = 1000
FACTS = (np.zeros(2, np.float32), NoiseLevel(1e-3, 1e-5), np.zeros(4), Screening(), CPU)


def stored_pair(pair):
    return to_training_pair(pair, *FACTS)


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int8, np.uint16, np.int16, np.int64, np.float16, np.float64]
)
def test_to_training_pair__any_dtype__keeps_the_counts(dtype):
    counts = np.arange(100).reshape(10, 10).astype(dtype)
    image = RawImage(counts, "RGGB", 0, WHITE, "S", 100)
    stored = stored_pair(RawPair(image, image))
    np.testing.assert_array_equal(
        stored.noisy.numpy().transpose(2, 0, 1), pack_mosaic(counts, "RGGB")
    )


def test_to_training_pair__uint16__is_kept_compact():
    image = RawImage(np.zeros((10, 12), np.uint16), "RGGB", 0, WHITE, "S", 100)
    stored = stored_pair(RawPair(image, image))
    assert stored.noisy.dtype == torch.uint16 and stored.sides == (5, 6)


def test_to_training_pair__read_only_memory_map__is_copied(tmp_path):
    path = tmp_path / "frame.npy"
    np.save(path, np.ones((6, 6), np.uint16))
    image = RawImage(np.load(path, mmap_mode="r"), "RGGB", 0, WHITE, "S", 100)
    stored = stored_pair(RawPair(image, image))
    assert int(stored.noisy.to(torch.int32).sum()) == 36


def test_to_training_pair__scratch__takes_what_is_in_no_store(tmp_path):
    store = PatchStore(tmp_path)
    counts = np.arange(120, dtype=np.uint16).reshape(10, 12)
    image = RawImage(counts, "BGGR", 0, WHITE, "S", 100)
    pair = RawPair(image, image)
    stored = to_training_pair(pair, *FACTS, scratch=store.scratch())
    held = to_training_pair(pair, *FACTS)
    assert stored.sides == held.sides
    assert torch.equal(stored.clean[0:5, 0:6], held.clean)
    assert [path.suffix for path in tmp_path.iterdir()] == [".scratch"]


# Symmetries


@pytest.mark.parametrize("mirror_rows", [False, True])
@pytest.mark.parametrize("mirror_columns", [False, True])
@pytest.mark.parametrize("transpose", [False, True])
def test_symmetry_of__each_of_eight__is_that_of_the_mosaic(
    mirror_rows, mirror_columns, transpose
):
    mosaics = np.random.default_rng(0).integers(0, 9999, (3, 10, 10))
    packed = np.stack([pack_mosaic(mosaic, "RGGB") for mosaic in mosaics])
    windows = torch.from_numpy(packed).permute(0, 2, 3, 1)
    turned = symmetry_of(4)(windows, mirror_rows, mirror_columns, transpose)
    for mosaic, result in zip(mosaics, turned, strict=True):
        # A mirror puts another colour into the corner; one site further it is red.
        image = mosaic[::-1][1:9] if mirror_rows else mosaic[:8]
        image = image[:, ::-1][:, 1:9] if mirror_columns else image[:, :8]
        image = image.T if transpose else image
        expected = pack_mosaic(image, "RGGB")
        np.testing.assert_array_equal(result.permute(2, 0, 1), expected)


# Weight in the loss


def make_batch(seed=0, size=3, side=8):
    generator = torch.Generator().manual_seed(seed)
    clean = torch.rand(size, 4, side, side, generator=generator)
    noise = torch.tensor([[1e-3, 1e-4], [1e-3, 1e-2], [0.0, 1e-6]])[:size]
    return Batch(clean, clean, torch.zeros(size, 1), noise)


def test_noise_weight__twice_the_noise__counts_half():
    batch = make_batch()
    batch = replace(
        batch, weight_inputs=100 * batch.weight_inputs
    )  # far above the smallest noise
    loud = replace(batch, weight_inputs=4 * batch.weight_inputs)  # variances
    ratio = noise_weight(batch) / noise_weight(loud)
    torch.testing.assert_close(ratio[:2], torch.full((2,), 2.0), rtol=0.01, atol=0)


def test_noise_weight__no_noise_at_all__is_finite():
    batch = make_batch()
    dark = replace(batch, weight_inputs=0 * batch.weight_inputs, clean=-batch.clean)
    assert torch.isfinite(noise_weight(dark)).all()


# Shot-noise augmentation


SHOT, READ = 0.01, 0.0004


def flat_batch(level, n_images=2, side=128, seed=0):
    rng = np.random.default_rng(seed)
    clean = np.full((n_images, 4, side, side), level)
    noisy = rng.poisson(clean / SHOT) * SHOT + rng.normal(0, READ**0.5, clean.shape)
    arrays = (
        noisy,
        clean,
        np.zeros((n_images, 1)),
        np.full((n_images, 2), [SHOT, READ]),
    )
    return Batch(*(torch.tensor(array, dtype=torch.float32) for array in arrays))


@pytest.mark.parametrize("gain", [0.5, 0.8, 1.0, 1.3, 2.0])
@pytest.mark.parametrize("level", [0.02, 0.3])
def test_shot_noise_augmentation__noise__is_that_of_the_new_signal(gain, level):
    batch = flat_batch(level)
    gains = torch.full((2, 4), gain)
    exposed = ShotNoiseAugmentation(1.0).expose(batch, gains, torch.Generator())
    np.testing.assert_allclose(exposed.clean, gain * level, rtol=1e-5)
    noise = (exposed.noisy - exposed.clean).double()
    expected = SHOT * gain * level + READ
    assert noise.var().item() == pytest.approx(expected, rel=0.03)
    assert abs(noise.mean().item()) < 4 * (expected / noise.numel()) ** 0.5


def test_shot_noise_augmentation__white__is_not_passed():
    exposed = ShotNoiseAugmentation(1.0).expose(
        flat_batch(0.9), torch.full((2, 4), 3.0), torch.Generator()
    )
    np.testing.assert_allclose(exposed.clean, 1.0, rtol=1e-5)


def test_shot_noise_augmentation__share__is_how_many_change():
    batch = flat_batch(0.2, n_images=400, side=2)
    changed = ShotNoiseAugmentation(0.25)(batch, np.random.RandomState(0))
    is_changed = (changed.noisy != batch.noisy).any(dim=(1, 2, 3))
    assert 70 <= is_changed.sum() <= 130
    np.testing.assert_array_equal(
        is_changed, (changed.clean != batch.clean).any((1, 2, 3))
    )
    assert torch.equal(changed.clean[:, 1], changed.clean[:, 2])  # the greens
    again = ShotNoiseAugmentation(0.25)(batch, np.random.RandomState(0))
    assert torch.equal(again.noisy, changed.noisy)


def test_shot_noise_augmentation__none__is_the_same_batch():
    batch = flat_batch(0.2, side=2)
    assert ShotNoiseAugmentation(0.0)(batch, np.random.RandomState(0)) is batch
