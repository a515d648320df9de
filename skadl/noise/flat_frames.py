"""What flat frames show: the gain of each plane, by photon transfer.

Flats are frames of something even and bright: a white wall, out of focus. Two of equal
exposure differ by noise alone, whatever the shading of the lens and the sensitivity of
single pixels. Their variance grows with the signal by the gain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skadl.noise.residual import NEARLY_WHITE
from skadl.raw.image import RawImage
from skadl.support.robust import robust_sigma

_BLOCK = 16  # packed pixels: side of the blocks that are even
_EQUAL = 0.02  # part of the signal that two flats of one exposure may differ by
_MOST_CLIPPED = 0.001  # share of a block's pixels
_TAIL = 6.0  # robust standard deviations
_FLOOR = 0.005  # of the error of log gain: what more frames do not remove


@dataclass(frozen=True, eq=False)
class FlatFigures:
    """Gain of a sensor at one ISO, in counts per electron."""

    iso: float
    n_pairs: int
    gain: float
    gain_error: float  # of its logarithm
    plane_gain: np.ndarray  # (4,), over the gain
    plane_error: float  # of a plane's logarithm
    read_noise: float  # in counts: where the line meets no light
    read_noise_error: float  # of its logarithm


def measure_flats(
    frames: Sequence[RawImage], read_noise: float | None, offset: np.ndarray | float
) -> FlatFigures | None:
    """Measure flats of one ISO; None where no two have the same exposure.

    `read_noise` in counts, where dark frames gave it, and the error of black.
    """
    lit = sorted(
        ((_planes(frame, offset), frame) for frame in frames),
        key=lambda entry: float(entry[0].mean()),
    )
    signals, variances, numbers, index = [], [], [], 0
    n_pairs = 0
    while index + 1 < len(lit):
        (first, frame), (second, _) = lit[index : index + 2]
        means = [planes.mean(axis=(1, 2)) for planes in (first, second)]
        if np.abs(means[1].sum() / means[0].sum() - 1) > _EQUAL:
            index += 1
            continue
        white = (NEARLY_WHITE * frame.white_level - frame.black_planes).min()
        for part, values in zip(
            (signals, variances, numbers),
            _blocks(first, second, white),
            strict=True,
        ):
            part.append(values)
        n_pairs += 1
        index += 2
    if not n_pairs:
        return None
    signals, variances, numbers = (
        np.concatenate(part, axis=1) for part in (signals, variances, numbers)
    )
    fits = [
        _fit_line(s[n > 0], v[n > 0], n[n > 0], read_noise)
        for s, v, n in zip(signals, variances, numbers, strict=True)
    ]
    if any(fit is None for fit in fits):
        return None
    gains, errors, dark, dark_errors = np.array(fits).T
    gain = float(np.mean(gains))
    plane_error = float(np.hypot(np.mean(errors), _FLOOR))
    found_dark = max(float(np.mean(dark)), 1e-6)
    return FlatFigures(
        float(frames[0].iso),
        n_pairs,
        gain,
        float(np.hypot(np.mean(errors) / 2, _FLOOR)),
        gains / gain,
        plane_error,
        read_noise or found_dark**0.5,
        float(min(np.mean(dark_errors) / 2 / found_dark / 2, 2.0)),
    )


def _planes(frame: RawImage, offset: np.ndarray | float) -> np.ndarray:
    planes = frame.packed().astype(float)
    return planes - (frame.black_planes + offset)[:, None, None]


def _blocks(
    first: np.ndarray, second: np.ndarray, white: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signal, variance and pixels of blocks of two flats, (4, n_blocks) each.

    0 pixels where a block is clipped.
    """
    rows, columns = (max(side // _BLOCK, 1) for side in first.shape[1:])
    sides = [min(_BLOCK, side) for side in first.shape[1:]]

    def cut(planes: np.ndarray) -> np.ndarray:
        planes = planes[:, : rows * sides[0], : columns * sides[1]]
        planes = planes.reshape(-1, rows, sides[0], columns, sides[1])
        return planes.transpose(0, 1, 3, 2, 4).reshape(len(planes), rows * columns, -1)

    one, two = cut(first), cut(second)
    mean = 0.5 * (one + two).mean(axis=2)
    # The light of two exposures may differ a little: in proportion, and by block.
    scale = one.mean(axis=2) / np.maximum(two.mean(axis=2), 1e-9)
    difference = one - scale[:, :, None] * two
    sigma = robust_sigma(difference, axis=2)
    is_noise = np.abs(difference) <= _TAIL * np.maximum(sigma, 0.5)[:, :, None]
    n_noise = is_noise.sum(axis=2)
    # The scale took one degree of freedom.
    squares = (np.where(is_noise, difference, 0.0) ** 2).sum(axis=2)
    variance = squares / np.maximum(n_noise - 1, 1) / (1 + scale**2)
    clipped = np.maximum(one, two) >= white
    is_good = (clipped.mean(axis=2) <= _MOST_CLIPPED) & (mean > 0)
    return mean, variance, np.where(is_good, n_noise, 0)


def _fit_line(
    signal: np.ndarray,
    variance: np.ndarray,
    n_pixels: np.ndarray,
    read_noise: float | None,
) -> tuple[float, float, float, float] | None:
    """Gain, the error of its logarithm, read variance and its error."""
    if len(signal) < 2:
        return None
    known = 0.0 if read_noise is None else read_noise**2
    has_range = signal.max() > 2 * signal.min()
    free = read_noise is None and has_range
    columns = [signal, np.ones_like(signal)] if free else [signal]
    design = np.stack(columns, axis=1)
    model = np.maximum(variance, 1e-9)
    for _ in range(8):  # each block weighs by the error of the variance expected there
        weight = np.sqrt(n_pixels / 2) / model
        weighted = design * weight[:, None]
        found, *_ = np.linalg.lstsq(weighted, (variance - known) * weight, rcond=None)
        if found[0] <= 0:
            return None
        model = np.maximum(design @ found + known, 1e-9)
    covariance = np.linalg.inv(weighted.T @ weighted)
    misfit = (variance - known - design @ found) * weight
    worse = max(float(np.mean(misfit**2)), 1.0)  # than the blocks' own errors
    gain_error = (worse * covariance[0, 0]) ** 0.5 / found[0]
    if free:
        dark, dark_error = max(found[1], 0.0), (worse * covariance[1, 1]) ** 0.5
    else:
        # Without a dark frame or a second level all variance is put down to light.
        dark, dark_error = known, 0.0 if read_noise is not None else np.inf
    return float(found[0]), float(gain_error), float(dark), float(dark_error)
