"""The fixed pattern of a sensor, as far as noisy/clean pairs show it.

What is left of a noisy frame without its clean one is noise, and what is fixed in the
frame. A clean frame of far more light hardly holds the latter. (The mean of a burst
holds all of it: then the pairs show nothing, and nothing is taken off.) What two halves
of the pairs have in common is believed, as for dark frames; pairs are few, so columns,
rows and smooth shading alone are looked for.

Strong shading makes a residual look like a picture, as a misaligned clean frame does.
Then the pattern is looked for before the noise is known (`pattern_before_noise`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from skadl.noise.clipped_black import ends_at_black
from skadl.noise.dark_frames import CELL, find_pattern
from skadl.noise.fixed_pattern import FixedPattern, PatternAtIso
from skadl.noise.photon_transfer import fit_transfer
from skadl.noise.residual import LEAST_WHITE, NEARLY_WHITE, TransferCurve
from skadl.noise.sensors import SensorInfo
from skadl.raw.image import RawImage
from skadl.raw.levels import normalise
from skadl.raw.pair import RawPair

LEAST_PAIRS = 4  # two halves of two
_STRONG_CELL = 16  # packed pixels a side: of strong shading smaller cells are known
_BLOCK = 8  # packed pixels a side, whose means tell scenes apart
_SAME_SCENE = 0.9  # correlation from which two clean frames may show one scene


def with_pair_pattern(info: SensorInfo, pairs: Sequence[RawPair]) -> SensorInfo:
    """Return a sensor's facts with the pattern that its pairs show.

    As they are where they hold one, where the noise is not known, and where pairs are
    few or of several sizes: these need not show the same part of the sensor.
    """
    if info.fixed_pattern is not None or not info.knows_noise:
        return info
    if len(pairs) < LEAST_PAIRS:
        return info
    by_iso = sorted(range(len(pairs)), key=lambda index: pairs[index].iso)
    halves = {index: place % 2 for place, index in enumerate(by_iso)}
    found = _pattern_in_halves(info, pairs, by_iso, halves, CELL)
    return info if found is None else replace(info, fixed_pattern=found)


def is_picture(curve: TransferCurve) -> bool:
    """Whether a residual shows more than noise: a picture, or what is fixed."""
    return bool(curve.signal.size) and curve.whiteness < LEAST_WHITE


def pattern_before_noise(
    info: SensorInfo, pairs: Sequence[RawPair], curves: Sequence[TransferCurve]
) -> FixedPattern | None:
    """Find the pattern of pairs whose residuals may show pictures; None for none.

    It is what residuals of different scenes have in common: those of one scene share
    what a shift or a wrong light factor leaves, too. Of files that end at black none is
    found, for their noise has a mean that the scene decides. Whether it explains the
    residuals is for the caller to see: what it leaves of them must be noise.
    """
    if info.fixed_pattern is not None or len(pairs) < LEAST_PAIRS:
        return None
    by_iso = sorted(range(len(pairs)), key=lambda index: pairs[index].iso)
    scenes = _number_scenes([pairs[index].clean for index in by_iso])
    if max(scenes) < 1 or any(ends_at_black(pair.noisy) for pair in pairs):
        return None
    info = _roughly_known(info, [curve.in_counts_of(info.span) for curve in curves])
    if not info.knows_noise:
        return None
    halves = {index: scene % 2 for index, scene in zip(by_iso, scenes, strict=True)}
    return _pattern_in_halves(info, pairs, by_iso, halves, _STRONG_CELL)


def _roughly_known(info: SensorInfo, curves: Sequence[TransferCurve]) -> SensorInfo:
    """Fill in noise and black level from residuals that hold a pattern besides."""
    if not info.knows_noise:
        as_noise = [replace(curve, whiteness=1.0) for curve in curves]
        fit, _ = fit_transfer(as_noise, info.span)
        if fit is None:
            return info
        gain, read_noise = (
            dict(zip(fit.isos.tolist(), figures.tolist(), strict=True))
            for figures in (fit.gain, fit.read_noise)
        )
        info = replace(info, gain=gain, read_noise=read_noise)
    if info.black_offset is None:
        offsets: dict[float, list[np.ndarray]] = {}
        for curve in curves:
            offsets.setdefault(curve.iso, []).append(curve.offset)
        black_offset = {
            iso: np.median(found, axis=0).tolist() for iso, found in offsets.items()
        }
        info = replace(info, black_offset=black_offset)
    return info


def _number_scenes(cleans: Sequence[RawImage]) -> list[int]:
    """Give scenes numbers from 0 by what clean frames show, not by their names."""
    numbers, shown = [], []
    for clean in cleans:
        contrast = _contrast(clean)
        same = (n for n, other in enumerate(shown) if _may_be_same(contrast, other))
        number = next(same, len(shown))
        if number == len(shown):
            shown.append(contrast)
        numbers.append(number)
    return numbers


def _contrast(image: RawImage) -> np.ndarray:
    """Means of blocks of a frame less those of its planes, in a row."""
    packed = image.packed()
    n_rows, n_columns = (max(side // _BLOCK, 1) for side in packed.shape[1:])
    packed = packed[:, : n_rows * _BLOCK, : n_columns * _BLOCK]
    shape = (len(packed), n_rows, -1, n_columns, packed.shape[2] // n_columns)
    means = packed.reshape(shape).mean(axis=(2, 4), dtype=float)
    return (means - means.mean(axis=(1, 2), keepdims=True)).ravel()


def _may_be_same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two frames may show one scene; of two sizes, or of nothing, they may."""
    if one.shape != other.shape:
        return True
    power = float((one @ one) * (other @ other)) ** 0.5
    return not float(one @ other) < _SAME_SCENE * power


def _pattern_in_halves(
    info: SensorInfo,
    pairs: Sequence[RawPair],
    by_iso: Sequence[int],
    halves: Mapping[int, int],
    cell: int,
) -> FixedPattern | None:
    """Find what two halves of the pairs have in common; by position, 0 or 1.

    None for nothing, and for pairs of several sizes.
    """
    sums: list[np.ndarray | None] = [None, None]
    weights: list[np.ndarray | None] = [None, None]
    for index in by_iso:
        residual, weight = _residual(pairs[index], info)
        half = halves[index]
        if sums[half] is None:
            sums[half], weights[half] = residual, weight
        elif residual.shape != sums[half].shape:
            return None
        else:
            sums[half], weights[half] = sums[half] + residual, weights[half] + weight
    if sums[0].shape != sums[1].shape:
        return None
    means = [
        total / np.maximum(weight, 1e-6)
        for total, weight in zip(sums, weights, strict=True)
    ]
    spread = float(np.median(1 / np.maximum(weights[0] + weights[1], 1e-6))) ** 0.5
    cfa = pairs[0].noisy.cfa
    _, unit = find_pattern(means, spread, cfa, 1, has_hot=False, cell=cell)
    if unit.shading is None and not unit.rows.any() and not unit.columns.any():
        return None
    height, width = pairs[0].noisy.mosaic.shape
    patterns = {}
    for iso in sorted({pair.iso for pair in pairs}):
        # Pairs are at many ISOs, and a pattern grows with them about as read noise.
        scale = info.noise_at(iso)[1] ** 0.5
        patterns[iso] = PatternAtIso(
            scale * np.resize(unit.rows, height),
            scale * np.resize(unit.columns, width),
            None if unit.shading is None else scale * unit.shading,
            error=scale * unit.error,
        )
    return FixedPattern(patterns)


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
