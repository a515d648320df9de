"""Raw denoising as a task of the loop: its pairs, their symmetry, their weight."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from skadl.adaptation.gates.base import Fault
from skadl.adaptation.patches import Batch, TrainingPair
from skadl.data.store.disk_space import TemporaryFrames
from skadl.data.store.frames import StoredFrame
from skadl.data.store.patch_store import StoredImage
from skadl.noise.noise_level import NoiseLevel
from skadl.raw.image import RawImage
from skadl.raw.mosaic import to_rggb_geometry
from skadl.raw.pair import RawPair
from skadl.raw.symmetry import symmetric_sites

# Standard deviations over the range from black to white.
TYPICAL_NOISE = 0.05
SMALLEST_NOISE = 1e-3


def to_training_pair(
    pair: RawPair,
    metadata: np.ndarray,
    noise: NoiseLevel,
    black_offset: np.ndarray,
    fault: Fault,
    device: torch.device,
    scratch: TemporaryFrames | None = None,
) -> TrainingPair:
    """Bring a pair of finite frames onto the device, or into a store, in its counts.

    `black_offset` (4,) is the error of the noisy frame's black level in the planes R,
    Gr, Gb, B, in counts. Frames of a store stay there; others go to `scratch` where it
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
        _levels(pair.clean, np.zeros(4), device),
        torch.as_tensor(metadata, device=device),
        torch.tensor([noise.shot, noise.read], dtype=torch.float32, device=device),
        pair.iso,
        fault,
    )


def bayer_symmetry(
    windows: Tensor, mirror_rows: bool, mirror_columns: bool, transpose: bool
) -> Tensor:
    """Apply a symmetry of the RGGB mosaic: (B, p + 1, p + 1, 4) -> (B, p, p, 4).

    Planes of the mirrored and transposed mosaic, again R, Gr, Gb, B: R and Gb of a
    mirrored one come from columns 1..p, Gr and B from columns 0..p - 1.
    """
    side = windows.shape[1] - 1
    # One gather costs a fraction of flips, selections and transpositions in turn.
    sites = symmetric_sites(side, mirror_rows, mirror_columns, transpose)
    sites = torch.from_numpy(sites).to(windows.device)
    turned = windows.flatten(1).index_select(1, sites)
    return turned.view(-1, side, side, 4)


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


LOSS_WEIGHTINGS = {"noise": noise_weight, "none": None}


def _compact(image: RawImage, device: torch.device) -> Tensor:
    packed = to_rggb_geometry(image.packed(), image.cfa).transpose(1, 2, 0)
    if packed.dtype.kind == "f":
        packed = packed.astype(np.float32, copy=False)
    elif packed.dtype not in (np.uint8, np.uint16, np.int16, np.int32):
        packed = packed.astype(np.int32)
    # A fresh array: joblib hands workers read-only memory maps.
    return torch.from_numpy(np.array(packed, order="C")).to(device)


def _levels(image: RawImage, black_offset: np.ndarray, device: torch.device) -> Tensor:
    levels = [*(image.black_planes + black_offset), image.ratio / image.span]
    return torch.tensor(levels, dtype=torch.float32, device=device)
