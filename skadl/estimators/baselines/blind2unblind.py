"""Self-supervised training on noisy frames: pixels are predicted without being seen."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Self

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn
from torch.nn import functional as F

from skadl.adaptation.patches import TrainingPair, cut_patches
from skadl.adaptation.report.acceptance import TrainingStage
from skadl.adaptation.report.decisions import DecisionRecorder
from skadl.adaptation.report.report import DataSelectionReport
from skadl.estimators.base import NetworkDenoiser
from skadl.estimators.baselines.base import POSITIVE, POSITIVE_COUNT, to_training_pairs
from skadl.estimators.baselines.frames import (
    check_frames,
    noisy_frame,
    sensors_of_frames,
)
from skadl.estimators.training_pairs import symmetry_of
from skadl.estimators.validation import check_mosaics
from skadl.network.choice import build_network
from skadl.network.conditioning import Conditioning
from skadl.noise.sensors import SensorTable
from skadl.raw.image import RawImage
from skadl.raw.pair import RawPair
from skadl.support.device import PRECISIONS, resolve_device, resolve_precision
from skadl.support.progress import Progress

MASK_WIDTH = 4  # of the cells of which each mask hides one pixel: 16 masks
# Its output is the image. One that removes noise from its input would stay the identity
# on all pixels that it sees.
NETWORK = "direct_unet"
N_METADATA = 1  # a single 0: the network is told nothing
# Weight of the visible branch: at first, and at the end of a rise that begins after a
# share of the steps.
FIRST_WEIGHT, LAST_WEIGHT, RISES_AFTER = 2.0, 20.0, 0.4
DECAY_EVERY, DECAY = 0.2, 0.5  # of the steps; of the learning rate


class Blind2Unblind(NetworkDenoiser):
    """Train on noisy frames of the target's sensor alone; clean ones are not looked at.

    Each pixel is predicted from those around it, without itself, and a second loss lets
    the network see it again. It assumes that noise is independent from pixel to pixel
    and has a mean of zero: frames whose files end at black break that, and row noise
    stays. Approximate in the network: a U-Net of this package, not the authors'.

    Parameters
    ----------
    n_iter : int, default=2000
        Steps. Each takes as long as `batch_size` times 17 patches.
    batch_size : int, default=1
        Patches in a step, each under all 16 masks.
    patch_size : int, default=64
        Side of a patch in packed pixels; made smaller where a frame is smaller.
    learning_rate : float, default=1e-3
        Of Adam; halved after each fifth of the steps.
    weight_decay : float, default=1e-8
    base_channels, n_levels : int, default=16 and 4
        Width and depth of the network, a :class:`skadl.network.direct_unet.DirectUNet`
        that gets nothing but the image.
    safeguard : bool, default=False
        Whether `predict` holds back corrections that would do an image more harm than
        good; see `skadl.ADLDenoiser`.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
    device : str or torch.device, default="auto"
    random_state : int, RandomState or None, default=None
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    module_ : ModulatedNetwork
        The trained network.
    conditioning_ : Conditioning
        That it gets nothing but the image.
    sensors_ : SensorTable
        Every sensor seen in `fit`, with its noise.
    device_ : torch.device
        Where the network is.
    n_iter_ : int
        Steps done.
    selection_report_ : DataSelectionReport
        The stage, without a PSNR: there is no clean frame to measure it on.

    Notes
    -----
    Wang, Liu, Li and Han, "Blind2Unblind: Self-Supervised Image Denoising with Visible
    Blind Spots" (CVPR 2022), sections 3 and 4. Taken from there: the 16 masks, each of
    which hides one pixel of every 4x4 cell behind the weighted mean of its eight
    neighbours (1 beside it, 1/2 across); the output gathered from all masks; the
    re-visible loss, and the regularisation of weight 1 beside it; the weight of the
    visible branch of 2, which rises to 20; Adam with a weight decay of 1e-8; and the
    network's output on the frame as it is for the result. Different, besides the
    network: steps of one patch of 64 at a rate of 1e-3, where the paper has 100 epochs
    of four patches of 256 at 1e-4, halved every 20; the weight rises linearly after 40
    % of the steps; and the symmetries of the mosaic are trained on.
    """

    _parameter_constraints: dict = {
        "n_iter": POSITIVE_COUNT,
        "batch_size": POSITIVE_COUNT,
        "patch_size": [Interval(numbers.Integral, 8, None, closed="left")],
        "learning_rate": POSITIVE,
        "weight_decay": [Interval(numbers.Real, 0, None, closed="left")],
        "base_channels": POSITIVE_COUNT,
        "n_levels": [Interval(numbers.Integral, 1, 8, closed="both")],
        "safeguard": ["boolean"],
        "precision": [StrOptions(set(PRECISIONS))],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        n_iter: int = 2000,
        batch_size: int = 1,
        patch_size: int = 64,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-8,
        base_channels: int = 16,
        n_levels: int = 4,
        safeguard: bool = False,
        precision: str = "auto",
        device: str | torch.device = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_iter = n_iter
        self.batch_size = batch_size
        self.patch_size = patch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.base_channels = base_channels
        self.n_levels = n_levels
        self.safeguard = safeguard
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        target_pairs: Sequence[RawPair | RawImage],
        source_pairs: object = None,
        meta: SensorTable | None = None,
    ) -> Self:
        """Train on the noisy frames of the target's sensor.

        Parameters
        ----------
        target_pairs : sequence of RawPair or of RawImage
            Frames with noise. Of pairs the clean frame serves to measure how noisy the
            sensor is, for `predict`, and for nothing else; for images that is looked
            for in the image, unless `meta` says it.
        source_pairs : optional
            Not used.
        meta : SensorTable, optional
            Facts of the sensors, above all their noise where it is known.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If the frames, `meta` or a parameter cannot be used, or a frame is too small
            for the network.
        FloatingPointError
            If training diverged.
        """
        given = check_frames(target_pairs)
        sensors = sensors_of_frames(given, meta, needs_noise=True)
        frames = [noisy_frame(frame) for frame in given]
        device = resolve_device(self.device)
        seeds = check_random_state(self.random_state).randint(
            np.iinfo(np.int32).max, size=2
        )
        names = dict.fromkeys(frame.sensor for frame in frames)
        conditioning = Conditioning("none", tuple(names))
        own_truths = [RawPair(frame, frame) for frame in frames]
        network = build_network(
            N_METADATA,
            self.base_channels,
            self.n_levels,
            1,
            device,
            int(seeds[1]),
            NETWORK,
            check_mosaics(own_truths, {}),
        )
        pairs = [
            replace(pair, clean=pair.noisy, clean_levels=pair.noisy_levels)
            for pair in to_training_pairs(own_truths, sensors, conditioning, device)
        ]
        rng = np.random.RandomState(seeds[0])
        side = _patch_side(self.patch_size, network.multiple, frames)
        steps = self._train(network, pairs, side, rng)
        progress = Progress(self.verbose)
        n_skipped = sum(
            not math.isfinite(loss)
            for loss in progress.track("blind spots", steps, self.n_iter)
        )
        if not all(p.isfinite().all() for p in network.parameters()):
            raise FloatingPointError(
                "training diverged; fit with a smaller learning_rate or "
                "precision='float32'."
            )
        self.module_ = network.eval()
        self.conditioning_ = conditioning
        self.sensors_ = sensors
        self.device_ = device
        self.n_iter_ = self.n_iter
        skipped = [f"{n_skipped} steps skipped: non-finite loss."] if n_skipped else []
        self.selection_report_ = DataSelectionReport(
            DecisionRecorder({}).finish(),
            [TrainingStage("blind spots", self.n_iter)],
            skipped,
        )
        return self

    def _train(
        self,
        network: nn.Module,
        pairs: list[TrainingPair],
        side: int,
        rng: np.random.RandomState,
    ) -> Iterator[float]:
        device = pairs[0].metadata.device
        dtype = resolve_precision(self.precision, device)
        optimizer = torch.optim.Adam(
            network.parameters(), self.learning_rate, weight_decay=self.weight_decay
        )
        decay_at = max(1, round(DECAY_EVERY * self.n_iter))
        decay = torch.optim.lr_scheduler.StepLR(optimizer, decay_at, DECAY)
        masks = blind_masks(side, device)
        symmetry = symmetry_of(pairs[0].noisy.shape[2])

        def denoise(planes: Tensor) -> Tensor:
            nothing = planes.new_zeros(len(planes), N_METADATA)
            with torch.autocast(device.type, dtype, enabled=dtype is not None):
                return network(planes, nothing)

        for step in range(self.n_iter):
            drawn = rng.randint(len(pairs), size=self.batch_size)
            members = [pairs[i] for i in drawn]
            noisy = cut_patches(members, side, symmetry, rng).noisy
            with torch.no_grad():
                visible = denoise(noisy)
            blind = blind_output(denoise, noisy, masks)
            weight = visible_weight(step / self.n_iter)
            loss = revisible_loss(blind, visible, noisy, weight)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(network.parameters(), math.inf)
            if math.isfinite(loss.item()) and math.isfinite(norm.item()):
                optimizer.step()
            decay.step()
            yield loss.item()


def blind_masks(side: int, device: torch.device) -> Tensor:
    """Return 16 masks (16, 1, 1, side, side), 1 at the pixel hidden in each cell."""
    y, x = torch.arange(side).view(-1, 1), torch.arange(side).view(1, -1)
    place = MASK_WIDTH * (y % MASK_WIDTH) + x % MASK_WIDTH
    masks = place == torch.arange(MASK_WIDTH**2).view(-1, 1, 1)
    return masks.float()[:, None, None].to(device)


def mean_of_neighbours(planes: Tensor) -> Tensor:
    """Average the eight neighbours of each pixel, those beside it twice as much.

    Mirrored at the border without the border itself, so that no pixel sees itself.
    """
    kernel = planes.new_tensor([[0.5, 1, 0.5], [1, 0, 1], [0.5, 1, 0.5]])
    n_planes = planes.shape[1]
    kernel = (kernel / kernel.sum()).expand(n_planes, 1, 3, 3)
    padded = F.pad(planes, (1, 1, 1, 1), mode="reflect")
    return F.conv2d(padded, kernel, groups=n_planes)


def blind_output(denoise, noisy: Tensor, masks: Tensor) -> Tensor:
    """Denoise (B, 4, h, w) under each mask, and gather what was hidden from it."""
    filled = mean_of_neighbours(noisy)
    hidden = torch.where(masks > 0, filled, noisy)  # (16, B, 4, h, w)
    outputs = denoise(hidden.flatten(0, 1)).view_as(hidden)
    return (outputs * masks).sum(dim=0)


def revisible_loss(
    blind: Tensor, visible: Tensor, noisy: Tensor, weight: float
) -> Tensor:
    """Re-visible loss with its regularisation; no gradient goes through `visible`."""
    difference = blind - noisy
    seen = difference + weight * (visible.detach() - noisy)
    return seen.square().mean() + difference.square().mean()


def visible_weight(progress: float) -> float:
    """Weight of the visible branch at a part of training, from 0 to 1.

    >>> [visible_weight(part) for part in (0, 0.4, 0.7, 1)]
    [2.0, 2.0, 11.0, 20.0]
    """
    part = max(progress - RISES_AFTER, 0) / (1 - RISES_AFTER)
    return round(FIRST_WEIGHT + part * (LAST_WEIGHT - FIRST_WEIGHT), 9)


def _patch_side(requested: int, multiple: int, frames: Sequence[RawImage]) -> int:
    multiple = math.lcm(multiple, MASK_WIDTH)
    smallest = min(min(frame.mosaic.shape) for frame in frames) // 2
    # One pixel is spent on mirroring; see `cut_patches`.
    side = min(requested, smallest - 1) // multiple * multiple
    if side < multiple:
        raise ValueError(
            f"the smallest frame has a side of {2 * smallest} pixels; this network "
            f"needs at least {2 * (multiple + 1)}. Use larger frames or fewer n_levels."
        )
    return side
