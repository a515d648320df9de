"""What is faster on a CPU is the same, and so is its gradient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from skadl.network.cpu_operations import asinh, mean_of_neighbours
from skadl.network.unet import ModulationMLPs, upsample_onto


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


@given(height=st.integers(1, 9), width=st.integers(1, 9), reach=st.integers(1, 3))
def test_mean_of_neighbours__any_size__is_the_average_pool(height, width, reach):
    y = draw(2, 3, height, width)
    expected = F.avg_pool2d(
        F.pad(y, (reach, reach, reach, reach)), 2 * reach + 1, stride=1
    )
    ones = F.pad(torch.ones_like(y), (reach, reach, reach, reach))
    expected = expected / F.avg_pool2d(ones, 2 * reach + 1, stride=1)
    torch.testing.assert_close(mean_of_neighbours(y, reach), expected)


@given(st.floats(-1e6, 1e6))
def test_asinh__any_number__is_that_of_torch(value):
    y = torch.tensor(value, dtype=torch.float64)
    torch.testing.assert_close(asinh(y), y.asinh())
    torch.testing.assert_close(asinh(y.float()), y.asinh().float())


@pytest.mark.parametrize("function", [asinh, lambda y: mean_of_neighbours(y, 2)])
def test_operation__gradient__is_right(function):
    y = draw(1, 2, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(function, [y])


def test_upsample_onto__bfloat16__is_the_transposed_convolution():
    up = nn.ConvTranspose2d(8, 4, kernel_size=2, stride=2)
    up.load_state_dict({"weight": draw(8, 4, 2, 2), "bias": draw(4)})
    y, skip = draw(2, 8, 3, 5, seed=1).bfloat16(), draw(2, 4, 6, 10, seed=2).bfloat16()
    weights = list(up.bfloat16().parameters())
    grad = draw(2, 8, 6, 10, seed=3).bfloat16()
    results = []
    for function in (upsample_onto, lambda y, s, up: torch.cat([up(y), s], dim=1)):
        inputs = [tensor.clone().requires_grad_() for tensor in (y, skip)]
        given = function(*inputs, up)
        results.append([given, *torch.autograd.grad(given, [*inputs, *weights], grad)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("n_parts", [1, 2, 3])
def test_modulation__parts_of_a_batch__are_what_each_gets_alone(n_parts):
    mlps = ModulationMLPs(2, [4, 8, 4], 5)
    with torch.no_grad():
        for number, parameter in enumerate(mlps.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=number))
    parts = draw(n_parts, 2, 2).float()
    for part, codes in zip(
        parts, mlps.of_parts(parts.flatten(0, 1), n_parts), strict=True
    ):
        for ours, alone in zip(codes, mlps(part), strict=True):
            for first, second in zip(ours, alone, strict=True):
                torch.testing.assert_close(first, second)
