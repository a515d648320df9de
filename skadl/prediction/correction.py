"""How much of what a network removes an image can spare, and the image without it.

The whole frame has a say in it: the means of a correction are taken out of it, and the
safeguard judges it by windows. So it is computed first, kept as one frame of float32,
and taken off band by band.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

import numpy as np

from skadl.noise.noise_level import NoiseLevel
from skadl.prediction.blocks import (
    BlockMap,
    block_counts,
    block_sums,
    variance,
)
from skadl.prediction.clipping import ClipLevels
from skadl.prediction.frame import FrameNetwork, Track, predict_residual
from skadl.prediction.local_means import BlockMeans, local_means, wide_level
from skadl.prediction.noise_check import noise_factor
from skadl.prediction.normalised_mosaic import NormalisedMosaic
from skadl.prediction.safeguard import (
    CAUTION,
    MARGIN,
    Window,
    clip_to_noise,
    judged_windows,
    trust_steps,
)
from skadl.raw.mosaic import pack_mosaic, unpack_mosaic

# An image that shows so much more or less noise variance than it is told of has been
# told wrong: what smooth places show is right to about a third.
TOLERANCE = 1.4
MOST_WRONG = 4.0  # a factor of two in the standard deviation; not believed beyond
LOOKS = 3  # with the noise that is told, and with what the image showed at the last


@dataclass(frozen=True, eq=False)
class Correction:
    """A mosaic and what to take away from it."""

    noisy: NormalisedMosaic
    residual: NormalisedMosaic  # what a network removes
    means: BlockMap  # of it, in standard deviations of noise, to be left
    noise: NoiseLevel
    trust: BlockMap | None  # part of it that is taken away
    limit: NoiseLevel | None  # where no pixel may change by more than noise can

    def denoised(self, rows: slice) -> np.ndarray:
        """Return packed rows of the denoised mosaic (2 n_rows, 2 w), normalised."""
        mosaic = self.noisy.band(rows)
        residual = self._centred(mosaic, rows)
        if self.trust is not None:
            residual *= self.trust.band(rows)
        if self.limit is not None:
            residual = clip_to_noise(residual, mosaic, self.limit)
        mosaic -= residual
        return mosaic

    def __getitem__(self, window: Window) -> np.ndarray:
        """Read what is removed without its means: a window of planes (4, n, m)."""
        _, rows, columns = window
        _, height, width = self.noisy.shape
        rows, columns = slice(*rows.indices(height)), slice(*columns.indices(width))
        band = self._centred(self.noisy.band(rows, columns), rows, columns)
        return pack_mosaic(band, self.noisy.cfa)

    def _centred(
        self, mosaic: np.ndarray, rows: slice, columns: slice = np.s_[:]
    ) -> np.ndarray:
        residual = self.residual.band(rows, columns)
        shift = variance(self.noise, mosaic - residual)
        np.sqrt(shift, out=shift)
        shift *= self.means.band(rows, columns)
        residual -= shift
        return residual


@dataclass(frozen=True, eq=False)
class Look:
    """A mosaic that a correction wants to see through the network."""

    noise: NoiseLevel  # that the network is told
    mosaic: NormalisedMosaic
    is_first: bool  # of the whole frame: its progress is shown


Steps = Generator[Look, np.ndarray, Correction]
"""Yields looks, is sent what the network removes from each, returns a correction."""


def correct(
    network_for: Callable[[NoiseLevel], FrameNetwork],
    noisy: NormalisedMosaic,
    noise: NoiseLevel,
    *,
    clip_levels: ClipLevels,
    safeguard: bool,
    self_ensemble: int,
    memory: float,
    track: Track | None = None,
) -> Correction:
    """Find out what to take away from a mosaic; other options as `predict_residual`.

    `network_for` gives the network that is told a noise level. With the safeguard an
    image that shows another noise than is told of it is denoised by what it shows.
    """
    steps = correction_steps(noisy, noise, clip_levels, safeguard)
    told = network = removed = None
    while True:
        try:
            look = steps.send(removed)
        except StopIteration as end:
            return end.value
        if look.noise != told:
            told, network = look.noise, network_for(look.noise)
        removed = predict_residual(
            network,
            look.mosaic,
            memory,
            self_ensemble,
            track if look.is_first else None,
        )


def correction_steps(
    noisy: NormalisedMosaic,
    noise: NoiseLevel,
    clip_levels: ClipLevels,
    safeguard: bool,
    weighs: bool = True,
) -> Steps:
    """Find out what to take away, as `correct`, wherever the network runs.

    The safeguard weighs the correction, for one look more, unless told not to.
    """
    cfa = noisy.cfa

    def part(planes: np.ndarray) -> NormalisedMosaic:
        return NormalisedMosaic.plain(unpack_mosaic(planes, cfa), cfa)

    told = seen = noise  # to the network; as the image shows it
    wrong, counts = 1.0, None
    windows = judged_windows(*noisy.shape[1:]) if safeguard else []
    for look in range(LOOKS if safeguard else 0):
        if len(windows) == 1:  # a small image: the look is the correction
            counts = yield Look(told, noisy, not look)
            removals = [pack_mosaic(counts, cfa)]
        else:
            removals = []
            for window in windows:
                removed = yield Look(told, part(noisy[window]), False)
                removals.append(pack_mosaic(removed, cfa))
        parts = [
            (noisy[window], removal, clip_levels.window(noisy, window))
            for window, removal in zip(windows, removals, strict=True)
        ]
        factor = noise_factor(parts, seen)
        if factor is None:
            break
        before, wrong = wrong, min(max(wrong * factor, 1 / MOST_WRONG), MOST_WRONG)
        seen = NoiseLevel(wrong * noise.shot, wrong * noise.read)
        is_borne_out = 1 / TOLERANCE <= wrong / before <= TOLERANCE
        if is_borne_out or look == LOOKS - 1:
            break
        told = seen
    if counts is None:
        counts = yield Look(told, noisy, True)
    residual = NormalisedMosaic.plain(counts, cfa)
    blocks = _block_means(noisy, residual, clip_levels)
    width = noisy.shape[2]
    means = BlockMap.of(local_means(blocks, seen), cfa, width)
    whole = Correction(noisy, residual, means, seen, None, None)
    if not safeguard:
        return whole
    if not weighs:
        return replace(whole, limit=seen)
    levels = wide_level(blocks.level, seen)
    steps = trust_steps(
        noisy,
        residual,
        whole,
        seen,
        levels,
        np.random.default_rng(0),  # one image, one result
        MARGIN if factor is not None else CAUTION,
    )
    removed = None
    while True:
        try:
            planes = steps.send(removed)
        except StopIteration as end:
            trust = end.value.at(levels)
            break
        removed = pack_mosaic((yield Look(told, part(planes), False)), cfa)
    trust = BlockMap.of(
        np.broadcast_to(trust, (noisy.shape[0], *trust.shape)), cfa, width
    )
    return Correction(noisy, residual, means, seen, trust, seen)


def _block_means(
    noisy: NormalisedMosaic, residual: NormalisedMosaic, clip_levels: ClipLevels
) -> BlockMeans:
    sides = noisy.shape[1:]
    n_pixels = block_counts(*sides)
    bright, removed, clipped = (
        block_sums(read, noisy.cfa, *sides) / n_pixels
        for read in (
            noisy.band,
            residual.band,
            lambda rows: clip_levels.band(noisy, rows),
        )
    )
    return BlockMeans(bright - removed, removed, clipped, n_pixels)
