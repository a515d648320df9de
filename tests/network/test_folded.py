"""Folding: the network of one image equals the modulated network at that image."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skadl.network.folded import exact_halo
from skadl.network.unet import ModulatedUNet


def random_network(n_levels, base_channels=4, seed=0):
    """Return a network whose modulation and head are far from the identity."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ModulatedUNet(3, base_channels, n_levels, mlp_width=8)
        for part in (network.modulation, network.head):
            for parameter in part.parameters():
                torch.nn.init.normal_(parameter, std=0.2)
    return network.eval()


def planes(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=20, deadline=None)
@given(
    n_levels=st.integers(1, 4),
    n_images=st.integers(1, 3),
    rows=st.integers(1, 3),
    columns=st.integers(1, 3),
    seed=st.integers(0, 100),
)
def test_folded_network_equals_modulated_network(
    n_levels, n_images, rows, columns, seed
):
    network = random_network(n_levels, seed=seed)
    metadata = planes(3, seed=seed)
    x = planes(n_images, 4, rows * network.multiple, columns * network.multiple)
    with torch.no_grad():
        wanted = network(x, metadata.expand(n_images, 3))
    torch.testing.assert_close(network.fold(metadata)(x), wanted, atol=1e-5, rtol=1e-5)


def test_folding_leaves_network_and_input_alone():
    network, x = random_network(3), planes(1, 4, 16, 16)
    before = {name: p.clone() for name, p in network.state_dict().items()}
    x_before = x.clone()
    network.fold(np.ones(3, np.float32))(x)
    assert torch.equal(x, x_before)
    assert all(torch.equal(before[name], p) for name, p in network.state_dict().items())


def test_folding_draws_no_random_numbers():
    network, state = random_network(2), torch.get_rng_state()
    network.fold(np.ones(3))
    assert torch.equal(torch.get_rng_state(), state)


def test_folded_network_needs_no_gradients_and_is_channels_last():
    folded = random_network(3).fold(np.ones(3))
    assert not any(p.requires_grad for p in folded.parameters())
    weight = folded.encoder[2].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_folded_network_is_traceable():
    folded, x = random_network(3).fold(np.ones(3)), planes(1, 4, 16, 16)
    exported = torch.export.export(folded, (x,)).module()
    torch.testing.assert_close(exported(x), folded(x))


def test_result_keeps_the_dtype_of_its_input_under_autocast():
    folded, x = random_network(2).fold(np.ones(3)), planes(1, 4, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = folded(x)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, folded(x), atol=0.1, rtol=0.1)


@pytest.mark.parametrize("n_levels", [1, 2, 3, 4])
def test_nothing_beyond_the_halo_matters_and_the_next_smaller_would_be_too_small(
    n_levels,
):
    folded = random_network(n_levels).fold(np.ones(3)).double()
    halo, multiple = exact_halo(n_levels), folded.multiple
    core = slice(halo, halo + 2 * multiple)
    side = 2 * halo + 2 * multiple
    x = planes(1, 4, side + 2 * multiple, side + 2 * multiple).double().abs()
    whole = folded(x)[..., multiple:-multiple, multiple:-multiple][..., core, core]
    tile = folded(x[..., multiple:-multiple, multiple:-multiple])[..., core, core]
    torch.testing.assert_close(tile, whole, atol=1e-12, rtol=1e-12)
    less = folded(x[..., 2 * multiple : -2 * multiple, 2 * multiple : -2 * multiple])
    core = slice(halo - multiple, halo + multiple)
    assert not torch.allclose(less[..., core, core], whole, atol=1e-12, rtol=1e-12)
