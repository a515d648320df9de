"""The network against a slow, separate writing of Eq. 4 to 6, and its promises."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from skadl.network.choice import build_network
from skadl.network.unet import SLOPE, ModulatedUNet, ModulationMLPs, modulate

WIDTHS = [4, 4, 8, 8, 4, 4]


def random_images(batch=2, side=8, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 4, side, side, generator=generator, dtype=dtype)


def random_modulation(n_metadata=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mlps = ModulationMLPs(n_metadata, WIDTHS, mlp_width=5).double()
    with torch.no_grad():
        for parameter in mlps.parameters():
            drawn = torch.randn(parameter.shape, generator=generator).double()
            parameter.copy_(0.5 * drawn)
    metadata = torch.randn(2, n_metadata, generator=generator).double()
    return mlps, metadata


def naive_mlp(mlps, conv, is_beta, image_metadata):
    """Layer by layer for one convolution and one image: the vector before tanh."""
    width = WIDTHS[conv]
    group = sorted(set(WIDTHS)).index(width)
    same_width = [i for i, other in enumerate(WIDTHS) if other == width]
    row = same_width.index(conv) + (len(same_width) if is_beta else 0)
    first = sum(2 * WIDTHS.count(w) for w in sorted(set(WIDTHS))[:group])
    h = image_metadata
    for weight, bias in zip(mlps.weights, mlps.biases, strict=True):
        h = h @ weight[first + row] + bias[first + row, 0]
        h = torch.where(h > 0, h, SLOPE * h)
    return h @ mlps.last_weights[group][row] + mlps.last_biases[group][row, 0]


def test_modulation__random_mlps__equal_one_loop_per_convolution_and_image():
    mlps, metadata = random_modulation()
    codes = list(mlps(metadata))
    assert len(codes) == len(WIDTHS)
    for conv, (gamma, beta) in enumerate(codes):
        assert gamma.shape == beta.shape == (2, WIDTHS[conv], 1, 1)
        for image in range(2):
            pre_gamma = naive_mlp(mlps, conv, False, metadata[image])
            pre_beta = naive_mlp(mlps, conv, True, metadata[image])
            torch.testing.assert_close(gamma[image, :, 0, 0], 1 + pre_gamma.tanh())
            torch.testing.assert_close(beta[image, :, 0, 0], pre_beta)


def test_modulation__every_convolution__has_mlps_of_its_own():
    mlps, metadata = random_modulation()
    means = [float(part.mean().detach()) for code in mlps(metadata) for part in code]
    assert len({round(mean, 9) for mean in means}) == 2 * len(WIDTHS)


def test_modulation__untrained__is_the_identity_for_any_metadata():
    mlps = ModulationMLPs(3, WIDTHS, mlp_width=5)
    for gamma, beta in mlps(100 * torch.randn(2, 3)):
        assert torch.equal(gamma, torch.ones_like(gamma))
        assert torch.equal(beta, torch.zeros_like(beta))


def test_modulate__any_values__is_eq_6_and_a_leaky_relu(device):
    torch_rng = torch.Generator().manual_seed(0)
    y = torch.randn(2, 3, 4, 5, generator=torch_rng).to(device)
    gamma, beta = (torch.randn(2, 3, 1, 1, generator=torch_rng) for _ in range(2))
    out = modulate(y, gamma.to(device), beta.to(device)).cpu()
    for image in range(2):
        for channel in range(3):
            value = y[image, channel].cpu() * gamma[image, channel]
            value = value + beta[image, channel]
            naive = torch.where(value > 0, value, SLOPE * value)
            torch.testing.assert_close(out[image, channel], naive)


@pytest.mark.parametrize("channels", [16, 32])
def test_modulate__bfloat16_of_few_channels__is_what_many_get(channels):
    torch_rng = torch.Generator().manual_seed(0)
    y, gamma, beta, weight = (
        torch.randn(2, channels, *sides, generator=torch_rng).bfloat16()
        for sides in ((6, 8), (1, 1), (1, 1), (6, 8))
    )
    found = []
    for layout in (torch.channels_last, torch.contiguous_format):
        inputs = [
            x.contiguous(memory_format=layout).detach().requires_grad_()
            for x in (y, gamma, beta)
        ]
        out = modulate(*inputs)
        out.backward(weight)
        found.append([out, *(x.grad for x in inputs)])
    (out, *gradients), (plain_out, *plain_gradients) = found
    assert torch.equal(out, plain_out)
    torch.testing.assert_close(gradients, plain_gradients, rtol=0.02, atol=0.02)


def test_modulate__inputs__are_left_alone():
    y, gamma, beta = torch.randn(1, 2, 3, 3), torch.ones(1, 2, 1, 1), -torch.ones(1, 2)
    before = y.clone()
    modulate(y, gamma, beta[..., None, None])
    assert torch.equal(y, before)


def test_modulate__gradients__pass_gradcheck_in_float64(device):
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 3, 4, 5), (2, 3, 1, 1), (2, 3, 1, 1)]
    inputs = [
        torch.randn(shape, generator=generator, dtype=torch.float64).to(device)
        for shape in shapes
    ]
    for tensor in inputs:
        tensor.requires_grad_()
    assert torch.autograd.gradcheck(modulate, inputs)


@given(st.integers(0, 2**31 - 1), st.booleans())
def test_modulate__gradients__equal_autograd_of_the_plain_expression(seed, last):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randn(2, 3, 4, 4, generator=generator, dtype=torch.float64)
    if last:
        y = y.contiguous(memory_format=torch.channels_last)
    parts = [torch.randn(2, 3, 1, 1, generator=generator).double() for _ in range(2)]
    weight = torch.randn(2, 3, 4, 4, generator=generator).double()

    def gradients(function):
        inputs = [t.clone().requires_grad_() for t in (y, *parts)]
        return torch.autograd.grad((function(*inputs) * weight).sum(), inputs)

    def plain(y, gamma, beta):
        return F.leaky_relu(y * gamma + beta, SLOPE)

    for ours, theirs in zip(gradients(modulate), gradients(plain), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_network__untrained__returns_its_input(make_network, device):
    network = make_network(3, device=device)
    x = random_images().to(device) - 0.2
    assert torch.equal(network(x, torch.randn(2, 3).to(device)), x)


def test_network__untrained_outputs__still_send_gradients_somewhere(make_network):
    network = make_network(1)
    x = random_images()
    (network(x, torch.zeros(2, 1)) - 1).abs().mean().backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert any(float(gradient.abs().max()) > 0 for gradient in gradients)


def test_network__other_metadata__changes_the_output(make_network):
    network, x = make_network(2, noise=0.1), random_images(1)
    outputs = [network(x, torch.tensor([[a, b]])) for a, b in ((0.0, 1.0), (1.0, 0.0))]
    assert not torch.allclose(*outputs)


def test_network__images_of_a_batch__do_not_see_each_other(make_network):
    network, x = make_network(1, noise=0.1), random_images(3)
    metadata = torch.tensor([[0.0], [1.0], [2.0]])
    together = network(x, metadata)
    alone = [network(x[i : i + 1], metadata[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone))


@pytest.mark.parametrize("n_levels", [1, 2, 3])
@pytest.mark.parametrize("sides", [(1, 1), (1, 3), (4, 2)])
def test_network__any_multiple_of_its_sides__keeps_the_shape(n_levels, sides):
    network = ModulatedUNet(1, base_channels=2, n_levels=n_levels, mlp_width=4)
    height, width = (side * network.multiple for side in sides)
    x = torch.rand(1, 4, height, width)
    assert network(x, torch.zeros(1, 1)).shape == x.shape


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_network__autocast__output_has_the_dtype_of_the_input(
    make_network, device, dtype
):
    network = make_network(1, device=device, noise=0.1)
    x, metadata = random_images().to(device), torch.zeros(2, 1, device=device)
    exact = network(x, metadata)
    with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
        out = network(x, metadata)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, exact, atol=0.05, rtol=0.05)


def test_network__channels_last__is_only_a_memory_order(make_network):
    network, x = make_network(1, noise=0.1), random_images()
    metadata = torch.zeros(2, 1)
    last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(network(last, metadata), network(x, metadata))


def test_network__all_parameters__receive_gradients_once_trained(make_network):
    network = make_network(1, noise=0.1)
    network(random_images(), torch.ones(2, 1)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_build_network__seed__decides_and_global_state_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    cpu = torch.device("cpu")
    first, again, other = (build_network(2, 4, 2, 8, cpu, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    weights = [next(network.parameters()) for network in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
