"""Networks, batches and learners for timing a training step by itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed.plain_unet import PlainUNet
from skadl.adaptation.learner import Learner
from skadl.adaptation.patches import Batch
from skadl.estimators.training_pairs import noise_weight
from skadl.network.base import ModulatedNetwork
from skadl.network.choice import build_network
from skadl.network.conditioning import Conditioning
from skadl.noise.noise_level import NoiseLevel
from skadl.support.device import resolve_precision

LEARNING_RATE = 1e-3
MLP_WIDTH = 32
WEIGHT_DECAY = 0.01
NOISE = NoiseLevel(1e-3, 1e-5)


def draw_network(spec: str, device: torch.device) -> ModulatedNetwork:
    """Draw a network such as "unet:16/4", every weight with a part in the output."""
    name, size = spec.split(":")
    base_channels, n_levels = map(int, size.split("/"))
    network = build_network(
        len(_metadata()), base_channels, n_levels, MLP_WIDTH, device, 0, name
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(0.02 * noise.to(device))
    return network


def draw_learner(network: ModulatedNetwork, precision: str) -> Learner:
    """Return what trains a network, with the default loss."""
    device = next(network.parameters()).device
    return Learner(
        network, resolve_precision(precision, device), WEIGHT_DECAY, noise_weight
    )


def draw_batch(side: int, batch_size: int, device: torch.device) -> Batch:
    """Draw patches of random pixels: this is about speed."""
    generator = torch.Generator().manual_seed(2)
    clean = torch.rand(batch_size, side, side, 4, generator=generator)
    noisy = clean + 0.05 * torch.randn(clean.shape, generator=generator)
    noise = torch.tensor([[NOISE.shot, NOISE.read]]).repeat(batch_size, 1)
    return Batch(
        noisy.permute(0, 3, 1, 2).to(device),
        clean.permute(0, 3, 1, 2).to(device),
        torch.from_numpy(_metadata()).repeat(batch_size, 1).to(device),
        noise.to(device),
    )


def count_gflop(network: ModulatedNetwork, batch: Batch) -> float:
    """Count the operations of convolutions and products, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        network(batch.noisy, batch.metadata).mean().backward()
    network.zero_grad(set_to_none=True)
    return counter.get_total_flops() / 1e9


def _metadata():
    return Conditioning("noise", ()).vector("any", 100.0, 1.0, NOISE)


def plain_step(plain: PlainUNet, batch: Batch) -> Callable[[], None]:
    """Return a function that takes one step of a plain PyTorch loop."""
    noisy, clean = batch.noisy.contiguous(), batch.clean.contiguous()  # NCHW
    optimizer = torch.optim.AdamW(
        plain.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
    )

    def step() -> None:
        optimizer.zero_grad()
        F.l1_loss(plain(noisy, batch.metadata), clean).backward()
        optimizer.step()

    return step
