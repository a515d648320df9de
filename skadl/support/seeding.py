"""Random weights from a seed, whatever else draws from torch's global generator."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import torch

_Module = TypeVar("_Module", bound=torch.nn.Module)
# The layers of torch draw from its global generator. Two threads that build networks
# would draw from each other's seed.
_one_at_a_time = threading.Lock()


def seeded(seed: int, build: Callable[[], _Module]) -> _Module:
    """Build a network on the CPU; torch's global random state is left as it was."""
    with _one_at_a_time, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()
