"""A network of any transform on one raw image, with the package's own safety.

As `ADLDenoiser.predict` does: the local means of a correction are taken out of it, the
safeguard weighs it, and no pixel changes by more than noise can.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.start.batches import CONDITIONING
from skadl.network.base import N_PLANES
from skadl.network.folded import exact_halo
from skadl.network.local_unet import LocalUNet
from skadl.network.unet import ModulatedUNet
from skadl.noise.noise_level import NoiseLevel, expected_noise
from skadl.noise.sensors import SensorInfo
from skadl.prediction.clipping import ClipLevels
from skadl.prediction.correction import correct
from skadl.prediction.frame import FrameNetwork as PackageNetwork
from skadl.prediction.normalised_mosaic import NormalisedMosaic
from skadl.prediction.tiling import Tiling, choose_tiling
from skadl.raw.image import RawImage
from skadl.raw.mosaic import pack_mosaic

MEMORY = 1e9  # bytes for a tile
Denoiser = Callable[[RawImage, SensorInfo], np.ndarray]
"""Turns an image and facts of its sensor into normalised planes (4, h, w)."""


class FrameNetwork:
    """What `skadl.prediction.frame.predict_residual` needs of a network, unfolded."""

    bytes_per_pixel = 1000.0
    device = torch.device("cpu")
    coarser = None

    def __init__(
        self, denoise: Callable[[Tensor], Tensor], multiple: int, halo: int
    ) -> None:
        self.denoise, self.multiple, self.halo = denoise, multiple, halo

    def tile(self, shape: tuple[int, ...], memory: float) -> Tiling:
        """Cut planes (4, h, w) into tiles that fit into memory."""
        pixels = memory / self.bytes_per_pixel
        return choose_tiling(shape[1:], self.halo, self.multiple, pixels)

    def tiles(self, n_tiles: int, shape: tuple[int, int]) -> np.ndarray:
        """Return room for tiles (n, h, w, 4), float32."""
        return np.empty((n_tiles, *shape, N_PLANES), np.float32)

    @torch.no_grad()
    def removed(self, tiles: np.ndarray, core: Any = None) -> np.ndarray:
        """Return noisy minus denoised of tiles (n, h, w, 4)."""
        x = torch.from_numpy(tiles).permute(0, 3, 1, 2)  # channels_last
        y = x - self.denoise(x)
        return y.permute(0, 2, 3, 1).contiguous().numpy()


def network_denoiser(
    network: ModulatedUNet, safeguard: bool = True, told: float = 1.0
) -> Denoiser:
    """Return the denoiser that a network makes, as the package would run it.

    The variance it is told is `told` times that of the sensor's figures.
    """
    planes = network_planes(network, safeguard)

    def denoise(image: RawImage, info: SensorInfo) -> np.ndarray:
        noise = expected_noise(info, image.iso, image.ratio)
        noise = NoiseLevel(told * noise.shot, told * noise.read)
        offset = info.offset_at(image.iso) * (image.ratio / info.span)
        return planes(image, noise, offset)

    return denoise


def network_planes(
    network: ModulatedUNet, safeguard: bool = True
) -> Callable[..., np.ndarray]:
    """Return a function of image, noise level and offset to denoised planes."""
    halo = exact_halo(len(network.encoder))

    def denoise(
        image: RawImage, noise: NoiseLevel, offset: np.ndarray | float = 0.0
    ) -> np.ndarray:
        def network_for(noise: NoiseLevel) -> FrameNetwork | PackageNetwork:
            vector = CONDITIONING.vector("", image.iso, image.ratio, noise)
            if isinstance(network, LocalUNet):
                return PackageNetwork(network.fold(vector), None)
            metadata = torch.from_numpy(vector)[None]  # (1, 3)
            return FrameNetwork(lambda x: network(x, metadata), network.multiple, halo)

        zeros = np.zeros(4)
        mosaic = NormalisedMosaic(
            image.mosaic,
            image.cfa,
            image.black_planes,
            image.ratio / image.span,
            zeros,
        )
        correction = correct(
            network_for,
            replace(mosaic, offset=zeros + offset),
            noise,
            clip_levels=ClipLevels.of(image),
            safeguard=safeguard,
            self_ensemble=1,
            memory=MEMORY,
        )
        rows = slice(0, mosaic.shape[1])
        return pack_mosaic(correction.denoised(rows), image.cfa)

    return denoise


def leave_noisy(image: RawImage, info: SensorInfo) -> np.ndarray:
    """Return the image as it is, for comparison."""
    return image.normalised()
