"""The local U-Net on three scales: each is shown what the next coarser one made.

Where a picture is smooth, noise must be averaged over more pixels than a U-Net of few
channels averages well. The mean of 2x2 pixels of a plane is a picture of half the size
with a quarter of the noise variance, so the same weights denoise it too. The coarse
result corrects the fine one, as in Pierazzo and Facciolo, "Data Adaptive Dual Domain
Denoising" (IPOL 2017); here the network says where, and by how much.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skadl.network.base import (
    FoldedNetwork,
    MapMemory,
    Operations,
    TensorOperations,
)
from skadl.network.conditioning import decode_noise, tell_quarter
from skadl.network.folded import FoldedUNet, unet_reach
from skadl.network.local_cpu import StripGuidedUNet
from skadl.network.local_transform import DETAIL_SCALE, REACH, LocalView, look
from skadl.network.local_unet import FoldedLocalUNet, LocalUNet, by_planes
from skadl.network.unet import Codes

N_SCALES = 3


class PyramidUNet(LocalUNet):
    """Remove noise on three scales, the coarsest first, with the same weights.

    Parameters
    ----------
    n_metadata, base_channels, n_levels, mlp_width, n_planes : int
        As of `LocalUNet`.

    Notes
    -----
    The U-Net is shown one thing more, what the coarse result differs from the local
    level, and gives one more: the share of that difference to be taken over. Sides
    are multiples of ``2 ** (n_levels - 1)`` on every scale: coarser pictures are
    continued by their last row and column.
    """

    n_maps = 3

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
        told = [metadata]
        for _ in range(1, N_SCALES):
            told.append(tell_quarter(told[-1]))
        codes = self.modulation.of_parts(torch.cat(told), N_SCALES)
        # The transform goes plane by plane, the U-Net by pixels.
        return self._denoise(x.contiguous(), list(zip(told, codes, strict=True)))

    def _denoise(self, x: Tensor, scales: list[tuple[Tensor, Codes]]) -> Tensor:
        metadata, codes = scales[0]
        # (B,) -> (B, 1, 1, 1)
        shot, read = (part[:, None, None, None] for part in decode_noise(metadata))
        view = look(TensorOperations, x, shot, read)
        guide = torch.zeros_like(x)
        if len(scales) > 1:
            half = _extended(x, 2 * self.multiple)
            half = TensorOperations.halve(half)  # (B, 4, h, w) -> (B, 4, h/2, w/2)
            coarse = self._denoise(half, scales[1:])
            coarse = TensorOperations.double(coarse)[..., : x.shape[2], : x.shape[3]]
            guide = guide_of(coarse, x, view)
        features = torch.cat([view.features, guide * DETAIL_SCALE], dim=1)
        features = features.contiguous(memory_format=torch.channels_last)
        share, rest, taken = by_planes(self.walk(features, codes), x).chunk(3, dim=1)
        return x - view.sigma * (share * view.detail + rest - taken * guide)

    @torch.no_grad()
    def fold(self, metadata: Tensor | np.ndarray) -> FoldedPyramidUNet:
        """Return the networks of one image, in channels_last.

        Parameters
        ----------
        metadata : Tensor or ndarray of shape (n_metadata,)
            Of the image, from `Conditioning.vector`.

        Returns
        -------
        FoldedPyramidUNet
            On the device of this network, which stays as it is, without gradients.
            Equal to ``network(x, metadata)`` but for rounding.
        """
        scales = []
        for number in range(N_SCALES):
            local = super().fold(metadata)
            if number == N_SCALES - 1:
                scales.append(_without_guide(local, self.n_planes))
            else:
                scales.append(FoldedGuidedUNet(local.unet, local.shot, local.read))
            metadata = tell_quarter(metadata)
        return FoldedPyramidUNet(scales).eval()


def guide_of(coarse: Any, x: Any, view: LocalView) -> Any:
    """Return what a coarse result differs from the local level, in units of noise."""
    return (coarse - x) / view.sigma + view.detail


class FoldedGuidedUNet(FoldedLocalUNet):
    """A scale that is shown the next coarser one's result."""

    n_maps = 3

    def __init__(self, unet: FoldedUNet, shot: float, read: float) -> None:
        super().__init__(unet, shot, read)
        self.multiple = max(self.multiple, 2)  # each coarse pixel has its 2x2

    def run(self, operations: Operations, noisy: Any, coarse: Any = None) -> Any:
        """Walk through the transform, the U-Net and the way back."""
        view = look(operations, noisy, self.shot, self.read)
        guide = guide_of(operations.double(coarse), noisy, view)
        features = operations.join(view.features, guide * DETAIL_SCALE)
        share, rest, taken = operations.split(self.unet.body(operations, features), 3)
        removed = (share * view.detail + rest - taken * guide) * view.sigma
        return operations.subtract(noisy, removed)

    def on_cpu(
        self, dtype: torch.dtype | None, memory: MapMemory | None = None
    ) -> StripGuidedUNet:
        """Return what computes the same strip by strip."""
        return StripGuidedUNet(self.unet, dtype, self.shot, self.read, memory)

    def memory(self, dtype: torch.dtype | None) -> tuple[float, float]:
        """Return the bytes that a packed pixel of a tile takes, and those besides."""
        by_pixel, fixed = super().memory(dtype)
        return by_pixel + 5 * self.n_planes, fixed  # the guide, and its quarter


class FoldedPyramidUNet(FoldedNetwork):
    """Folded networks of an image, finest scale first. Made by `PyramidUNet.fold`."""

    def __init__(self, scales: list[FoldedLocalUNet]) -> None:
        super().__init__()
        self.all_scales = nn.ModuleList(scales)
        self.n_planes = scales[0].n_planes
        self.multiple = scales[0].multiple * 2 ** (len(scales) - 1)
        reach = _reach(len(scales), len(scales[0].unet.encoder) // 2, inside=0)
        self.halo = -(-reach // self.multiple) * self.multiple

    def scales(self) -> tuple[FoldedNetwork, ...]:
        """Return the networks of all scales, finest first."""
        return tuple(self.all_scales)

    def run(self, operations: Operations, noisy: Any) -> Any:
        """Walk through all scales, the coarsest first."""
        maps = [noisy]
        for _ in self.all_scales[1:]:
            maps.append(operations.halve(maps[-1]))
        result = self.all_scales[-1].run(operations, maps.pop())
        for scale in reversed(self.all_scales[:-1]):
            result = scale.run(operations, maps.pop(), result)
        return result

    def memory(self, dtype: torch.dtype | None) -> tuple[float, float]:
        """Return the bytes that a packed pixel of a tile takes, and those besides."""
        by_pixel, fixed = self.all_scales[0].memory(dtype)
        return 1.5 * by_pixel, len(self.all_scales) * fixed


def _without_guide(local: FoldedLocalUNet, n_planes: int) -> FoldedLocalUNet:
    """Cut a guide of zeros and its share out of the coarsest network."""
    unet = local.unet
    first, head = unet.encoder[0], unet.head
    n_kept = 2 * n_planes
    first.weight = nn.Parameter(first.weight[:, :n_kept], requires_grad=False)
    head.weight = nn.Parameter(head.weight[:n_kept], requires_grad=False)
    head.bias = nn.Parameter(head.bias[:n_kept], requires_grad=False)
    first.in_channels = head.out_channels = n_kept
    return local


def _reach(n_scales: int, n_levels: int, inside: int) -> int:
    """Return how far beyond a tile all scales look, as `unet_reach` does for one."""
    features = unet_reach(n_levels, inside)
    if n_scales == 1:
        return features + REACH
    # The second pixel of a coarse one reads the coarse pixel beyond too: bilinear.
    coarse = _reach(n_scales - 1, n_levels, features // 2 + 1)
    return max(features + REACH, 2 * coarse)


def _extended(x: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column up to sides that are multiples."""
    below, right = (-side % multiple for side in x.shape[2:])
    return F.pad(x, (0, right, 0, below), mode="replicate") if below or right else x
