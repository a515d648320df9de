"""Folding: the network of one image equals the modulated network at that image."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skadl.network.dense_unet import ModulatedDenseUNet
from skadl.network.direct_unet import DirectUNet
from skadl.network.folded import exact_halo
from skadl.network.local_transform import REACH
from skadl.network.local_unet import LocalUNet
from skadl.network.pyramid_unet import PyramidUNet
from skadl.network.unet import ModulatedUNet

KINDS = (ModulatedUNet, LocalUNet, PyramidUNet, ModulatedDenseUNet, DirectUNet)


def random_network(n_levels, base_channels=4, seed=0, kind=ModulatedUNet):
    """Return a network whose modulation and head are far from the identity."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = kind(3, base_channels, n_levels, mlp_width=8)
        for part in (network.modulation, network.head):
            for parameter in part.parameters():
                torch.nn.init.normal_(parameter, std=0.2)
    return network.eval()


def planes(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None)
@given(
    n_levels=st.integers(1, 4),
    n_images=st.integers(1, 3),
    rows=st.integers(1, 3),
    columns=st.integers(1, 3),
    seed=st.integers(0, 100),
)
def test_folded_network_equals_modulated_network(
    kind, n_levels, n_images, rows, columns, seed
):
    network = random_network(n_levels, seed=seed, kind=kind)
    metadata = 0.5 * planes(3, seed=seed)
    folded = network.fold(metadata)
    x = planes(n_images, 4, rows * folded.multiple, columns * folded.multiple)
    with torch.no_grad():
        wanted = network(x, metadata.expand(n_images, 3))
    atol = 1e-5 * max(wanted.abs().max().item(), 1)
    torch.testing.assert_close(folded(x), wanted, atol=atol, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_folding_leaves_network_and_input_alone(kind):
    network, x = random_network(3, kind=kind), planes(1, 4, 16, 16)
    before = {name: p.clone() for name, p in network.state_dict().items()}
    x_before = x.clone()
    network.fold(np.ones(3, np.float32))(x)
    assert torch.equal(x, x_before)
    assert all(torch.equal(before[name], p) for name, p in network.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
def test_folding_draws_no_random_numbers(kind):
    network, state = random_network(2, kind=kind), torch.get_rng_state()
    network.fold(np.ones(3))
    assert torch.equal(torch.get_rng_state(), state)


def test_folded_network_needs_no_gradients_and_is_channels_last():
    folded = random_network(3).fold(np.ones(3))
    assert not any(p.requires_grad for p in folded.parameters())
    weight = folded.encoder[2].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kind", KINDS)
def test_folded_network_is_traceable(kind):
    folded, x = random_network(3, kind=kind).fold(np.ones(3)), planes(1, 4, 16, 16)
    exported = torch.export.export(folded, (x,)).module()
    torch.testing.assert_close(exported(x), folded(x))


@pytest.mark.parametrize("kind", KINDS)
def test_result_keeps_the_dtype_of_its_input_under_autocast(kind):
    folded, x = random_network(2, kind=kind).fold(np.ones(3)), planes(1, 4, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = folded(x)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, folded(x), atol=0.1, rtol=0.1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_levels", [1, 2, 3, 4])
def test_nothing_beyond_the_halo_matters_and_the_next_smaller_would_be_too_small(
    n_levels, kind
):
    n_channels = 2 if kind is PyramidUNet else 4  # its halo is the widest by far
    folded = random_network(n_levels, n_channels, kind=kind)
    folded = folded.fold(np.ones(3)).double()
    halo, multiple = folded.halo, folded.multiple
    core = slice(halo, halo + 2 * multiple)
    side = 2 * halo + 2 * multiple
    x = planes(1, 4, side + 2 * multiple, side + 2 * multiple).double().abs()
    whole = folded(x)[..., multiple:-multiple, multiple:-multiple][..., core, core]
    tile = folded(x[..., multiple:-multiple, multiple:-multiple])[..., core, core]
    torch.testing.assert_close(tile, whole, atol=1e-12, rtol=1e-12)
    if kind is PyramidUNet and n_levels > 2:
        return  # so far away on the coarsest scale that rounding hides it
    if kind is ModulatedDenseUNet and n_levels == 4:
        return  # through 28 kernels' corners in a row nothing arrives, even in float64
    less = folded(x[..., 2 * multiple : -2 * multiple, 2 * multiple : -2 * multiple])
    core = slice(halo - multiple, halo + multiple)
    assert not torch.allclose(less[..., core, core], whole, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "reaches"),
    [
        (ModulatedUNet, {}),
        (LocalUNet, {"reach": REACH}),
        (ModulatedDenseUNet, {"block_reach": 4}),
        (DirectUNet, {}),
    ],
)
@pytest.mark.parametrize("n_levels", [1, 2, 3])
@pytest.mark.parametrize("axis", [2, 3])
def test_halo__each_line_changed_in_turn__is_how_far_a_change_reaches(
    kind, reaches, n_levels, axis
):
    folded = random_network(n_levels, kind=kind).fold(np.ones(3)).double()
    multiple, core = folded.multiple, 40
    x = planes(1, 4, 80 + multiple, 80 + multiple).double()

    def cut(y):
        return y.narrow(axis, core, multiple)

    reference, distances = cut(folded(x)), []
    for line in range(x.shape[axis]):
        changed = x.clone()
        changed.narrow(axis, line, 1).add_(5)
        if not torch.equal(cut(folded(changed)), reference):
            distances += [core - line, line - (core + multiple - 1)]
    assert exact_halo(n_levels, **reaches) == folded.halo
    assert folded.halo - multiple < max(distances) <= folded.halo
