"""What is held out of training, to say how far it may go: scenes that it never saw.

Pairs of one scene share a picture. A network that is trained on some of them knows it
by heart, and restores the others better than any picture that it has not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from skadl.adaptation.patches import Batch, Part, TrainingPair, cut_fixed
from skadl.adaptation.stages import TargetData, draw_diverse

HELD_OUT = 0.25  # of the target pairs, of their scenes, or of their one scene's frame
MOST_SIDE = 256  # packed pixels of a window that decides


def hold_out(
    target: TargetData, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Split the target pairs, by position, into those to train on and those to decide.

    The held-out ones span the range of gains. Where pairs share scenes these are held
    out whole, and never one that holds more than half of the pairs. Pairs that all
    show one scene are split all the same: `set_aside` is better where it can be had.
    """
    if target.is_fixed:
        return target.trainable, target.held_out
    n_pairs = len(target.pairs)
    scenes, of_pair, counts = np.unique(
        target.scenes, return_inverse=True, return_counts=True
    )
    if 1 < len(scenes) < n_pairs:
        small = np.flatnonzero(counts <= n_pairs / 2)
        size = min(_share(len(scenes)), len(small))
        gains = np.bincount(of_pair, target.gains) / counts
        chosen = small[draw_diverse(gains[small], size, rng)]
        held_out = np.flatnonzero(np.isin(of_pair, chosen))
    else:
        held_out = draw_diverse(target.gains, _share(n_pairs), rng)
    return np.setdiff1d(np.arange(n_pairs), held_out), held_out


def part_trained_on(sides: Sequence[int], patch_side: int) -> Part | None:
    """Return the part of a scene's frame that may be trained on.

    The last quarter of its longer side is not, or as much as a patch takes. None if a
    frame of these sides, in packed pixels, is too small to be parted.
    """
    axis = int(np.argmax(sides))
    rest = sides[axis] - _depth(sides[axis], patch_side)
    if min(rest, *sides) <= patch_side:
        return None
    part = [slice(0, side) for side in sides]
    part[axis] = slice(0, rest)
    return part[0], part[1]


def set_aside(
    pairs: Sequence[TrainingPair],
    gains: np.ndarray,
    patch_side: int,
    rng: np.random.RandomState,
) -> tuple[tuple[TrainingPair, ...], tuple[TrainingPair, ...]]:
    """Part the frames of one scene: what of each pair is trained on, and what decides.

    Two squares of a quarter of the pairs decide. None do if a frame is too small.
    """
    parts = [part_trained_on(pair.sides, patch_side) for pair in pairs]
    if None in parts:
        return tuple(pairs), ()
    kept = tuple(replace(p, part=part) for p, part in zip(pairs, parts, strict=True))
    deciding = draw_diverse(gains, _share(len(pairs)), rng)
    aside = tuple(
        replace(pairs[i], part=square)
        for i in deciding
        for square in _squares(pairs[i].sides, parts[i])
    )
    return kept, aside


def hold_out_judges(
    target: TargetData, patch_side: int, rng: np.random.RandomState
) -> tuple[TargetData, Batch]:
    """Hold pairs out where nothing was set aside, and cut the windows that decide."""
    if not target.aside:
        _, held_out = hold_out(target, rng)
        target = replace(target, held_out=held_out)
    judging = target.aside or [target.pairs[i] for i in target.held_out]
    return target, cut_frames(judging, patch_side, rng)


def cut_frames(
    pairs: Sequence[TrainingPair], step: int, rng: np.random.RandomState
) -> Batch:
    """Cut one window from each pair, as large as all of them allow.

    Its side is a multiple of `step`, and `MOST_SIDE` at most.
    """
    smallest = min(min(pair.sides) for pair in pairs)
    side = max(min(smallest, MOST_SIDE) // step, 1) * step
    return cut_fixed(pairs, side, rng)


def _share(number: int) -> int:
    return max(1, round(HELD_OUT * number))


def _depth(side: int, patch_side: int) -> int:
    return max(patch_side, round(HELD_OUT * side))


def _squares(sides: Sequence[int], kept: Part) -> list[Part]:
    """Return two squares, or one, of what is left of a frame beside a part."""
    axis = int(np.argmax(sides))
    start, across = kept[axis].stop, sides[1 - axis]
    depth = min(sides[axis] - start, across)
    ends = {0, across - depth} if across >= 2 * depth else {0}
    squares = []
    for end in sorted(ends):
        square = [slice(end, end + depth)] * 2
        square[axis] = slice(start, start + depth)
        squares.append((square[0], square[1]))
    return squares
