"""What the rest of skadl asks of a network, and nothing of its inside.

A new network is a file beside this with a `ModulatedNetwork` and what its `fold` makes,
a `FoldedNetwork`, and a line in `skadl.network.choice`. Prediction in tiles, the model
file and the ONNX export then work for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skadl.network.cpu_operations import asinh, mean_of_neighbours

N_PLANES = 4  # of a Bayer mosaic: R, Gr, Gb, B
SLOPE = 0.2  # of the leaky ReLU, as in Chen et al.


class ModulatedNetwork(nn.Module, ABC):
    """Denoises packed planes, with a metadata vector of what is known of them.

    Attributes
    ----------
    multiple : int
        Sides of its input, in packed pixels, must be multiples of it.
    SIZES : mapping of str to int
        Its constructor's arguments, `n_metadata` among them, and the largest of each
        that a model file may ask for.
    n_planes : int
        Planes that it is shown and gives.
    needs_noise : bool
        Whether it reads the noise out of the last entries of the metadata, so that
        the `Conditioning` must be of a kind that has it.
    """

    SIZES: ClassVar[Mapping[str, int]]
    needs_noise: ClassVar[bool] = False
    n_planes: int = N_PLANES
    multiple: int

    @abstractmethod
    def forward(self, x: Tensor, metadata: Tensor) -> Tensor:
        """Denoise planes (B, 4, h, w), told metadata (B, n_metadata)."""

    @abstractmethod
    def fold(self, metadata: Tensor | np.ndarray) -> FoldedNetwork:
        """Return the network of one image, whose metadata (n_metadata,) are fixed."""

    @abstractmethod
    def describe(self) -> dict[str, int]:
        """Return the arguments of `SIZES` that build a network of this shape."""


class FoldedNetwork(nn.Module, ABC):
    """The network of one image: no metadata, no gradients.

    Attributes
    ----------
    multiple : int
        Sides must be multiples of it.
    halo : int
        Packed pixels around a tile that its result depends on.
    n_planes : int
        Planes that it is shown and gives.
    """

    multiple: int
    halo: int
    n_planes: int = N_PLANES

    @abstractmethod
    def run(self, operations: Operations, noisy: Any) -> Any:
        """Walk through the network, whatever a map is: a tensor, a name in a graph.

        A network that is one of several `scales` takes the coarse result as well.
        """

    def forward(self, x: Tensor, *coarse: Tensor) -> Tensor:
        """Denoise planes (B, 4, h, w), in their dtype whatever the precision inside."""
        return self.run(TensorOperations, x, *coarse)

    def scales(self) -> tuple[FoldedNetwork, ...]:
        """Return the networks of all scales, finest first; most have one.

        Each but the last is shown, beside its image, what the next one makes of the
        means of 2x2 pixels of every plane: (B, 4, h/2, w/2). Halo and multiple of
        each are its own.
        """
        return (self,)

    def body_unet(self) -> FoldedNetwork | None:
        """Return the U-Net that does most of the work, for other engines than torch."""
        return None

    @abstractmethod
    def memory(self, dtype: torch.dtype | None) -> tuple[float, float]:
        """Return the bytes that a packed pixel of a tile takes, and those besides."""

    def on_cpu(
        self, dtype: torch.dtype | None, memory: MapMemory | None = None
    ) -> CpuNetwork:
        """Return what computes the same on a CPU; one's own may cost less.

        `memory` is for its maps; networks that do not run at the same time share it.
        """
        return _PlainCpuNetwork(self, dtype)


MapMemory = dict[str, np.ndarray]  # by what a map is for, of the largest one so far
Rectangle = tuple[slice, slice]


class CpuNetwork(Protocol):
    """A folded network on a CPU."""

    def removed(
        self, x: Tensor, *coarse: Tensor, core: Rectangle | None = None
    ) -> Tensor:
        """Return noisy minus denoised of planes (1, 4, h, w), float32.

        Outside a `core` there may be anything.
        """


class _PlainCpuNetwork:
    """A folded network layer by layer, each map in memory of its own."""

    def __init__(self, network: FoldedNetwork, dtype: torch.dtype | None) -> None:
        self.network, self.dtype = network, dtype

    @torch.no_grad()
    def removed(
        self, x: Tensor, *coarse: Tensor, core: Rectangle | None = None
    ) -> Tensor:
        with torch.autocast("cpu", self.dtype, enabled=self.dtype is not None):
            return x - self.network(x, *coarse)


class Operations(Protocol):
    """What a folded network is made of; see `FoldedNetwork.run`.

    Besides, + - * / take a map on their left, and one of its shape or a number on their
    right. A convolution keeps the sides of a map: its padding is half its kernel.
    """

    def convolve(self, y: Any, conv: nn.Conv2d, rectified: bool = True) -> Any:
        """Convolve, and apply the leaky ReLU of `SLOPE`."""

    def pool(self, y: Any) -> Any:
        """Take the largest of each 2x2."""

    def upsample(self, y: Any, up: nn.ConvTranspose2d) -> Any:
        """Double both sides by a transposed convolution."""

    def join(self, y: Any, skip: Any) -> Any:
        """Put two maps' channels one after the other."""

    def split(self, y: Any, n_parts: int) -> tuple[Any, ...]:
        """Return the channels in parts of equal number."""

    def halve(self, y: Any) -> Any:
        """Take the mean of each 2x2."""

    def double(self, y: Any) -> Any:
        """Double both sides by bilinear interpolation."""

    def average(self, y: Any, reach: int) -> Any:
        """Average over all pixels of the map up to `reach` away, in both directions."""

    def rectify(self, y: Any) -> Any:
        """Return the larger of each value and 0."""

    def root(self, y: Any) -> Any:
        """Return the square root."""

    def asinh(self, y: Any) -> Any:
        """Return the inverse hyperbolic sine."""

    def subtract(self, noisy: Any, noise: Any) -> Any:
        """Return the denoised planes."""


class TensorOperations:
    """The operations on tensors (B, C, h, w)."""

    @staticmethod
    def convolve(y: Tensor, conv: nn.Conv2d, rectified: bool = True) -> Tensor:
        """(B, before, h, w) -> (B, C, h, w)."""
        y = conv(y)
        return F.leaky_relu(y, SLOPE, inplace=True) if rectified else y

    @staticmethod
    def pool(y: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h/2, w/2)."""
        return F.max_pool2d(y, 2)

    @staticmethod
    def upsample(y: Tensor, up: nn.ConvTranspose2d) -> Tensor:
        """(B, 2C, h, w) -> (B, C, 2h, 2w)."""
        return up(y)

    @staticmethod
    def join(y: Tensor, skip: Tensor) -> Tensor:
        """(B, C, h, w) twice -> (B, 2C, h, w)."""
        return torch.cat([y, skip], dim=1)

    @staticmethod
    def split(y: Tensor, n_parts: int) -> tuple[Tensor, ...]:
        """(B, nC, h, w) -> (B, C, h, w) n times."""
        return y.chunk(n_parts, dim=1)

    @staticmethod
    def halve(y: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h/2, w/2)."""
        return F.avg_pool2d(y, 2)

    @staticmethod
    def double(y: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, 2h, 2w)."""
        return F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)

    @staticmethod
    def average(y: Tensor, reach: int) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w); fewer pixels count at a border."""
        if y.device.type == "cpu":
            return mean_of_neighbours(y, reach)
        return F.avg_pool2d(
            y, 2 * reach + 1, stride=1, padding=reach, count_include_pad=False
        )

    @staticmethod
    def rectify(y: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        return y.clamp(min=0)

    @staticmethod
    def root(y: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        return y.sqrt()

    @staticmethod
    def asinh(y: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        return asinh(y) if y.device.type == "cpu" else y.asinh()

    @staticmethod
    def subtract(noisy: Tensor, noise: Tensor) -> Tensor:
        """(B, 4, h, w) twice -> (B, 4, h, w)."""
        return noisy - noise.to(noisy.dtype)
