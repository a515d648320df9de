"""The networks that are compared: one modulated U-Net behind different transforms.

All are told light factor, shot and read part of the noise by one metadata vector,
from which the transform reads the noise. None uses a statistic of the whole image, so
that a tile with its halo gives what the whole image gives.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skadl.network.base import N_PLANES
from skadl.network.unet import ModulatedUNet, _ConvPair

STABILISED_SCALE = 0.15  # of unit noise, at the network's input
DETAIL_SCALE = 0.5
LINEAR_UP_TO = 8.0  # scaled level from which it grows like a logarithm
REACH = 2  # packed pixels around a pixel over which its level is averaged


def noise_of(metadata: Tensor) -> tuple[Tensor, Tensor]:
    """Read shot and read part, each (B, 1, 1, 1), out of a metadata vector (B, 3)."""
    # The inverse of Conditioning.vector.
    shot = 10 ** (2 * metadata[:, 1] - 3)
    read = 10 ** (3 * metadata[:, 2] - 5)
    return shot[:, None, None, None], read[:, None, None, None]


class TransformedUNet(ModulatedUNet):
    """A modulated U-Net whose input and output are not the planes themselves."""

    n_inputs, n_outputs = N_PLANES, N_PLANES

    def __init__(
        self, n_metadata: int, base_channels: int, n_levels: int, mlp_width: int
    ) -> None:
        super().__init__(n_metadata, base_channels, n_levels, mlp_width)
        if self.n_inputs != N_PLANES:
            self.encoder[0] = _ConvPair(self.n_inputs, base_channels)
        if self.n_outputs != N_PLANES:
            self.head = nn.Conv2d(base_channels, self.n_outputs, kernel_size=1)
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def body(self, features: Tensor, metadata: Tensor) -> Tensor:
        """Run the U-Net on features (B, n_inputs, h, w): (B, n_outputs, h, w)."""
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


class LocalUNet(TransformedUNet):
    """Works on local level and local detail, both in units of the local noise.

    The level is the mean over 5x5 pixels of a plane. Detail is what a pixel differs
    from it, divided by the noise expected at that level: linear in the pixel, so
    neither a transform nor its inverse has a bias, and pixels below black are kept.
    The head gives a share of the detail and a rest to remove.
    """

    n_inputs, n_outputs = 2 * N_PLANES, 2 * N_PLANES

    def forward(self, x: Tensor, metadata: Tensor) -> Tensor:
        """Denoise planes (B, 4, h, w) of metadata (B, 3)."""
        shot, read = noise_of(metadata)
        level = F.avg_pool2d(
            x, 2 * REACH + 1, stride=1, padding=REACH, count_include_pad=False
        )
        floor = 0.375 * shot**2 + read
        variance = shot * level.clamp(min=0) + floor
        sigma = variance.sqrt()
        detail = (x - level) / sigma
        # Unit noise per pixel at any level, as after the Anscombe transform, written
        # without its difference of large roots; below black a straight line.
        brightness = 2 * level.clamp(min=0) / (sigma + floor.sqrt())
        brightness = brightness + level.clamp(max=0) / sigma
        brightness = LINEAR_UP_TO * torch.asinh(
            brightness * (STABILISED_SCALE / LINEAR_UP_TO)
        )
        features = torch.cat([detail * DETAIL_SCALE, brightness], dim=1)
        features = features.contiguous(memory_format=torch.channels_last)
        share, rest = self.body(features, metadata).chunk(2, dim=1)
        return x - sigma * (share * detail + rest)


NETWORKS: dict[str, Callable[..., ModulatedUNet]] = {
    "modulation": ModulatedUNet,
    "stabilised": StabilisedUNet,
    "ksigma": KSigmaUNet,
    "local": LocalUNet,
}


def build(
    name: str, base_channels: int, n_levels: int, mlp_width: int, seed: int
) -> ModulatedUNet:
    """Build an untrained network in channels_last; the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = NETWORKS[name](3, base_channels, n_levels, mlp_width)
    return network.to(memory_format=torch.channels_last)
