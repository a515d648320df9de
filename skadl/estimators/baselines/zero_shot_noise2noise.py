"""Two halves of one noisy image teach a small network each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skadl.estimators.baselines.per_image import PerImageNetwork
from skadl.support.seeding import seeded

N_CHANNELS = 48
SLOPE = 0.2
DECAY_AT, DECAY = 0.75, 0.5  # of the steps; of the learning rate


class ZeroShotNoise2Noise(PerImageNetwork):
    """Train a tiny network on one image alone: its two halves predict each other.

    Needs no `fit`, no clean frame and no other frame; the noise is measured in `fit` or
    found in the image. It assumes that noise is independent from pixel to pixel, so row
    noise stays. About half an hour a megapixel of mosaic on one processor core.

    Parameters
    ----------
    n_iter : int, default=2000
        Steps on an image (or tile).
    learning_rate : float, default=1e-3
        Of Adam; halved after three quarters of the steps.
    tile_size : int, default=512
        Square root of the most packed pixels that are trained on together; a larger
        image is cut into overlapping tiles, each with a network of its own.
    device : str or torch.device, default="auto"
    random_state : int, RandomState or None, default=None
    verbose : int, default=0
        1 shows a progress bar for each image.

    Attributes
    ----------
    sensors_ : SensorTable
        Every sensor seen in `fit`, with its noise.

    Notes
    -----
    Mansour and Heckel, "Zero-Shot Noise2Noise: Efficient Image Denoising without any
    Data" (CVPR 2023), sections 3 and 4. Taken from there: both down-samplers, which
    average the two diagonals of each 2x2; the network of two 3x3 convolutions of 48
    channels and a 1x1, which predicts the noise; the symmetric residual loss plus the
    consistency loss, of equal weight; Adam at 1e-3, 2000 steps, the rate halved at step
    1500. Different: images are the four planes of a raw frame under the generalised
    Anscombe transform, so that dark places count as much as bright ones.
    """

    def __init__(
        self,
        *,
        n_iter: int = 2000,
        learning_rate: float = 1e-3,
        tile_size: int = 512,
        device: str | torch.device = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_iter = n_iter
        self.learning_rate = learning_rate
        self.tile_size = tile_size
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def train_on(
        self, planes: Tensor, sigma: float, seed: int, progress: Callable
    ) -> Tensor:
        """Train on planes (1, n_planes, h, w) and return them denoised.

        Parameters
        ----------
        planes : Tensor of shape (1, n_planes, h, w), float32
        sigma : float
            Not asked.
        seed : int
        progress : callable

        Returns
        -------
        Tensor of shape (1, n_planes, h, w)
        """
        network = seeded(seed, lambda: _build(planes.shape[1])).to(planes.device)
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        decay_at = max(1, round(DECAY_AT * self.n_iter))
        decay = torch.optim.lr_scheduler.StepLR(optimizer, decay_at, DECAY)
        # Sides of an odd number of pixels have a last one without a partner.
        height, width = (side // 2 * 2 for side in planes.shape[2:])
        even = planes[..., :height, :width]
        for _ in progress(range(self.n_iter)):
            optimizer.zero_grad(set_to_none=True)
            zero_shot_loss(network, even).backward()
            optimizer.step()
            decay.step()
        with torch.no_grad():
            return planes - network(planes)


def downsample(planes: Tensor) -> tuple[Tensor, Tensor]:
    """Average the two diagonals of each 2x2: (B, C, 2h, 2w) -> (B, C, h, w) twice."""
    first = (planes[..., ::2, 1::2] + planes[..., 1::2, ::2]) / 2
    second = (planes[..., ::2, ::2] + planes[..., 1::2, 1::2]) / 2
    return first, second


def zero_shot_loss(network: nn.Module, planes: Tensor) -> Tensor:
    """Residual and consistency loss (Eq. 3 and 4) of planes with even sides."""
    first, second = downsample(planes)
    of_first, of_second = first - network(first), second - network(second)
    residual = F.mse_loss(of_first, second) + F.mse_loss(of_second, first)
    down_first, down_second = downsample(planes - network(planes))
    consistency = F.mse_loss(of_first, down_first) + F.mse_loss(of_second, down_second)
    return (residual + consistency) / 2


def _build(n_planes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_planes, N_CHANNELS, 3, padding=1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(N_CHANNELS, N_CHANNELS, 3, padding=1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(N_CHANNELS, n_planes, 1),
    )
