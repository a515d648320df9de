"""From a pair of raw images to what the loop trains on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from skadl.adaptation.gates.base import Fault
from skadl.adaptation.patches import TrainingPair
from skadl.data.store.disk_space import TemporaryFrames
from skadl.data.store.frames import StoredFrame
from skadl.data.store.patch_store import StoredImage
from skadl.noise.noise_level import NoiseLevel
from skadl.raw.image import RawImage
from skadl.raw.mosaic import to_rggb_geometry
from skadl.raw.pair import RawPair


def to_training_pair(
    pair: RawPair,
    metadata: np.ndarray,
    noise: NoiseLevel,
    black_offset: np.ndarray,
    fault: Fault,
    device: torch.device,
    scratch: TemporaryFrames | None = None,
) -> TrainingPair:
    """Bring a pair onto the device, or into a store, without changing its counts.

    Parameters
    ----------
    pair : RawPair
        Finite frames of one shape; read here if it is lazy. What is in a store
        already stays there.
    metadata : ndarray of shape (n_metadata,)
    noise : NoiseLevel
    black_offset : ndarray of shape (4,)
        Error of the noisy frame's black level in the planes R, Gr, Gb, B, in counts.
    fault : Fault
    device : torch.device
    scratch : TemporaryFrames, optional
        Where to put frames that are not in a store; else they go to the device.

    Returns
    -------
    TrainingPair
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
