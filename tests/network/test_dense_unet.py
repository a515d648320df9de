"""The Dense-UNet of the appendix: its layers one by one, its size, its promises."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from tiny_fits import TINY, source_pool, target_pairs, tiny_denoiser
from torch.nn import functional as F

import skadl
from skadl import PAPER_PARAMS, ADLDenoiser
from skadl.network.choice import build_network, declare_network, name_of
from skadl.network.dense_unet import ModulatedDenseUNet


def untrained(base_channels=4, n_levels=3, seed=0):
    cpu = torch.device("cpu")
    return build_network(3, base_channels, n_levels, 8, cpu, seed, "dense_unet")


def trained(seed=0, **shape):
    """A network far from the identity."""
    network = untrained(**shape)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return network


def planes(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def layer(maps, conv, code, side):
    """Eq. 6 and the leaky ReLU, each written out."""
    gamma, beta = code
    y = F.conv2d(torch.cat(maps, dim=1), conv.weight, conv.bias, padding=side // 2)
    y = gamma * y + beta
    return torch.where(y > 0, y, 0.2 * y)


def block(x, convs, codes):
    """A dense block as the appendix has it: each layer sees all maps before it."""
    maps = [x]
    for conv in convs[:-1]:
        assert conv.kernel_size == (3, 3)
        maps.append(layer(maps, conv, next(codes), 3))
    assert convs[-1].kernel_size == (1, 1)
    return layer(maps, convs[-1], next(codes), 1)


def test_network__two_levels__equal_every_layer_written_out():
    network, x, metadata = trained(n_levels=2), planes(2, 4, 6, 8), planes(2, 3)
    codes = iter(network.modulation(metadata))
    first = block(x, network.encoder[0].convs, codes)
    deep = F.max_pool2d(first, 2)
    deep = block(deep, network.encoder[1].convs, codes)
    wide = torch.cat([network.ups[0](deep), first], dim=1)
    noise = network.head(block(wide, network.decoder[0].convs, codes))
    torch.testing.assert_close(network(x, metadata), x - noise)


def test_network__full_scale__is_what_the_appendix_states():
    description = dict(n_metadata=6, base_channels=64, n_levels=5, mlp_width=32)
    network = declare_network(description, "dense_unet")
    blocks = [*network.encoder, *network.decoder]
    widths = [block.convs[-1].out_channels for block in blocks]
    assert widths == [64, 128, 256, 512, 1024, 512, 256, 128, 64]
    assert network.multiple == 2**4  # four downsamplings
    assert all(len(block.convs) == 5 for block in blocks)
    rest = sum(p.numel() for p in network.modulation.parameters())
    assert sum(p.numel() for p in network.parameters()) - rest == 24_355_268


@pytest.mark.parametrize("base_channels", [1, 2, 3, 6])
def test_network__channels_that_four_does_not_divide__still_work(base_channels):
    network = trained(base_channels=base_channels, n_levels=2)
    x = planes(1, 4, 4, 4)
    assert network(x, planes(1, 3)).shape == x.shape


def test_network__untrained__returns_its_input():
    x = planes(2, 4, 8, 8)
    assert torch.equal(untrained()(x, planes(2, 3)), x)


def test_network__all_parameters__receive_gradients_once_trained():
    network = trained()
    network(planes(2, 4, 8, 8), planes(2, 3)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_network__its_description__builds_it_again():
    network = trained()
    assert name_of(network) == "dense_unet"
    declared = declare_network(network.describe(), "dense_unet")
    assert set(network.describe()) == set(ModulatedDenseUNet.SIZES)
    shapes = {name: p.shape for name, p in network.state_dict().items()}
    assert {name: p.shape for name, p in declared.state_dict().items()} == shapes


def test_fit__model_file_and_pickle__give_it_back(tmp_path):
    denoiser = tiny_denoiser(network="dense_unet").fit(target_pairs(), source_pool())
    assert type(denoiser.module_) is ModulatedDenseUNet
    path, image = tmp_path / "model.safetensors", target_pairs()[0].noisy
    denoiser.save(path)
    for again in (skadl.load(path), pickle.loads(pickle.dumps(denoiser))):
        assert type(again.module_) is ModulatedDenseUNet
        np.testing.assert_array_equal(
            again.predict(image).mosaic, denoiser.predict(image).mosaic
        )
    further = tiny_denoiser(start=path, base_channels=None, n_levels=None)
    assert type(further.fit(target_pairs()).module_) is ModulatedDenseUNet


def test_paper_params__scaled_down__fit_the_dense_network():
    smaller = {k: TINY[k] for k in TINY if k not in ("start", "learning_rate")}
    denoiser = ADLDenoiser(**{**PAPER_PARAMS, **smaller})
    denoiser.fit(target_pairs(), source_pool())
    assert type(denoiser.module_) is ModulatedDenseUNet
    assert denoiser.selection_report_.n_offered == TINY["n_iter"]
