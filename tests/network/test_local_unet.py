"""The U-Net behind local level and detail: its transform, and its promises."""

from __future__ import annotations

import copy
import io
import json
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_fits import target_pairs, tiny_denoiser
from torch.nn import functional as F

import skadl
from skadl.estimators.model_files.reader import unpack
from skadl.network import local_cpu
from skadl.network.base import TensorOperations
from skadl.network.choice import NETWORKS, build_network, declare_network, name_of
from skadl.network.conditioning import Conditioning
from skadl.network.local_transform import DETAIL_SCALE, REACH, look
from skadl.network.local_unet import LocalUNet
from skadl.noise.noise_level import NoiseLevel
from skadl.support.digest import UNSEALED, seal

EXTREMES = [(1e-8, 1e-12), (1.0, 2.0), (1e-8, 2.0), (1.0, 1e-12)]


def untrained(n_metadata=3, seed=0):
    cpu = torch.device("cpu")
    return build_network(n_metadata, 4, 3, 8, cpu, seed, "local_unet")


def trained(seed=0, n_metadata=3):
    """A network far from the identity."""
    network = untrained(n_metadata, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return network


def vector(shot, read):
    return Conditioning("noise", ()).vector("", 100, 1.0, NoiseLevel(shot, read))


def planes(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# The transform


@given(level=st.floats(0, 1), shot=st.floats(1e-5, 0.1), read=st.floats(1e-8, 1e-2))
def test_look__uniform_plane__has_no_detail_and_the_brightness_of_anscombe(
    level, shot, read
):
    x = torch.full((1, 4, 8, 12), level, dtype=torch.float64)
    detail, brightness = look(TensorOperations, x, shot, read).features.chunk(2, dim=1)
    floor = 3 / 8 * shot**2 + read
    anscombe = 2 / shot * ((shot * level + floor) ** 0.5 - floor**0.5)
    torch.testing.assert_close(detail, torch.zeros_like(x), atol=1e-9, rtol=0)
    expected = 8 * np.arcsinh(0.15 / 8 * anscombe)
    np.testing.assert_allclose(brightness, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("level", [0.0, 0.01, 0.5])
def test_look__noise_of_any_level__has_unit_detail(level):
    shot, read = 2e-3, 1e-4
    sigma = (shot * level + read) ** 0.5
    x = level + sigma * planes(1, 4, 200, 200)
    detail = look(TensorOperations, x, shot, read).detail
    # A pixel is one of the 25 whose mean is taken off it.
    assert detail.std().item() == pytest.approx((24 / 25) ** 0.5, rel=0.03)


@given(st.floats(0.01, 100), st.integers(0, 100))
def test_look__counts_in_other_units__shows_the_same(unit, seed):
    x, shot, read = planes(1, 4, 9, 7, seed=seed), 0.02, 1e-3
    shown = look(TensorOperations, x, shot, read).features
    other = look(TensorOperations, unit * x, unit * shot, unit**2 * read).features
    torch.testing.assert_close(other, shown, atol=1e-4, rtol=1e-4)


def test_look__far_below_black__is_a_straight_line_before_the_asinh():
    x = -torch.ones(1, 4, 8, 8)
    brightness = look(TensorOperations, x, 0.01, 1e-4).features[:, 4:]
    floor = 3 / 8 * 0.01**2 + 1e-4
    expected = 8 * np.arcsinh(-0.15 / 8 / floor**0.5)
    np.testing.assert_allclose(brightness, expected, rtol=1e-5)


# The same on a CPU


def local_mean(pixels, start, stop):
    out = torch.empty(stop - start, *pixels.shape[1:])
    return local_cpu.local_mean(pixels, slice(start, stop), out)


@given(
    sides=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    cut=st.tuples(st.integers(0, 11), st.integers(1, 12)),
)
def test_local_mean__any_rows__equals_the_pooling_of_torch(sides, cut):
    pixels = planes(*sides, 4)
    start = min(cut[0], sides[0] - 1)
    stop = min(start + cut[1], sides[0])
    pooled = F.avg_pool2d(
        pixels.permute(2, 0, 1), 5, 1, REACH, count_include_pad=False
    ).permute(1, 2, 0)
    mean = local_mean(pixels, start, stop)
    torch.testing.assert_close(mean, pooled[start:stop], atol=1e-6, rtol=1e-6)


def test_local_mean__bright_beside_dark__keeps_the_digits_of_the_dark():
    pixels = torch.full((40, 40, 4), 1e-6)
    pixels[:20] = 1e4
    dark = local_mean(pixels, 20 + REACH, 40)
    torch.testing.assert_close(dark, pixels[20 + REACH :])


@given(st.floats(-1e6, 1e6, width=32))
def test_asinh__any_value__is_that_of_numpy(value):
    result = local_cpu.asinh(torch.tensor([value])).item()
    assert result == pytest.approx(np.arcsinh(value), rel=1e-6, abs=5e-7)


def test_strips__rows_and_columns_that_are_no_multiple_of_a_band__use_memory_again(
    monkeypatch,
):
    monkeypatch.setattr(local_cpu, "BAND_BYTES", 3 * 24 * 16)  # three rows
    folded = trained().fold(vector(1e-3, 1e-5))
    strips = folded.on_cpu(None)
    first = strips.removed(0.1 * planes(1, 4, 32, 24))
    again = strips.removed(0.1 * planes(1, 4, 32, 24, seed=1))
    assert first.data_ptr() == again.data_ptr()
    x = 0.1 * planes(1, 4, 32, 24, seed=1)
    torch.testing.assert_close(again, x - folded(x), atol=1e-6, rtol=1e-4)


# The network


@pytest.mark.parametrize("n_metadata", [1, 2])
def test_network__metadata_too_short_for_noise__is_refused(n_metadata):
    with pytest.raises(ValueError, match=f"n_metadata is {n_metadata}, .* 3 or more"):
        LocalUNet(n_metadata, 4, 2, 8)


def test_network__its_description__builds_it_again():
    network = trained(n_metadata=5)
    assert name_of(network) == "local_unet"
    declared = declare_network(network.describe(), "local_unet")
    assert type(declared) is LocalUNet and set(network.describe()) == set(
        declared.SIZES
    )
    shapes = {name: p.shape for name, p in network.state_dict().items()}
    assert {name: p.shape for name, p in declared.state_dict().items()} == shapes


def test_network__untrained__returns_its_input():
    x = planes(2, 4, 8, 8)
    metadata = torch.from_numpy(np.stack([vector(*EXTREMES[0]), vector(0.01, 1e-3)]))
    assert torch.equal(untrained()(x, metadata), x)


def test_network__sensor_and_iso_before_the_noise__reads_the_same_noise():
    network = trained(n_metadata=7)
    codes = Conditioning("sensor_iso_noise", ("A", "B"))
    folded = network.fold(codes.vector("B", 800, 4.0, NoiseLevel(0.02, 3e-4)))
    assert (folded.shot, folded.read) == pytest.approx((0.02, 3e-4), rel=1e-5)


@pytest.mark.parametrize("head", ["share", "rest"])
def test_network__head_that_removes_all_or_a_constant__is_the_formula(head):
    network = untrained()
    half = slice(0, 4) if head == "share" else slice(4, 8)
    with torch.no_grad():
        network.head.bias[half] = 1.0 if head == "share" else 2.0
        x, noise = 0.2 + 0.1 * planes(1, 4, 8, 8), (0.01, 1e-4)
        y = network(x, torch.from_numpy(vector(*noise))[None])
    level = F.avg_pool2d(x, 5, 1, 2, count_include_pad=False)
    sigma = (noise[0] * level.clamp(min=0) + noise[1] + 0.375 * noise[0] ** 2).sqrt()
    expected = level if head == "share" else x - 2 * sigma
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("noise", EXTREMES)
@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0])
def test_network__extreme_noise__result_and_gradients_are_finite(noise, scale):
    network = trained()
    x = (scale * planes(1, 4, 16, 16)).requires_grad_()
    y = network(x, torch.from_numpy(vector(*noise))[None])
    y.abs().mean().backward()
    assert y.isfinite().all() and x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in network.parameters())
    for dtype in (None, torch.bfloat16):
        strips = network.fold(vector(*noise)).on_cpu(dtype)
        assert strips.removed(x.detach()).isfinite().all()


def test_network__autocast__transforms_in_float32():
    seen = []
    network = trained()
    network.encoder[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    # Detail far below a step of bfloat16 at this level, 2^-8
    x = 0.9 + 1e-4 * planes(1, 4, 16, 16)
    metadata = torch.from_numpy(vector(1e-8, 1e-8))[None]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = network(x, metadata)
    assert seen[0].dtype == y.dtype == torch.float32
    sigma = (1e-8 * 0.9 + 1e-8) ** 0.5
    expected = DETAIL_SCALE * 1e-4 / sigma * (24 / 25) ** 0.5
    assert seen[0][:, :4].std().item() == pytest.approx(expected, rel=0.1)


# Model files


@pytest.fixture
def denoiser():
    return tiny_denoiser(network="local_unet").fit(target_pairs())


def predicted(model):
    return model.predict(target_pairs()[0].noisy).mosaic


def test_model_file__of_a_fit__gives_it_back(denoiser, tmp_path):
    assert type(denoiser.module_) is LocalUNet
    path = tmp_path / "model.safetensors"
    denoiser.save(path)
    for again in (skadl.load(path), pickle.loads(pickle.dumps(denoiser))):
        assert type(again.module_) is LocalUNet
        np.testing.assert_array_equal(predicted(again), predicted(denoiser))


def test_model_file__conditioning_without_noise__is_refused(denoiser, tmp_path):
    path = tmp_path / "model.safetensors"
    denoiser.save(path)
    data = path.read_bytes()
    stop = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:stop])
    description = json.loads(header["__metadata__"]["skadl"])
    description["conditioning"] = {"kind": "sensor_iso", "sensors": ["A", "B"]}
    description["network"]["n_metadata"] = 4
    description["digest"] = UNSEALED
    header["__metadata__"]["skadl"] = json.dumps(description)
    head = json.dumps(header).encode()
    data = seal(len(head).to_bytes(8, "little") + head + data[stop:])
    with pytest.raises(ValueError, match="reads the noise .* 'sensor_iso' does not"):
        unpack(io.BytesIO(data), len(data))


def test_folded_network__copied__computes_the_same():
    folded, x = trained().fold(vector(1e-3, 1e-5)), 0.1 * planes(1, 4, 8, 8)
    for again in (copy.deepcopy(folded), pickle.loads(pickle.dumps(folded))):
        assert torch.equal(again(x), folded(x))


def test_networks__the_default_is_not_this_one():
    assert next(iter(NETWORKS)) == "unet"
