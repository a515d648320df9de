"""The U-Net of one image: its modulation folded into the convolutions.

Sensor, ISO and noise are the same all over an image, so each gamma and beta of
Eq. 6 is a number for each channel, and ``gamma * (W x + b) + beta`` is a plain
convolution with weights ``gamma * W`` and bias ``gamma * b + beta``: a quarter less
work.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from skadl.network.base import FoldedNetwork, MapMemory, Operations
from skadl.network.cpu import STRIP_BYTES, StripUNet


class FoldedUNet(FoldedNetwork):
    """A U-Net of plain convolutions, two for each level in forward order.

    Made by `ModulatedUNet.fold`.
    """

    def __init__(
        self,
        encoder: Iterable[nn.Conv2d],
        ups: Iterable[nn.ConvTranspose2d],
        decoder: Iterable[nn.Conv2d],
        head: nn.Conv2d,
    ) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(encoder)
        self.ups = nn.ModuleList(ups)
        self.decoder = nn.ModuleList(decoder)
        self.head = head
        n_levels = len(self.encoder) // 2
        self.multiple, self.n_planes = multiple_of(n_levels), head.out_channels
        self.halo = exact_halo(n_levels)

    def run(self, operations: Operations, noisy: Any) -> Any:
        """Walk through the U-Net; what it gives is the noise."""
        return operations.subtract(noisy, self.body(operations, noisy))

    def body(self, operations: Operations, features: Any) -> Any:
        """Walk from what the U-Net is shown to what its head gives."""
        skips = []
        y = features
        del features
        # One name for every map, so that each is freed as soon as it has been read.
        for i, conv in enumerate(self.encoder):
            if i and i % 2 == 0:
                skips.append(y)
                y = operations.pool(y)
            y = operations.convolve(y, conv)
        for i, conv in enumerate(self.decoder):
            if i % 2 == 0:
                y = operations.upsample(y, self.ups[i // 2])
                y = operations.join(y, skips.pop())
            y = operations.convolve(y, conv)
        return operations.convolve(y, self.head, rectified=False)

    def on_cpu(
        self, dtype: torch.dtype | None, memory: MapMemory | None = None
    ) -> StripUNet:
        """Return what computes the same strip by strip."""
        return StripUNet(*self.parts(), dtype, memory)

    def parts(self) -> tuple[nn.ModuleList, nn.ModuleList, nn.ModuleList, nn.Conv2d]:
        """Return the arguments that build it."""
        return self.encoder, self.ups, self.decoder, self.head

    def body_unet(self) -> FoldedUNet:
        """Return the U-Net, for other engines than torch."""
        return self

    def memory(self, dtype: torch.dtype | None) -> tuple[float, float]:
        """Return the bytes that a packed pixel of a tile takes, and those besides."""
        widest = self.head.in_channels * (4 if dtype is None else dtype.itemsize)
        # In maps of the first level. In strips the skips of all levels, 1 + 1/2 + ...,
        # and two more maps, 1/2 + 1/4; in one go the maps joined at the first level,
        # their parts, and half as much for the convolution. The 40 bytes are for the
        # tile and what is removed from it, in float32.
        is_in_strips = self.head.weight.device.type == "cpu"
        by_pixel = 40 + (2.75 if is_in_strips else 6) * widest
        # Weights folded, converted, and laid out for the convolutions.
        n_parameters = sum(p.numel() for p in self.parameters())
        return by_pixel, 12 * n_parameters + 4 * STRIP_BYTES


def multiple_of(n_levels: int) -> int:
    """Return what the sides of a U-Net's input must be multiples of."""
    return 2 ** (n_levels - 1)


def exact_halo(n_levels: int, reach: int = 0, block_reach: int = 2) -> int:
    """Return how far around a tile a U-Net looks: packed pixels, whole multiples.

    `reach` is how far what comes before it looks, `block_reach` how far the
    convolutions of one level do, one after the other: by default two of 3x3.

    >>> [exact_halo(n_levels) for n_levels in (3, 4, 5)]
    [24, 48, 96]
    >>> exact_halo(5, block_reach=4)  # of dense blocks
    192
    """
    multiple = multiple_of(n_levels)
    beyond = unet_reach(n_levels, block_reach=block_reach) + reach
    return -(-beyond // multiple) * multiple


def unet_reach(n_levels: int, inside: int = 0, block_reach: int = 2) -> int:
    """Return how far beyond a tile a U-Net looks for what lies up to `inside` beyond.

    `block_reach` is as for `exact_halo`.

    >>> unet_reach(1), unet_reach(1, inside=3)
    (2, 5)
    """
    # Followed backwards from the border of a tile whose corners are multiples: the
    # convolutions of a level reach `block_reach` pixels further, an upsampling reads
    # half as many pixels (rounded up) of the level below, a pooling both of each.
    for _ in range(n_levels - 1):
        inside = -(-(inside + block_reach) // 2)
    inside += block_reach
    for _ in range(n_levels - 1):
        inside = 2 * inside + block_reach
    return inside


def fold_convolution(conv: nn.Conv2d, gamma: Tensor, beta: Tensor) -> nn.Conv2d:
    """Return a copy of a convolution with gamma and beta, each (C, 1, 1), in it."""
    weight = conv.weight * gamma[..., None]  # (C, before, 3, 3)
    bias = (conv.bias * gamma.flatten()).add_(beta.flatten())
    return with_weights(conv, weight, bias)


def with_weights(conv: nn.Module, weight: Tensor, bias: Tensor) -> nn.Module:
    """Return a convolution like another, with weights of its own, without gradients.

    A deep copy takes longer than a small photograph.
    """
    changed = copy.copy(conv)
    changed._parameters = {
        name: nn.Parameter(tensor, requires_grad=False)
        for name, tensor in (("weight", weight), ("bias", bias))
    }
    return changed
