"""The modulated U-Net behind the transform into local level and detail.

The U-Net is shown the detail and the level of each plane in units of the noise, see
`skadl.network.local_transform`. It gives a share of the detail and a rest, both to be
removed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from skadl.network.base import (
    N_PLANES,
    FoldedNetwork,
    MapMemory,
    Operations,
    TensorOperations,
)
from skadl.network.conditioning import decode_noise
from skadl.network.folded import FoldedUNet, exact_halo
from skadl.network.local_cpu import StripLocalUNet
from skadl.network.local_transform import REACH, look
from skadl.network.unet import ModulatedUNet

N_NOISE_CODES = 3  # light factor, shot and read part, at the end of the metadata


class LocalUNet(ModulatedUNet):
    """Remove noise from local detail, in units of the noise that the metadata tell.

    Parameters
    ----------
    n_metadata : int
        Length of the metadata vector of an image, which ends with the noise:
        `Conditioning` of kind "noise" or "sensor_iso_noise". ValueError below 3.
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
    As in `ModulatedUNet`, an untrained network returns its input. The transform is
    computed in the dtype of the planes, whatever the precision of the convolutions.
    """

    needs_noise = True
    n_maps = 2

    def __init__(
        self,
        n_metadata: int,
        base_channels: int,
        n_levels: int,
        mlp_width: int,
        n_planes: int = N_PLANES,
    ) -> None:
        if n_metadata < N_NOISE_CODES:
            raise ValueError(
                "LocalUNet reads the noise out of the last entries of the metadata: "
                f"n_metadata is {n_metadata}, it must be {N_NOISE_CODES} or more. Use "
                "conditioning='noise' or 'sensor_iso_noise'."
            )
        super().__init__(n_metadata, base_channels, n_levels, mlp_width, n_planes)

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
        x = x.contiguous()  # the transform goes plane by plane, the U-Net by pixels
        # (B,) -> (B, 1, 1, 1)
        shot, read = (part[:, None, None, None] for part in decode_noise(metadata))
        view = look(TensorOperations, x, shot, read)
        features = view.features.contiguous(memory_format=torch.channels_last)
        share, rest = by_planes(self.body(features, metadata), x).chunk(2, dim=1)
        return x - view.sigma * (share * view.detail + rest)

    @torch.no_grad()
    def fold(self, metadata: Tensor | np.ndarray) -> FoldedLocalUNet:
        """Return the network of one image, in channels_last.

        Parameters
        ----------
        metadata : Tensor or ndarray of shape (n_metadata,)
            Of the image, from `Conditioning.vector`.

        Returns
        -------
        FoldedLocalUNet
            On the device of this network, which stays as it is, without gradients.
            Equal to ``network(x, metadata)`` but for rounding.
        """
        codes = torch.as_tensor(metadata, device="cpu").double()
        shot, read = (part.item() for part in decode_noise(codes))
        return FoldedLocalUNet(super().fold(metadata), shot, read).eval()


def by_planes(given: Tensor, x: Tensor) -> Tensor:
    """Return what a U-Net gave in the dtype of the planes, channel by channel."""
    return given.to(x.dtype, memory_format=torch.contiguous_format)


class FoldedLocalUNet(FoldedNetwork):
    """A folded U-Net, and the noise of its image. Made by `LocalUNet.fold`."""

    n_maps = 2

    def __init__(self, unet: FoldedUNet, shot: float, read: float) -> None:
        super().__init__()
        self.unet, self.shot, self.read = unet, shot, read
        self.multiple = unet.multiple
        self.halo = exact_halo(len(unet.encoder) // 2, REACH)

    @property
    def n_planes(self) -> int:
        """Planes that it is shown and gives."""
        return self.unet.head.out_channels // self.n_maps

    def run(self, operations: Operations, noisy: Any) -> Any:
        """Walk through the transform, the U-Net and the way back."""
        features, detail, sigma = look(operations, noisy, self.shot, self.read)
        share, rest = operations.split(self.unet.body(operations, features), 2)
        return operations.subtract(noisy, (share * detail + rest) * sigma)

    def on_cpu(
        self, dtype: torch.dtype | None, memory: MapMemory | None = None
    ) -> StripLocalUNet:
        """Return what computes the same strip by strip."""
        return StripLocalUNet(self.unet, dtype, self.shot, self.read, memory)

    def body_unet(self) -> FoldedUNet:
        """Return the U-Net, for other engines than torch."""
        return self.unet

    def memory(self, dtype: torch.dtype | None) -> tuple[float, float]:
        """Return the bytes that a packed pixel of a tile takes, and those besides."""
        by_pixel, fixed = self.unet.memory(dtype)
        # In strips nothing is kept of the transform. In one go features, detail and
        # sigma are, in float32, while the U-Net runs.
        is_in_strips = self.unet.head.weight.device.type == "cpu"
        return by_pixel + (0 if is_in_strips else 4 * 4 * self.n_planes), fixed
