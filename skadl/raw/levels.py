"""Counts and normalised planes: black level at 0, white level at 1, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skadl.raw.mosaic import mosaic_of, pack_mosaic

# A camera's true saturation may lie somewhat above the level that LibRaw lists for
# it (Canon lists 3692 and saturates at 4095 on some models): only more than
# _STRAY_FRACTION of the counts, further off than this share of the range between
# the levels, contradicts the level.
_ABOVE_WHITE = 0.25
_STRAY_FRACTION = 1e-3
# The median of a dark frame lies at the black level, give or take its offset drift.
_BELOW_BLACK = 0.01


def black_planes(black_level: float | tuple[float, ...], cfa: str) -> np.ndarray:
    """Reorder black levels from CFA reading order to the planes, (n_planes,)."""
    own = mosaic_of(cfa)
    block = np.broadcast_to(np.asarray(black_level, float), own.n_planes)
    return pack_mosaic(block.reshape(own.side, own.side), cfa).ravel()


def level_span(black_level: float | np.ndarray, white_level: float) -> float:
    """Measure the counts from mean black to white: the unit of normalised planes.

    >>> level_span((60, 64, 66, 70), 1065)
    1000.0
    """
    # One scale serves all planes, so that the two greens keep their balance.
    return float(white_level - np.mean(black_level))


def normalise(
    packed: np.ndarray, black_planes: np.ndarray, white_level: float, ratio: float
) -> np.ndarray:
    """Map packed counts (C, h, w) to black 0, white 1, times `ratio`; float32."""
    scale = ratio / level_span(black_planes, white_level)
    # Never clipped: noise below black is half of the noise there is.
    return (
        (packed - black_planes[:, None, None].astype(np.float32)) * np.float32(scale)
    ).astype(np.float32, copy=False)


def denormalise(
    planes: np.ndarray, black_planes: np.ndarray, white_level: float, ratio: float
) -> np.ndarray:
    """Map normalised planes back to packed counts: undo `normalise`; float32."""
    scale = level_span(black_planes, white_level) / ratio
    return planes * np.float32(scale) + black_planes[:, None, None].astype(np.float32)


def scale_to_16_bits(white_level: float) -> int:
    """Return the power of two that counts up to white can be multiplied by in uint16.

    >>> scale_to_16_bits(4095), scale_to_16_bits(16383.0), scale_to_16_bits(70000)
    (16, 4, 1)
    """
    return 1 << max(0, 16 - math.ceil(white_level).bit_length())


def cast_counts(counts: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Cast counts to `dtype`; integer types are rounded and clipped to their range."""
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        counts = np.rint(counts)
        np.clip(counts, limits.min, limits.max, out=counts)
    return counts.astype(dtype)


def check_counts(
    mosaic: np.ndarray,
    black_level: float | Sequence[float],
    white_level: float,
    path: Path,
) -> None:
    """Refuse a mosaic that says nothing, or levels that contradict it."""
    if mosaic.size == 0 or mosaic.min() == mosaic.max():
        content = f"only the count {mosaic.flat[0]}" if mosaic.size else "no pixels"
        raise ValueError(
            f"{path.name} holds {content}: an empty frame or a stub without image "
            "data; leave it out."
        )
    lowest_black, highest_black = np.min(black_level), np.max(black_level)
    next_step = (
        "give read_raw black_level=... and white_level=... that fit this file (on the "
        "command line --black-level and --white-level)."
    )
    if not white_level > highest_black:
        raise ValueError(
            f"{path.name} has white level {white_level:g}, not above its black level "
            f"{highest_black:g}; {next_step}"
        )
    level_range = white_level - highest_black
    ceiling = white_level + _ABOVE_WHITE * level_range
    above = np.count_nonzero(mosaic > ceiling) / mosaic.size
    if above > _STRAY_FRACTION:
        raise ValueError(
            f"{path.name} has {above:.1%} of its counts far above the white level "
            f"{white_level:g} (highest {mosaic.max()}); {next_step}"
        )
    floor = lowest_black - _BELOW_BLACK * level_range
    below = np.count_nonzero(mosaic < floor) / mosaic.size
    if below > 0.5:
        raise ValueError(
            f"{path.name} has {below:.1%} of its counts below the black level "
            f"{lowest_black:g} (lowest {mosaic.min()}); {next_step}"
        )
