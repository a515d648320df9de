"""The network in strips, on a CPU, against the plain one."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skadl.network.dense_unet import ModulatedDenseUNet
from skadl.network.direct_unet import DirectUNet
from skadl.network.local_unet import LocalUNet
from skadl.network.pyramid_unet import PyramidUNet
from skadl.network.unet import ModulatedUNet

KINDS = (ModulatedUNet, LocalUNet, PyramidUNet, ModulatedDenseUNet, DirectUNet)


def scales(n_levels, kind=ModulatedUNet, seed=0):
    """Folded networks, each with a function that draws what it is shown besides."""
    generator = torch.Generator().manual_seed(seed)
    *guided, last = folded_network(n_levels, kind, seed).scales()

    def coarse(x):
        height, width = x.shape[2:]
        return (torch.randn(1, 4, height // 2, width // 2, generator=generator),)

    return [*((scale, coarse) for scale in guided), (last, lambda x: ())]


def folded_network(n_levels, kind=ModulatedUNet, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = kind(3, 4, n_levels, mlp_width=4)
        torch.nn.init.normal_(network.head.weight, std=0.1)
    return network.fold(np.ones(3))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_levels", [1, 2, 4])
@pytest.mark.parametrize("sides", [(8, 16), (40, 24), (128, 8)])
def test_strips_equal_the_plain_network(kind, n_levels, sides, monkeypatch):
    monkeypatch.setattr("skadl.network.cpu.STRIP_BYTES", 2000)
    monkeypatch.setattr("skadl.network.local_cpu.BAND_BYTES", 2000)
    for folded, coarse in scales(n_levels, kind):
        strips = folded.on_cpu(None)
        for seed in (0, 1):  # memory is used again
            x = torch.randn(1, 4, *sides, generator=torch.Generator().manual_seed(seed))
            more = coarse(x)
            torch.testing.assert_close(
                strips.removed(x, *more), x - folded(x, *more), atol=1e-5, rtol=1e-5
            )


@pytest.mark.parametrize("kind", KINDS)
@given(edges=st.lists(st.integers(0, 56), min_size=4, max_size=4, unique=True))
def test_a_core_is_what_it_is_in_the_whole(kind, edges):
    first, second = sorted(edges[:2]), sorted(edges[2:])
    core = slice(*first), slice(*second)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skadl.network.cpu.STRIP_BYTES", 2000)
        for folded, coarse in scales(3, kind):
            strips = folded.on_cpu(None)
            x = torch.randn(1, 4, 56, 56, generator=torch.Generator().manual_seed(0))
            more = coarse(x)
            strips.removed(x + 1, *more)  # leaves other values in the memory
            found, expected = strips.removed(x, *more, core=core), x - folded(x, *more)
            torch.testing.assert_close(
                found[..., *core], expected[..., *core], atol=1e-5, rtol=1e-5
            )


@pytest.mark.parametrize("kind", KINDS)
def test_strips_without_onednn_equal_the_plain_network(kind, monkeypatch):
    monkeypatch.setattr("skadl.network.cpu._can_fuse", lambda dtype: False)
    x = torch.ones(1, 4, 16, 24)
    for folded, coarse in scales(3, kind):
        more = coarse(x)
        removed = folded.on_cpu(None).removed(x, *more)
        torch.testing.assert_close(removed, x - folded(x, *more), atol=1e-5, rtol=1e-5)


def test_strips_where_an_operator_is_gone_equal_the_plain_network(
    monkeypatch,
):
    operators = ("_convolution_pointwise", "_no_longer_there")
    monkeypatch.setattr("skadl.network.cpu._FUSED_OPERATORS", operators)
    folded, x = folded_network(3), torch.ones(1, 4, 16, 24)
    strips = folded.on_cpu(None)
    assert not strips._encoder[0].is_fused
    torch.testing.assert_close(strips.removed(x), x - folded(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_strips_in_bfloat16_stay_near_float32(kind):
    x = torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    for folded, coarse in scales(3, kind):
        more = coarse(x)
        low = folded.on_cpu(torch.bfloat16).removed(x, *more)
        exact = folded.on_cpu(None).removed(x, *more)
        assert low.dtype == torch.float32
        assert (low - exact).norm() < 0.02 * exact.norm()


def test_networks_that_share_memory_give_what_they_give_alone():
    memory, taken = {}, []
    x = torch.randn(1, 4, 32, 48, generator=torch.Generator().manual_seed(0))
    for folded, coarse in scales(3, PyramidUNet):  # the finest, with the largest maps
        more = coarse(x)
        shared = folded.on_cpu(None, memory).removed(x, *more).clone()
        torch.testing.assert_close(shared, folded.on_cpu(None).removed(x, *more))
        taken.append(sum(part.nbytes for part in memory.values()))
        x = x[..., ::2, ::2]
    assert len(set(taken)) == 1
