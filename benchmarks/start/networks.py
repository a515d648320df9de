"""The networks that are compared: one modulated U-Net behind different transforms.

All are told light factor, shot and read part of the noise by one metadata vector,
from which the transform reads the noise. None uses a statistic of the whole image, so
that a tile with its halo gives what the whole image gives. The first and the last are
the package's own networks.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from skadl.network.base import N_PLANES
from skadl.network.conditioning import decode_noise
from skadl.network.local_unet import LocalUNet
from skadl.network.pyramid_unet import PyramidUNet
from skadl.network.unet import ModulatedUNet

STABILISED_SCALE = 0.15  # of unit noise, at the network's input


def noise_of(metadata: Tensor) -> tuple[Tensor, Tensor]:
    """Read shot and read part, each (B, 1, 1, 1), out of a metadata vector (B, 3)."""
    shot, read = decode_noise(metadata)
    return shot[:, None, None, None], read[:, None, None, None]


class TransformedUNet(ModulatedUNet):
    """A modulated U-Net whose input and output are not the planes themselves."""

    def body(self, features: Tensor, metadata: Tensor) -> Tensor:
        """Run the U-Net on transformed planes (B, 4, h, w): (B, 4, h, w)."""
        return super().body(features, metadata).float()


class StabilisedUNet(TransformedUNet):
    """Works on planes under the generalised Anscombe transform, with unit noise."""

    def forward(self, x: Tensor, metadata: Tensor) -> Tensor:
        """Denoise planes (B, 4, h, w) of metadata (B, 3)."""
        shot, read = noise_of(metadata)
        floor = 0.375 * shot**2 + read
        x = torch.maximum(x, -floor / shot)  # what lies below has no root
        # Rounding may leave less than 0 where x is at its lower end.
        z = 2 / shot * (shot * x + floor).clamp(min=0).sqrt()
        black = 2 / shot * floor.sqrt()
        removed = self.body((z - black) * STABILISED_SCALE, metadata)
        # The algebraic inverse, as a difference: the terms themselves are large
        # where there is little shot noise.
        return x - shot / 4 * removed * (2 * z - removed)


class KSigmaUNet(TransformedUNet):
    """Works on planes under the k-sigma transform: variance equals signal."""

    scale = 1 / 64  # of electrons, at the network's input

    def forward(self, x: Tensor, metadata: Tensor) -> Tensor:
        """Denoise planes (B, 4, h, w) of metadata (B, 3)."""
        shot, read = noise_of(metadata)
        electrons = x / shot + read / shot**2
        removed = self.body(electrons * self.scale, metadata)
        return x - removed * shot / self.scale


NETWORKS: dict[str, Callable[..., ModulatedUNet]] = {
    "modulation": ModulatedUNet,
    "stabilised": StabilisedUNet,
    "ksigma": KSigmaUNet,
    "local": LocalUNet,
    "pyramid": PyramidUNet,
}


def build(
    name: str,
    base_channels: int,
    n_levels: int,
    mlp_width: int,
    seed: int,
    n_planes: int = N_PLANES,
) -> ModulatedUNet:
    """Build an untrained network in channels_last; the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = NETWORKS[name](3, base_channels, n_levels, mlp_width, n_planes)
    return network.to(memory_format=torch.channels_last)
