"""Raw denoising as a task of the loop: its pairs, their symmetry, their weight."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from skadl.adaptation.gates.base import Fault
from skadl.adaptation.patches import Batch, Symmetry, TrainingPair
from skadl.data.store.disk_space import TemporaryFrames
from skadl.data.store.frames import StoredFrame
from skadl.data.store.patch_store import StoredImage
from skadl.noise.noise_level import NoiseLevel
from skadl.raw.image import RawImage
from skadl.raw.mosaic import (
    Mosaic,
    colours_of,
    common_mosaic,
    to_common_geometry,
)
from skadl.raw.pair import RawPair
from skadl.raw.symmetry import symmetric_sites

# Standard deviations over the range from black to white.
TYPICAL_NOISE = 0.05
SMALLEST_NOISE = 1e-3


def to_training_pair(
    pair: RawPair,
    metadata: np.ndarray,
    noise: NoiseLevel,
    black_offset: np.ndarray | float,
    fault: Fault,
    device: torch.device,
    scratch: TemporaryFrames | None = None,
) -> TrainingPair:
    """Bring a pair of finite frames onto the device, or into a store, in its counts.

    `black_offset` is the error of the noisy frame's black level in each plane, in
    counts. Frames of a store stay there; others go to `scratch` where it
    is given, else to the device.
    """

    def counts(image: RawImage) -> Tensor | StoredFrame:
        if isinstance(image, StoredImage):
            return image.frame
        return _compact(image, device) if scratch is None else scratch.keep(image)

    return TrainingPair(
        counts(pair.noisy),
        counts(pair.clean),
        _levels(pair.noisy, black_offset, device),
        _levels(pair.clean, 0.0, device),
        torch.as_tensor(metadata, device=device),
        torch.tensor([noise.shot, noise.read], dtype=torch.float32, device=device),
        pair.iso,
        fault,
    )


def symmetry_of(n_planes: int) -> Symmetry:
    """Return what applies a symmetry of a mosaic to windows of its planes."""
    return partial(_turn, common_mosaic(n_planes))


def _turn(
    own: Mosaic,
    windows: Tensor,
    mirror_rows: bool,
    mirror_columns: bool,
    transpose: bool,
) -> Tensor:
    """Apply a symmetry: (B, p + 1, p + 1, n_planes) -> (B, p, p, n_planes).

    Planes of the mirrored and transposed mosaic, in their order again. Of a mirrored
    RGGB mosaic R and Gb come from columns 1..p, Gr and B from columns 0..p - 1. Where
    fewer than eight symmetries are lawful, each stands for several of them.
    """
    side = windows.shape[1] - 1
    drawn = 4 * mirror_rows + 2 * mirror_columns + transpose
    symmetry = own.symmetries[drawn % len(own.symmetries)]
    # One gather costs a fraction of flips, selections and transpositions in turn.
    sites = torch.from_numpy(symmetric_sites(own, side, *symmetry))
    turned = windows.flatten(1).index_select(1, sites.to(windows.device))
    return turned.view(-1, side, side, own.n_planes)


def noise_weight(batch: Batch) -> Tensor:
    """Weight of each image in the loss: the inverse of its expected noise.

    Plain L1 is the loss of the noisiest images. What counts is how much of its own
    noise an image loses: the mean PSNR is a mean of logarithms, and no clean image
    may end worse than it was.

    Parameters
    ----------
    batch : Batch

    Returns
    -------
    Tensor of shape (B,)
        1 for a noise of `TYPICAL_NOISE`.
    """
    shot, read = batch.weight_inputs.unbind(dim=1)
    signal = batch.clean.mean(dim=(1, 2, 3)).clamp(min=0)
    return TYPICAL_NOISE / ((shot * signal + read).sqrt() + SMALLEST_NOISE)


@dataclass(frozen=True)
class ShotNoiseAugmentation:
    """Make images brighter or darker, with the shot noise of their new signal.

    Shot-noise augmentation of Feng et al., "Learnability Enhancement for Low-Light Raw
    Image Denoising" (PMN, TPAMI 2023): the clean image times a gain g of each plane,
    and on the noisy one what g adds. A brighter image (g > 1) gains a Poisson
    variable of the signal that is added. A darker one is multiplied by g, which takes
    too much noise away; what is missing is put back. Either way the noise has the
    variance ``shot * g * signal + read`` that the sensor would have given it.

    Parameters
    ----------
    share : float
        Fraction of the images that are changed.

    Notes
    -----
    Where it departs from the paper: the share is the same for every light factor (there
    3/5 above 200, 3/16 below); gains are ``exp(u)``, u uniform within `SPREAD` for the
    whole image and within `PLANE_SPREAD` for red and for blue, one for both greens; and
    they stop where the clean image would pass white. What is put into darker images is
    Gaussian.
    """

    share: float

    SPREAD: ClassVar[float] = 0.5
    PLANE_SPREAD: ClassVar[float] = 0.25

    def __call__(self, batch: Batch, rng: np.random.RandomState) -> Batch:
        """Return the batch with some of its images changed."""
        n_images = len(batch.noisy)
        chosen = rng.random_sample(n_images) < self.share
        colours = np.array(list(colours_of(batch.noisy.shape[1])))
        logs = rng.uniform(-self.SPREAD, self.SPREAD, (n_images, 1))
        logs = logs.repeat(len(colours), axis=1)
        spread = self.PLANE_SPREAD
        shifts = rng.uniform(-spread, spread, (n_images, 2))
        for colour, shift in zip("RB", shifts.T, strict=True):
            logs[:, colours == colour] += shift[:, None]
        gains = np.where(chosen[:, None], np.exp(logs), 1.0).astype(np.float32)
        seed = int(rng.randint(np.iinfo(np.int32).max))
        if not chosen.any():
            return batch
        device = batch.noisy.device
        generator = torch.Generator(device).manual_seed(seed)
        return self.expose(batch, torch.as_tensor(gains, device=device), generator)

    def expose(self, batch: Batch, gains: Tensor, generator: torch.Generator) -> Batch:
        """Return a batch whose images are so many times as bright, at most white.

        Parameters
        ----------
        batch : Batch
            Its `weight_inputs` are shot and read part of the noise.
        gains : Tensor of shape (B, 4)
            Of the planes R, Gr, Gb, B.
        generator : torch.Generator
            On the device of the batch.

        Returns
        -------
        Batch
        """
        signal = batch.clean.clamp(min=0)
        brightest = signal.amax(dim=(2, 3))  # (B, 4)
        most = (1 / brightest.clamp(min=SMALLEST_NOISE)).clamp(min=1)
        gains = torch.minimum(gains, most)[:, :, None, None]  # (B, 4) -> (B, 4, 1, 1)
        shot, read = (x[:, None, None, None] for x in batch.weight_inputs.unbind(1))
        shot = shot.clamp(min=1e-12)
        added = (
            torch.poisson((gains - 1).clamp(min=0) * signal / shot, generator) * shot
        )
        darker = gains.clamp(max=1)
        missing = shot * signal * darker * (1 - darker) + read * (1 - darker**2)
        draws = torch.empty_like(signal).normal_(generator=generator)
        noisy = batch.noisy * darker + added + missing.sqrt() * draws
        return replace(batch, noisy=noisy, clean=batch.clean * gains)


LOSS_WEIGHTINGS = {"noise": noise_weight, "none": None}


def _compact(image: RawImage, device: torch.device) -> Tensor:
    packed = to_common_geometry(image.packed(), image.cfa).transpose(1, 2, 0)
    if packed.dtype.kind == "f":
        packed = packed.astype(np.float32, copy=False)
    elif packed.dtype not in (np.uint8, np.uint16, np.int16, np.int32):
        packed = packed.astype(np.int32)
    # A fresh array: joblib hands workers read-only memory maps.
    return torch.from_numpy(np.array(packed, order="C")).to(device)


def _levels(
    image: RawImage, black_offset: np.ndarray | float, device: torch.device
) -> Tensor:
    levels = [*(image.black_planes + black_offset), image.ratio / image.span]
    return torch.tensor(levels, dtype=torch.float32, device=device)
