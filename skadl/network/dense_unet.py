"""The modulated Dense-UNet of the paper's appendix, and its form for one image.

Backbone: a U-Net whose levels are dense blocks, as in Guan et al., "Fully Dense UNet
for 2-D Sparse Photoacoustic Tomography Artifact Removal" (IEEE Journal of Biomedical
and Health Informatics 2020). The appendix states four downsamplings, 64 to 1024
channels, five layers in each dense block and a leaky ReLU after each layer. It does not
state how a block grows, how it ends, or what is modulated. Chosen here: of a level's C
channels each of four 3x3 convolutions adds C / 4, the fifth layer is a 1x1 convolution
that fuses all maps of the block into C, and each of the five is modulated. At the
paper's size these are 24 million weights, against 31 million of a plain U-Net.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skadl.network.base import (
    N_PLANES,
    SLOPE,
    FoldedNetwork,
    ModulatedNetwork,
    Operations,
)
from skadl.network.folded import exact_halo, fold_convolution, multiple_of
from skadl.network.unet import Codes, ModulationMLPs, modulate, upsample_onto

N_GROWING = 4  # 3x3 convolutions of a dense block; the fusion is its fifth layer


class ModulatedDenseUNet(ModulatedNetwork):
    """Predict the noise of packed planes with dense blocks, as the appendix has it.

    Parameters
    ----------
    n_metadata : int
        Length of the metadata vector of an image.
    base_channels : int
        Channels at full packed resolution; they double at each level. 64 in the
        paper.
    n_levels : int
        Resolutions; sides must be multiples of ``2 ** (n_levels - 1)``. 5 in the
        paper.
    mlp_width : int
        Hidden width of the modulation MLPs.
    n_planes : int, default=4
        Planes that it is shown and gives.

    Notes
    -----
    A block of C channels shows each of its 3x3 convolutions all that came before it in
    the block, so that the first of them sees the block's input, and the 1x1 fusion sees
    input and all four. Each gives C / 4 channels (rounded down, at least one).

    As in `ModulatedUNet`, an untrained network returns its input.
    """

    SIZES = MappingProxyType(
        {
            "n_metadata": 2**16,
            "base_channels": 2**16,
            "n_levels": 8,
            "mlp_width": 2**16,
            "n_planes": 2**8,
        }
    )

    def __init__(
        self,
        n_metadata: int,
        base_channels: int,
        n_levels: int,
        mlp_width: int,
        n_planes: int = N_PLANES,
    ) -> None:
        super().__init__()
        widths = [base_channels * 2**level for level in range(n_levels)]
        self.multiple, self.n_planes = multiple_of(n_levels), n_planes
        self.encoder = nn.ModuleList(
            _DenseBlock(before, width)
            for before, width in zip([n_planes, *widths[:-1]], widths, strict=True)
        )
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(2 * width, width, kernel_size=2, stride=2)
            for width in reversed(widths[:-1])
        )
        self.decoder = nn.ModuleList(
            _DenseBlock(2 * width, width) for width in reversed(widths[:-1])
        )
        self.head = nn.Conv2d(base_channels, n_planes, kernel_size=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        conv_widths = [
            conv.out_channels
            for block in (*self.encoder, *self.decoder)
            for conv in block.convs
        ]
        self.modulation = ModulationMLPs(n_metadata, conv_widths, mlp_width)

    def forward(self, x: Tensor, metadata: Tensor) -> Tensor:
        """Denoise a batch.

        Parameters
        ----------
        x : Tensor of shape (B, 4, h, w)
            Normalised planes in RGGB geometry, black at 0.
        metadata : Tensor of shape (B, n_metadata)

        Returns
        -------
        Tensor of shape (B, 4, h, w)
            In the dtype of `x`, whatever the precision inside.
        """
        codes = self.modulation(metadata)  # per convolution: (B, C, 1, 1) twice
        skips = []
        y = x
        for level, block in enumerate(self.encoder):
            if level:
                y = F.max_pool2d(y, 2)  # (B, C/2, h, w) -> (B, C/2, h/2, w/2)
            y = block(y, codes)  # -> (B, C, h, w)
            skips.append(y)
        skips.pop()
        for up, block in zip(self.ups, self.decoder, strict=True):
            y = upsample_onto(y, skips.pop(), up)  # -> (B, 2C, h, w)
            y = block(y, codes)  # -> (B, C, h, w)
        return x - self.head(y).to(x.dtype)  # (B, C, h, w) -> (B, 4, h, w)

    @torch.no_grad()
    def fold(self, metadata: Tensor | np.ndarray) -> FoldedDenseUNet:
        """Return the network of one image, in channels_last.

        Parameters
        ----------
        metadata : Tensor or ndarray of shape (n_metadata,)
            Of the image, from `Conditioning.vector`.

        Returns
        -------
        FoldedDenseUNet
            On the device of this network, which stays as it is, without gradients.
            Equal to ``network(x, metadata)`` but for rounding.
        """
        device = self.head.weight.device
        metadata = torch.as_tensor(metadata, dtype=torch.float32, device=device)
        codes = self.modulation(metadata[None])
        encoder, decoder = (
            [
                nn.ModuleList(
                    fold_convolution(conv, *(code[0] for code in next(codes)))
                    for conv in block.convs
                )
                for block in blocks
            ]
            for blocks in (self.encoder, self.decoder)
        )
        folded = FoldedDenseUNet(
            encoder, copy.deepcopy(self.ups), decoder, copy.deepcopy(self.head)
        )
        folded = folded.to(memory_format=torch.channels_last)
        return folded.requires_grad_(False).eval()

    def describe(self) -> dict[str, int]:
        """Return the arguments that build a network of this shape."""
        _, n_metadata, mlp_width = self.modulation.weights[0].shape
        return {
            "n_metadata": n_metadata,
            "base_channels": self.head.in_channels,
            "n_levels": len(self.encoder),
            "mlp_width": mlp_width,
            "n_planes": self.n_planes,
        }


class _DenseBlock(nn.Module):
    """Five convolutions, each shown all maps before it, modulated and rectified."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        growth = max(1, width // 4)
        convs = [
            nn.Conv2d(before + i * growth, growth, kernel_size=3, padding=1)
            for i in range(N_GROWING)
        ]
        convs.append(nn.Conv2d(before + N_GROWING * growth, width, kernel_size=1))
        self.convs = nn.ModuleList(convs)
        for conv in self.convs:
            nn.init.kaiming_normal_(conv.weight, a=SLOPE)
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor, codes: Codes) -> Tensor:
        *growing, fusion = self.convs
        maps = x
        for conv in growing:
            y = modulate(conv(maps), *next(codes))  # -> (B, C/4, h, w)
            maps = torch.cat([maps, y], dim=1)
        return modulate(fusion(maps), *next(codes))  # -> (B, C, h, w)


class FoldedDenseUNet(FoldedNetwork):
    """A Dense-UNet of plain convolutions. Made by `ModulatedDenseUNet.fold`."""

    def __init__(
        self,
        encoder: Iterable[nn.ModuleList],
        ups: Iterable[nn.ConvTranspose2d],
        decoder: Iterable[nn.ModuleList],
        head: nn.Conv2d,
    ) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(encoder)
        self.ups = nn.ModuleList(ups)
        self.decoder = nn.ModuleList(decoder)
        self.head = head
        n_levels = len(self.encoder)
        self.multiple, self.n_planes = multiple_of(n_levels), head.out_channels
        self.halo = exact_halo(n_levels, block_reach=N_GROWING)

    def run(self, operations: Operations, noisy: Any) -> Any:
        """Walk through the network; what it gives is the noise."""
        skips = []
        y = noisy
        # One name for every map, so that each is freed as soon as it has been read.
        for level, block in enumerate(self.encoder):
            if level:
                skips.append(y)
                y = operations.pool(y)
            y = _run_block(operations, y, block)
        for up, block in zip(self.ups, self.decoder, strict=True):
            y = operations.upsample(y, up)
            y = operations.join(y, skips.pop())
            y = _run_block(operations, y, block)
        noise = operations.convolve(y, self.head, rectified=False)
        return operations.subtract(noisy, noise)

    def memory(self, dtype: torch.dtype | None) -> tuple[float, float]:
        """Return the bytes that a packed pixel of a tile takes, and those besides."""
        widest = self.head.in_channels * (4 if dtype is None else dtype.itemsize)
        # In maps of the first level: the 3 that its last fusion sees, and while they
        # are joined the 2.75 before; half as much for the convolution. The 40 bytes
        # are for the tile and what is removed from it, in float32.
        by_pixel = 40 + 9 * widest
        # Weights folded, converted, and laid out for the convolutions.
        n_parameters = sum(p.numel() for p in self.parameters())
        return by_pixel, 12 * n_parameters


def _run_block(operations: Operations, maps: Any, block: nn.ModuleList) -> Any:
    *growing, fusion = block
    for conv in growing:
        maps = operations.join(maps, operations.convolve(maps, conv))
    return operations.convolve(maps, fusion)
