from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn

from skadl.support.seeding import seeded


def build() -> nn.Module:
    return nn.Sequential(*(nn.Linear(8, 8) for _ in range(20)))


def weights(seed: int) -> torch.Tensor:
    return nn.utils.parameters_to_vector(seeded(seed, build).parameters())


def test_seeded__global_state__is_left_and_not_looked_at():
    torch.manual_seed(3)
    first, expected = weights(0), torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(weights(0), first)
    assert not torch.equal(weights(1), first)


def test_seeded__many_threads__each_has_the_weights_of_its_seed():
    alone = [weights(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for found in (pool.map(weights, range(8)) for _ in range(10)):
            assert all(map(torch.equal, found, alone))
