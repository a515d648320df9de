"""Training pairs on the training device, and patches cut from them.

Counts stay in the compact type in which they came (uint16 from a file) and become
normalised float32 only inside a patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from skadl.adaptation.gates.base import Fault
from skadl.data.store.frames import StoredFrame
from skadl.raw.symmetry import symmetric_sites


@dataclass(frozen=True, eq=False)
class TrainingPair:
    """One pair in packed, channels-last form, at hand for the device.

    Parameters
    ----------
    noisy, clean : Tensor or StoredFrame of shape (h, w, 4)
        Counts, R, Gr, Gb, B, in RGGB geometry: on the device, or in a store on disk
        of which windows come onto the device.
    noisy_levels, clean_levels : Tensor of shape (5,)
        Four black levels in counts, then light factor over the range from black to
        white: normalised is (counts - black) * scale.
    metadata : Tensor of shape (n_metadata,)
    noise : Tensor of shape (2,)
        Shot and read part of the noise level, see `NoiseLevel`.
    iso : float
    fault : Fault
        What is wrong with it, if anything.
    """

    noisy: Tensor | StoredFrame
    clean: Tensor | StoredFrame
    noisy_levels: Tensor
    clean_levels: Tensor
    metadata: Tensor
    noise: Tensor
    iso: float
    fault: Fault

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width in packed pixels."""
        return self.noisy.shape[0], self.noisy.shape[1]


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches ready for the network.

    Parameters
    ----------
    noisy, clean : Tensor of shape (B, 4, p, p), float32, channels_last
        Normalised; negatives kept.
    metadata : Tensor of shape (B, n_metadata)
    noise : Tensor of shape (B, 2)
        Shot and read part of the noise level of each image.
    """

    noisy: Tensor
    clean: Tensor
    metadata: Tensor
    noise: Tensor


def cut_patches(
    pairs: Sequence[TrainingPair], side: int, rng: np.random.RandomState
) -> Batch:
    """Cut one random patch from each pair; the batch is mirrored or transposed.

    Parameters
    ----------
    pairs : sequence of TrainingPair
        A pair may occur more than once.
    side : int
        Of a patch, in packed pixels; smaller than every side of the pairs.
    rng : RandomState

    Returns
    -------
    Batch

    Notes
    -----
    Mirroring a mosaic moves red off its corner. Shifting the mirrored window by
    one sensor pixel brings it back, which is why the sides must exceed `side` by
    one: R and Gb come from columns 1..p, Gr and B from columns 0..p-1.
    """
    room = np.array([pair.sides for pair in pairs]) - side
    corners = (rng.random_sample((len(pairs), 2)) * room).astype(int)
    symmetry = rng.randint(0, 2, size=3).astype(bool)
    batch = _cut(pairs, corners, side + 1)
    return _assemble(*(bayer_symmetry(planes, *symmetry) for planes in batch), pairs)


def cut_fixed(
    pairs: Sequence[TrainingPair], side: int, rng: np.random.RandomState
) -> Batch:
    """Cut one unmirrored patch from each pair: validation images, drawn once.

    Parameters and result are those of `cut_patches`.
    """
    room = np.array([pair.sides for pair in pairs]) - side
    corners = (rng.random_sample((len(pairs), 2)) * (room + 1)).astype(int)
    return _assemble(*_cut(pairs, corners, side), pairs)


def select(batch: Batch, members: np.ndarray) -> Batch:
    """Return the sub-batch of some members.

    Parameters
    ----------
    batch : Batch
    members : ndarray of int

    Returns
    -------
    Batch
    """
    index = torch.as_tensor(members, device=batch.noisy.device)
    noisy, clean = (
        images.permute(0, 2, 3, 1).index_select(0, index).permute(0, 3, 1, 2)
        for images in (batch.noisy, batch.clean)
    )
    return Batch(noisy, clean, batch.metadata[index], batch.noise[index])


def bayer_symmetry(
    window: Tensor, mirror_rows: bool, mirror_columns: bool, transpose: bool
) -> Tensor:
    """Apply a symmetry of the RGGB mosaic to windows with one pixel to spare.

    Parameters
    ----------
    window : Tensor of shape (B, p + 1, p + 1, 4)
    mirror_rows, mirror_columns, transpose : bool

    Returns
    -------
    Tensor of shape (B, p, p, 4)
        Planes of the mirrored and transposed mosaic, again R, Gr, Gb, B.
    """
    side = window.shape[1] - 1
    # One gather costs a fraction of flips, selections and transpositions in turn.
    sites = symmetric_sites(side, mirror_rows, mirror_columns, transpose)
    sites = torch.from_numpy(sites).to(window.device)
    turned = window.flatten(1).index_select(1, sites)
    return turned.view(-1, side, side, 4)


def _cut(
    pairs: Sequence[TrainingPair], corners: np.ndarray, side: int
) -> tuple[Tensor, Tensor]:
    device = pairs[0].metadata.device
    noisy, clean = torch.empty(2, len(pairs), side, side, 4, device=device)
    windows = [(slice(y, y + side), slice(x, x + side)) for y, x in corners]
    for pair, window in zip(pairs, windows, strict=True):
        for frame in (pair.noisy, pair.clean):
            if isinstance(frame, StoredFrame):
                frame.prefetch(window)
    for i, (pair, window) in enumerate(zip(pairs, windows, strict=True)):
        noisy[i] = pair.noisy[window]
        clean[i] = pair.clean[window]
    for planes, levels in (
        (noisy, torch.stack([pair.noisy_levels for pair in pairs])),
        (clean, torch.stack([pair.clean_levels for pair in pairs])),
    ):
        levels = levels[:, None, None]  # (B, 5) -> (B, 1, 1, 5)
        planes.sub_(levels[..., :4]).mul_(levels[..., 4:])
    return noisy, clean


def _assemble(noisy: Tensor, clean: Tensor, pairs: Sequence[TrainingPair]) -> Batch:
    # (B, p, p, 4) seen as (B, 4, p, p) is channels_last already.
    return Batch(
        noisy.contiguous().permute(0, 3, 1, 2),
        clean.contiguous().permute(0, 3, 1, 2),
        torch.stack([pair.metadata for pair in pairs]),
        torch.stack([pair.noise for pair in pairs]),
    )
