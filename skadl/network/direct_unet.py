"""The modulated U-Net whose result is the image itself, not the noise to be removed.

Self-supervised training needs it. A network that removes noise from its input begins as
the identity, and where it never sees the pixel that it is judged by, nothing moves it
away from there on the pixels that it does see.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skadl.network.base import N_PLANES, FoldedNetwork, MapMemory, Operations
from skadl.network.cpu import StripUNet
from skadl.network.folded import FoldedUNet
from skadl.network.unet import ModulatedUNet


class DirectUNet(ModulatedUNet):
    """Predict the clean planes.

    Parameters
    ----------
    n_metadata : int
        Length of the metadata vector of an image.
    base_channels : int
        Channels at full packed resolution; they double at each level.
    n_levels : int
        Resolutions; sides must be multiples of ``2 ** (n_levels - 1)``.
    mlp_width : int
        Hidden width of the modulation MLPs.
    n_planes : int, default=4
        Planes that it is shown and gives.

    Notes
    -----
    Unlike `ModulatedUNet`, an untrained network returns nothing of use.
    """

    def __init__(
        self,
        n_metadata: int,
        base_channels: int,
        n_levels: int,
        mlp_width: int,
        n_planes: int = N_PLANES,
    ) -> None:
        super().__init__(n_metadata, base_channels, n_levels, mlp_width, n_planes)
        nn.init.kaiming_normal_(self.head.weight, nonlinearity="linear")

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
        return self.body(x, metadata).to(x.dtype)

    @torch.no_grad()
    def fold(self, metadata: Tensor | np.ndarray) -> FoldedDirectUNet:
        """Return the network of one image, in channels_last.

        Parameters
        ----------
        metadata : Tensor or ndarray of shape (n_metadata,)

        Returns
        -------
        FoldedDirectUNet
            Equal to ``network(x, metadata)`` but for rounding.
        """
        return FoldedDirectUNet(super().fold(metadata)).eval()


class FoldedDirectUNet(FoldedNetwork):
    """A folded U-Net that gives the image. Made by `DirectUNet.fold`."""

    def __init__(self, unet: FoldedUNet) -> None:
        super().__init__()
        self.unet = unet
        self.multiple, self.halo = unet.multiple, unet.halo
        self.n_planes = unet.n_planes

    def run(self, operations: Operations, noisy: Any) -> Any:
        """Walk through the U-Net; what it gives is the image."""
        given = self.unet.body(operations, noisy)
        return operations.subtract(noisy, noisy - given)

    def on_cpu(
        self, dtype: torch.dtype | None, memory: MapMemory | None = None
    ) -> StripDirectUNet:
        """Return what computes the same strip by strip."""
        return StripDirectUNet(*self.unet.parts(), dtype, memory)

    def body_unet(self) -> FoldedUNet:
        """Return the U-Net, for other engines than torch."""
        return self.unet

    def memory(self, dtype: torch.dtype | None) -> tuple[float, float]:
        """Return the bytes that a packed pixel of a tile takes, and those besides."""
        return self.unet.memory(dtype)


class StripDirectUNet(StripUNet):
    """Compute what a folded `DirectUNet` would remove from an image, on the CPU."""

    def _remove(
        self, x: Tensor, given: Tensor, result: Tensor, top: int, left: int
    ) -> None:
        torch.sub(x, given.float(), out=result)
