"""A correction as a whole, with denoisers that know the scene in place of a network."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_frames import chequered, smooth

from skadl.evaluation.metrics import psnr
from skadl.noise.noise_level import NoiseLevel
from skadl.prediction.clipping import ClipLevels
from skadl.prediction.correction import TOLERANCE, correct
from skadl.prediction.noise_check import (
    LEAST_OF_FLAT,
    LEAST_PATCHES,
    PATCH,
    noise_factor,
)
from skadl.prediction.normalised_mosaic import NormalisedMosaic
from skadl.prediction.tiling import choose_tiling
from skadl.raw.image import RawImage
from skadl.raw.mosaic import pack_mosaic, unpack_mosaic

SPAN = 16000.0
NOISE = NoiseLevel(shot=4e-4, read=1e-5)
SIDE = 128
texture = partial(chequered, SIDE)


class StandIn:
    """What a network removes, as a function of planes (4, h, w) in one tile."""

    bytes_per_pixel, multiple, halo, device = 1.0, 4, 24, torch.device("cpu")
    coarser = None

    def __init__(self, removed):
        self._removed = removed

    def tile(self, shape, memory):
        return choose_tiling(shape[1:], self.halo, self.multiple, memory)

    def tiles(self, n_tiles, shape):
        return np.empty((n_tiles, *shape, 4), np.float32)

    def removed(self, tiles, core=None):
        planes = np.moveaxis(tiles[0], -1, 0)
        removed = np.asarray(self._removed(planes), np.float32)
        return np.ascontiguousarray(np.moveaxis(removed, 0, -1))[None]


def photograph(clean, noise, seed):
    rng = np.random.default_rng(seed)
    sigma = np.sqrt(noise.shot * np.maximum(clean, 0) + noise.read)
    return clean + sigma * rng.standard_normal(clean.shape)


def denoise(network_for, planes, told, safeguard=True):
    mosaic = unpack_mosaic(planes * SPAN, "RGGB").astype(np.float32)
    image = RawImage(mosaic, "RGGB", 0, SPAN, "A", 100)
    zeros = np.zeros(4)
    correction = correct(
        network_for,
        NormalisedMosaic(mosaic, "RGGB", zeros, 1 / SPAN, zeros),
        told,
        clip_levels=ClipLevels.of(image),
        safeguard=safeguard,
        self_ensemble=1,
        memory=1e9,
    )
    rows = slice(0, planes.shape[1])
    return pack_mosaic(correction.denoised(rows), "RGGB")


def scaled(noise, factor):
    return NoiseLevel(factor * noise.shot, factor * noise.read)


def half_in_shadow(dark=0.001, bright=0.5):
    columns = np.where(np.arange(SIDE) < SIDE // 2, dark, bright)
    balance = np.array([0.45, 1.0, 1.0, 0.62])[:, None, None]
    return balance * np.broadcast_to(columns, (4, SIDE, SIDE))


@pytest.mark.parametrize("safeguard", [False, True])
@given(seed=st.integers(0, 2**16), size=st.floats(0, 2))
def test_a_bias_of_each_level_and_plane_is_taken_out(safeguard, seed, size):
    rng = np.random.default_rng(seed)
    clean = half_in_shadow()
    sigma = np.sqrt(NOISE.shot * clean + NOISE.read)
    bias = np.repeat(rng.uniform(-size, size, (4, 1, 2)), SIDE // 2, axis=2) * sigma
    noisy = photograph(clean, NOISE, seed)
    network = StandIn(lambda planes: planes - clean + bias)
    denoised = denoise(lambda noise: network, noisy, NOISE, safeguard)
    for columns in (np.s_[: SIDE // 2 - 8], np.s_[SIDE // 2 + 8 :]):
        change = (denoised - noisy)[:, :, columns]
        error = sigma[:, 0, columns][:, 0] / change[0].size ** 0.5
        assert (np.abs(change.mean(axis=(1, 2))) < 2 * error).all()


# Noise told wrong


@given(factor=st.floats(0.3, 3.5), seed=st.integers(0, 2**16))
def test_smooth_patches_tell_the_noise(factor, seed):
    """Half of the picture is texture, which the denoiser keeps."""
    clean = np.where(np.arange(SIDE) < SIDE // 2, 0.3, texture(0.3))
    noisy = photograph(clean, scaled(NOISE, factor), seed)
    part = noisy, noisy - clean, np.zeros(noisy.shape, bool)
    assert noise_factor([part], NOISE) == pytest.approx(factor, rel=0.12)


def test_texture_or_few_patches_tell_nothing():
    clean = texture(0.3)
    noisy = photograph(clean, NOISE, 0)
    nothing = np.zeros(noisy.shape, bool)
    assert noise_factor([(noisy, noisy - clean, nothing)], NOISE) is None
    # Taken for noise, the texture is what all planes have in common.
    assert noise_factor([(noisy, noisy - 0.3, nothing)], NOISE) is None
    mostly = np.where(np.arange(SIDE) < PATCH, 0.3, clean)
    noisy = photograph(mostly, NOISE, 0)  # SIDE // PATCH patches are smooth
    assert noise_factor([(noisy, noisy - mostly, nothing)], NOISE) is None


@given(n_patches=st.integers(LEAST_OF_FLAT, LEAST_PATCHES), seed=st.integers(0, 2**16))
def test_few_patches_of_a_flat_image_tell_the_noise(n_patches, seed):
    flat = np.full((4, PATCH * n_patches, PATCH), 0.3)
    noisy = photograph(flat, NOISE, seed)
    factor = noise_factor([(noisy, noisy - flat, np.zeros(flat.shape, bool))], NOISE)
    # In one of some hundred images planes agree by chance more than noise does.
    assert factor is None or factor == pytest.approx(1, rel=0.4)
    slope = flat + np.linspace(0, 0.1, flat.shape[1])[:, None]
    noisy = photograph(slope, NOISE, seed)
    part = noisy, noisy - slope, np.zeros(flat.shape, bool)
    assert (noise_factor([part], NOISE) is None) == (n_patches < LEAST_PATCHES)


def test_clipped_patches_are_not_asked():
    """At black half of the noise is cut off: what is left is no measure of it."""
    clean = np.where(np.arange(SIDE) < SIDE // 2, 0.3, 0.0)
    clean = np.broadcast_to(clean, (4, SIDE, SIDE))
    noisy = np.maximum(photograph(clean, NOISE, 0), 0)
    part = noisy, noisy - clean, noisy == 0
    assert noise_factor([part], NOISE) == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("told", [0.3, 0.5, 1.0, 2.0, 3.5])
def test_a_network_is_told_the_noise_that_the_image_shows(told):
    clean = half_in_shadow()
    noisy = photograph(clean, NOISE, 0)
    heard = []

    def network_for(noise):
        heard.append(noise.read / NOISE.read)
        return StandIn(lambda planes: planes - clean)

    denoised = denoise(network_for, noisy, scaled(NOISE, told))
    assert heard[0] == pytest.approx(told)
    assert heard[-1] == pytest.approx(1, rel=0.15)
    assert len(heard) == (1 if 1 / TOLERANCE < told < TOLERANCE else 2)
    assert psnr(denoised, clean) > psnr(noisy, clean) + 15


def test_without_safeguard_what_is_told_is_believed():
    clean, heard = half_in_shadow(), []

    def network_for(noise):
        heard.append(noise)
        return StandIn(lambda planes: planes - clean)

    denoise(network_for, photograph(clean, NOISE, 0), scaled(NOISE, 3), False)
    assert heard == [scaled(NOISE, 3)]


@given(
    amplitude=st.floats(0, 0.3),
    told=st.sampled_from([0.5, 1.0, 2.0]),
    seed=st.integers(0, 2**16),
)
def test_noise_told_wrong_by_two_does_no_harm(amplitude, told, seed):
    clean = texture(amplitude)
    noisy = photograph(clean, NOISE, seed)
    denoised = denoise(lambda noise: StandIn(smooth), noisy, scaled(NOISE, told))
    assert psnr(denoised, clean) > psnr(noisy, clean) - 0.05


def test_a_star_stays_whatever_noise_is_told():
    clean = np.full((4, SIDE, SIDE), 0.01)
    clean[:, 40:42, 60:62] = 0.8
    noisy = photograph(clean, NOISE, 0)
    for told in (0.5, 1.0, 2.0):
        network = StandIn(lambda planes: planes - 0.01)  # takes stars for noise
        denoised = denoise(lambda noise, n=network: n, noisy, scaled(NOISE, told))
        assert denoised[:, 40:42, 60:62].min() > 0.6
