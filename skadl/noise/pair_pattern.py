"""The fixed pattern of a sensor, as far as noisy/clean pairs show it.

What is left of a noisy frame without its clean one is noise, and what is fixed in the
frame. A clean frame of far more light hardly holds the latter. (The mean of a burst
holds all of it: then the pairs show nothing, and nothing is taken off.) What two halves
of the pairs have in common is believed, as for dark frames; pairs are few, so columns,
rows and smooth shading alone are looked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from skadl.noise.clipped_black import ends_at_black
from skadl.noise.dark_frames import find_pattern
from skadl.noise.fixed_pattern import FixedPattern, PatternAtIso
from skadl.noise.residual import NEARLY_WHITE
from skadl.noise.sensors import SensorInfo
from skadl.raw.levels import normalise
from skadl.raw.pair import RawPair

LEAST_PAIRS = 4  # two halves of two


def with_pair_pattern(info: SensorInfo, pairs: Sequence[RawPair]) -> SensorInfo:
    """Return a sensor's facts with the pattern that its pairs show.

    As they are where they hold one, where the noise is not known, and where pairs are
    few or of several sizes: these need not show the same part of the sensor.
    """
    if info.fixed_pattern is not None or not info.knows_noise:
        return info
    if len(pairs) < LEAST_PAIRS:
        return info
    sums: list[np.ndarray | None] = [None, None]
    weights: list[np.ndarray | None] = [None, None]
    for index, pair in enumerate(sorted(pairs, key=lambda pair: pair.iso)):
        residual, weight = _residual(pair, info)
        half = index % 2
        if sums[half] is None:
            sums[half], weights[half] = residual, weight
        elif residual.shape != sums[half].shape:
            return info
        else:
            sums[half], weights[half] = sums[half] + residual, weights[half] + weight
    if sums[0].shape != sums[1].shape:
        return info
    halves = [
        total / np.maximum(weight, 1e-6)
        for total, weight in zip(sums, weights, strict=True)
    ]
    spread = float(np.median(1 / np.maximum(weights[0] + weights[1], 1e-6))) ** 0.5
    _, unit = find_pattern(halves, spread, pairs[0].noisy.cfa, 1, has_hot=False)
    if unit.shading is None and not unit.rows.any() and not unit.columns.any():
        return info
    height, width = pairs[0].noisy.mosaic.shape
    by_iso = {}
    for iso in sorted({pair.iso for pair in pairs}):
        # Pairs are at many ISOs, and a pattern grows with them about as read noise.
        scale = info.noise_at(iso)[1] ** 0.5
        by_iso[iso] = PatternAtIso(
            scale * np.resize(unit.rows, height),
            scale * np.resize(unit.columns, width),
            None if unit.shading is None else scale * unit.shading,
            error=scale * unit.error,
        )
    return replace(info, fixed_pattern=FixedPattern(by_iso))


def _residual(pair: RawPair, info: SensorInfo) -> tuple[np.ndarray, np.ndarray]:
    """Weighted residual (4, h, w) in units of read noise, and the weights."""
    noisy, clean = pair.noisy.with_mosaic(pair.noisy.mosaic), pair.clean
    counts, clean_counts = noisy.packed(), clean.packed()
    signal = normalise(clean_counts, clean.black_planes, clean.white_level, clean.ratio)
    signal = np.maximum(signal * np.float32(noisy.span / noisy.ratio), 0)
    scale = noisy.span / info.span  # from the sensor's counts to those of the frame
    gain, read_variance = info.noise_at(pair.iso)
    gain, read_variance = scale * gain, scale**2 * read_variance
    black = noisy.black_planes + scale * info.offset_at(pair.iso)
    black = black.astype(np.float32)
    residual = (counts - black[:, None, None] - signal) / np.float32(read_variance**0.5)
    weight = read_variance / (gain * signal + read_variance)
    weight[counts >= NEARLY_WHITE * noisy.white_level] = 0
    weight[clean_counts >= NEARLY_WHITE * clean.white_level] = 0
    if ends_at_black(noisy):  # there, noise has a mean
        weight[signal**2 < 9 * (gain * signal + read_variance)] = 0
    # Hot pixels, and what moved.
    weight[np.abs(residual) > 6 / np.sqrt(np.maximum(weight, 1e-6))] = 0
    return (weight * residual).astype(np.float32), weight.astype(np.float32)
