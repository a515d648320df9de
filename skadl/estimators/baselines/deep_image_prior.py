"""An untrained network drawn towards one image, stopped before it has the noise."""

from __future__ import annotations

import copy
import math
import numbers
from collections.abc import Callable

import numpy as np
import torch
from sklearn.utils._param_validation import Interval
from torch import Tensor, nn
from torch.nn import functional as F

from skadl.estimators.baselines.per_image import PerImageNetwork
from skadl.support.seeding import seeded

N_INPUTS = 32  # channels of the noise that the network turns into the image
INPUT_SCALE, JITTER = 0.1, 1 / 30  # of that noise, and of what is added in each step
SMOOTHING = 0.99  # of the running mean of outputs
SLOPE = 0.2
LOOK_EVERY, FALL = 100, 5.0  # steps; dB by which the fit may fall between two looks
MARGIN = 0.1  # of the output's range from 0 to 1, at both ends


class DeepImagePrior(PerImageNetwork):
    """Fit an untrained network to one image; it learns the picture before the noise.

    Needs no `fit`, no clean frame and no other frame; the noise, which says when to
    stop, is measured in `fit` or found in the image. Slow: at its full size about an
    hour a megapixel of mosaic on one processor core, a minute on a GPU.

    Parameters
    ----------
    n_iter : int, default=3000
        Most steps on an image (or tile).
    early_stopping : bool, default=True
        Stop where what the network leaves of the image is as small as its noise. False
        takes all steps, as the paper does.
    learning_rate : float, default=0.01
        Of Adam.
    channels : int, default=128
        Of each scale.
    n_scales : int, default=5
        Resolutions below the full one.
    skip_channels : int, default=4
        That cross from each scale of the encoder to the decoder.
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
    Ulyanov, Vedaldi and Lempitsky, "Deep Image Prior" (CVPR 2018), section 3 and the
    settings for denoising of its supplement. Taken from there: the skip network of five
    scales with 128 channels, 4 in each skip, reflection padding, batch normalisation,
    bilinear upsampling and a sigmoid; an input of 32 channels of uniform noise up to
    0.1, jittered by 1/30 in each step; Adam at 0.01 on the squared error; the running
    mean of outputs with 0.99, which is the result; the way back to the last good
    weights where the fit falls by 5 dB. Different: images are the four planes of a raw
    frame under the generalised Anscombe transform, brought into [0.1, 0.9]; the running
    mean is shorter in the first thousand steps; and by default steps stop where its
    mean squared error reaches the variance of the noise, instead of after a number of
    steps that suits a picture.
    """

    _parameter_constraints: dict = {
        **PerImageNetwork._parameter_constraints,
        "early_stopping": ["boolean"],
        "channels": [Interval(numbers.Integral, 1, None, closed="left")],
        "n_scales": [Interval(numbers.Integral, 1, 6, closed="both")],
        "skip_channels": [Interval(numbers.Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        n_iter: int = 3000,
        early_stopping: bool = True,
        learning_rate: float = 0.01,
        channels: int = 128,
        n_scales: int = 5,
        skip_channels: int = 4,
        tile_size: int = 512,
        device: str | torch.device = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_iter = n_iter
        self.early_stopping = early_stopping
        self.learning_rate = learning_rate
        self.channels = channels
        self.n_scales = n_scales
        self.skip_channels = skip_channels
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
            Standard deviation of their noise.
        seed : int
        progress : callable

        Returns
        -------
        Tensor of shape (1, n_planes, h, w)
        """
        room = 1 - 2 * MARGIN  # of what a sigmoid can give
        sigma = room * sigma
        height, width = planes.shape[2:]
        target = _padded(planes * room + MARGIN, 2**self.n_scales)
        shape = planes.shape[1], self.channels, self.n_scales, self.skip_channels
        network = seeded(seed, lambda: SkipNetwork(*shape)).to(planes.device)
        # Drawn on the CPU: one seed gives one result on every device.
        generator = torch.Generator().manual_seed(seed)
        sides = target.shape[2:]
        code = torch.rand(1, N_INPUTS, *sides, generator=generator) * INPUT_SCALE
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        mean, good, best = None, copy.deepcopy(network.state_dict()), math.inf
        for step in progress(range(self.n_iter)):
            jitter = JITTER * torch.randn(code.shape, generator=generator)
            output = network((code + jitter).to(planes.device))
            loss = F.mse_loss(output, target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            output = output.detach()
            # Of few steps the first are not let in for long.
            kept = min(SMOOTHING, step / (step + 10))
            mean = output if mean is None else torch.lerp(output, mean, kept)
            if self.early_stopping and F.mse_loss(mean, target) <= sigma**2:
                break
            if step % LOOK_EVERY == 0:
                # Adam sometimes loses all that it has; not to end there, go back.
                if loss.item() > best * 10 ** (FALL / 10):
                    network.load_state_dict(good)
                else:
                    good, best = copy.deepcopy(network.state_dict()), loss.item()
        return (mean[..., :height, :width] - MARGIN) / room


class SkipNetwork(nn.Module):
    """An hourglass in which a few channels of each scale cross to the other side."""

    def __init__(
        self, n_planes: int, channels: int, n_scales: int, skip_channels: int
    ) -> None:
        super().__init__()
        before = [N_INPUTS] + [channels] * (n_scales - 1)
        self.skips = nn.ModuleList(_layer(n, skip_channels, 1) for n in before)
        self.downs = nn.ModuleList(
            nn.Sequential(_layer(n, channels, 3, 2), _layer(channels, channels, 3))
            for n in before
        )
        self.ups = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(skip_channels + channels),
                _layer(skip_channels + channels, channels, 3),
                _layer(channels, channels, 1),
            )
            for _ in before
        )
        self.head = nn.Conv2d(channels, n_planes, 1)

    def forward(self, code: Tensor) -> Tensor:
        """Turn noise (1, 32, h, w) into planes (1, n_planes, h, w) between 0 and 1."""
        crossing = []
        y = code
        for skip, down in zip(self.skips, self.downs, strict=True):
            crossing.append(skip(y))
            y = down(y)  # (1, C, h, w) -> (1, C, h/2, w/2)
        for up in reversed(self.ups):
            y = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
            y = up(torch.cat([crossing.pop(), y], dim=1))
        return self.head(y).sigmoid()


def _layer(before: int, after: int, side: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(
            before, after, side, stride, padding=side // 2, padding_mode="reflect"
        ),
        nn.BatchNorm2d(after),
        nn.LeakyReLU(SLOPE, inplace=True),
    )


def _padded(planes: Tensor, multiple: int) -> Tensor:
    """Mirror planes up to whole multiples; two at least, which reflection needs."""
    height, width = planes.shape[2:]
    indices = [
        np.pad(
            np.arange(side),
            (0, max(-(-side // multiple), 2) * multiple - side),
            mode="symmetric",
        )
        for side in (height, width)
    ]
    rows, columns = (torch.from_numpy(index).to(planes.device) for index in indices)
    return planes.index_select(2, rows).index_select(3, columns)
