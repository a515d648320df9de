"""What a DNG says of its own noise: the tag NoiseProfile."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from skadl.raw.tiff_tags import TiffTags, numbers

_NOISE_PROFILE = 51041
# Of a signal from 0 to 1: a sensor that catches a single electron has a slope of 1.
_HIGHEST = 1.0
# Planes R, Gr, Gb, B out of those of a profile: one for all, red green blue, or four.
_PLANES = {1: (0, 0, 0, 0), 3: (0, 1, 1, 2), 4: (0, 1, 2, 3)}

NoiseProfile = tuple[tuple[float, float], ...]


def read_noise_profile(tags: TiffTags, name: str) -> NoiseProfile | None:
    """Read the NoiseProfile of a DNG by its file's name, for the planes R, Gr, Gb, B.

    Each is slope and intercept (S, O): the variance of a signal x from black at 0 to
    white at 1 is ``S x + O`` (DNG specification 1.4.0.0, tag 51041). None for a file
    without; a UserWarning and None where its numbers cannot be meant.
    """
    entry = tags.find(_NOISE_PROFILE)
    if entry is None or not tags.is_dng:  # another format's tag of that number
        return None
    values = numbers(entry)
    try:
        return check_noise_profile(values)
    except ValueError as error:
        warnings.warn(
            f"{name} has a NoiseProfile that is not used: {error}",
            UserWarning,
            stacklevel=2,
        )
        return None


def check_noise_profile(values: Any) -> NoiseProfile:
    """Parse slopes and intercepts in turn, or say why they cannot be noise.

    >>> check_noise_profile([1e-3, 1e-6])
    ((0.001, 1e-06), (0.001, 1e-06), (0.001, 1e-06), (0.001, 1e-06))
    """
    try:
        parts = np.asarray(values, float).reshape(-1, 2)
    except (TypeError, ValueError):
        parts = np.empty((0, 2))
    if len(parts) not in _PLANES:
        raise ValueError(
            "it must be one, three or four pairs of slope and intercept, got "
            f"{_shown(values)}."
        )
    possible = np.isfinite(parts) & (parts >= 0) & (parts <= _HIGHEST)
    if not (possible.all() and (parts.sum(axis=1) > 0).all()):
        raise ValueError(
            "slopes and intercepts must lie from 0 to 1, with one of both above 0, got "
            f"{_shown(values)}."
        )
    pairs = [tuple(pair) for pair in parts.tolist()]
    return tuple(pairs[plane] for plane in _PLANES[len(pairs)])


def rescale_profile(
    profile: NoiseProfile, old_span: float, new_span: float
) -> NoiseProfile | None:
    """Keep gain and read noise in counts where other levels give a signal its unit.

    None if that is no noise any more.

    >>> rescale_profile(((0.25, 0.5),) * 4, 500, 1000)[0]
    (0.125, 0.125)
    """
    if old_span == new_span:
        return profile
    scale = old_span / new_span
    pairs = [(slope * scale, offset * scale**2) for slope, offset in profile]
    try:
        return check_noise_profile(pairs)
    except ValueError:
        return None


def _shown(values: Any) -> str:
    text = repr(np.ravel(values).tolist())
    return text if len(text) < 120 else f"{text[:120]}..."
