"""Training pairs on the training device, and patches cut from them.

Counts stay in the compact type in which they came (uint16 from a file) and become
normalised float32 only inside a patch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from skadl.adaptation.gates.base import Fault
from skadl.data.store.frames import StoredFrame

# Makes patches (B, p, p, C) of windows (B, p + 1, p + 1, C), told whether to mirror
# rows, to mirror columns and to transpose. The pixel to spare is for mosaics: mirroring
# one moves red off its corner, and a shift brings it back.
Symmetry = Callable[[Tensor, bool, bool, bool], Tensor]

Part = tuple[slice, slice]  # rows and columns of a packed frame


@dataclass(frozen=True, eq=False)
class TrainingPair:
    """One pair in channels-last form: on the device, or in a store on disk.

    Of frames in a store only windows come onto the device. Normalised is
    ``(counts - black) * scale``.
    """

    noisy: Tensor | StoredFrame  # (h, w, C) counts; of raw frames packed, RGGB geometry
    clean: Tensor | StoredFrame  # (h, w, C)
    noisy_levels: Tensor  # (C + 1,) black of each plane in counts, then the scale
    clean_levels: Tensor  # (C + 1,)
    metadata: Tensor  # (n_metadata,) what the network is told
    weight_inputs: Tensor  # (n,) what the weight of its error is computed from
    iso: float
    fault: Fault
    part: Part | None = None  # that patches are cut from; None for all

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width in packed pixels, of the part that patches are cut from."""
        if self.part is None:
            return self.noisy.shape[0], self.noisy.shape[1]
        rows, columns = self.part
        return rows.stop - rows.start, columns.stop - columns.start

    @property
    def corner(self) -> tuple[int, int]:
        """First row and column of that part."""
        return (0, 0) if self.part is None else tuple(s.start for s in self.part)


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches ready for the network: normalised, negatives kept."""

    noisy: Tensor  # (B, C, p, p) float32, channels_last
    clean: Tensor  # (B, C, p, p) float32, channels_last
    metadata: Tensor  # (B, n_metadata)
    weight_inputs: Tensor  # (B, n)


# Changes a batch that is to be trained on: another exposure of it, say.
Augmentation = Callable[[Batch, np.random.RandomState], Batch]


def cut_patches(
    pairs: Sequence[TrainingPair],
    side: int,
    symmetry: Symmetry,
    rng: np.random.RandomState,
) -> Batch:
    """Cut one random patch from each pair; the batch is mirrored or transposed.

    `side`, in packed pixels, must be smaller than every side of the pairs: one pixel is
    for the symmetry to spare.
    """
    room = np.array([pair.sides for pair in pairs]) - side
    corners = (rng.random_sample((len(pairs), 2)) * room).astype(int)
    # One symmetry for the whole batch, so that it is one gather.
    turned = rng.randint(0, 2, size=3).astype(bool)
    batch = _cut(pairs, corners, side + 1)
    return _assemble(*(symmetry(windows, *turned) for windows in batch), pairs)


def cut_fixed(
    pairs: Sequence[TrainingPair], side: int, rng: np.random.RandomState
) -> Batch:
    """Cut one patch as it is from each pair: validation images, drawn once."""
    room = np.array([pair.sides for pair in pairs]) - side
    corners = (rng.random_sample((len(pairs), 2)) * (room + 1)).astype(int)
    return _assemble(*_cut(pairs, corners, side), pairs)


def select(batch: Batch, members: np.ndarray) -> Batch:
    """Return the sub-batch of some members, in channels_last."""
    index = torch.as_tensor(members, device=batch.noisy.device)
    noisy, clean = (
        images.permute(0, 2, 3, 1).index_select(0, index).permute(0, 3, 1, 2)
        for images in (batch.noisy, batch.clean)
    )
    return Batch(noisy, clean, batch.metadata[index], batch.weight_inputs[index])


def _cut(
    pairs: Sequence[TrainingPair], corners: np.ndarray, side: int
) -> tuple[Tensor, Tensor]:
    """Cut and normalise a window (side, side, C) of each pair, noisy and clean."""
    device, n_planes = pairs[0].metadata.device, pairs[0].noisy.shape[2]
    noisy, clean = torch.empty(2, len(pairs), side, side, n_planes, device=device)
    corners = corners + [pair.corner for pair in pairs]
    windows = [(slice(y, y + side), slice(x, x + side)) for y, x in corners]
    # All are asked of the disk before the first is waited for.
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
        levels = levels[:, None, None]  # (B, C + 1) -> (B, 1, 1, C + 1)
        planes.sub_(levels[..., :-1]).mul_(levels[..., -1:])
    return noisy, clean


def _assemble(noisy: Tensor, clean: Tensor, pairs: Sequence[TrainingPair]) -> Batch:
    # (B, p, p, C) seen as (B, C, p, p) is channels_last already.
    return Batch(
        noisy.contiguous().permute(0, 3, 1, 2),
        clean.contiguous().permute(0, 3, 1, 2),
        torch.stack([pair.metadata for pair in pairs]),
        torch.stack([pair.weight_inputs for pair in pairs]),
    )
