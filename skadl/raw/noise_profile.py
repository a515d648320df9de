"""What a DNG says of its own noise: the tag NoiseProfile."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

_NOISE_PROFILE, _DNG_VERSION, _SUB_IFDS = 51041, 50706, 330
_CFA_PHOTOMETRIC = 32803
# Of a signal from 0 to 1: a sensor that catches a single electron has a slope of 1.
_HIGHEST = 1.0
# Planes R, Gr, Gb, B out of those of a profile: one for all, red green blue, or four.
_PLANES = {1: (0, 0, 0, 0), 3: (0, 1, 1, 2), 4: (0, 1, 2, 3)}

NoiseProfile = tuple[tuple[float, float], ...]


def read_noise_profile(path: Path) -> NoiseProfile | None:
    """Read the NoiseProfile of a DNG, for the planes R, Gr, Gb, B.

    Each is slope and intercept (S, O): the variance of a signal x from black at 0 to
    white at 1 is ``S x + O`` (DNG specification 1.4.0.0, tag 51041). None for a file
    without; a UserWarning and None where its numbers cannot be meant.
    """
    values = _find_values(path)
    if values is None:
        return None
    try:
        return check_noise_profile(values)
    except ValueError as error:
        warnings.warn(
            f"{path.name} has a NoiseProfile that is not used: {error}",
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
        numbers = np.asarray(values, float).reshape(-1, 2)
    except (TypeError, ValueError):
        numbers = np.empty((0, 2))
    if len(numbers) not in _PLANES:
        raise ValueError(
            "it must be one, three or four pairs of slope and intercept, got "
            f"{_shown(values)}."
        )
    possible = np.isfinite(numbers) & (numbers >= 0) & (numbers <= _HIGHEST)
    if not (possible.all() and (numbers.sum(axis=1) > 0).all()):
        raise ValueError(
            "slopes and intercepts must lie from 0 to 1, with one of both above 0, got "
            f"{_shown(values)}."
        )
    pairs = [tuple(pair) for pair in numbers.tolist()]
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


def _find_values(path: Path) -> Sequence[float] | None:
    """Look for the tag where the mosaic lies, then in the first directory."""
    with path.open("rb") as file:
        if file.read(2) not in (b"II", b"MM"):
            return None
    try:
        with tifffile.TiffFile(path) as tiff:
            first = tiff.pages.first
            if _DNG_VERSION not in first.tags:  # another format's tag of that number
                return None
            parts = list(first.pages or ()) if _SUB_IFDS in first.tags else []
            # A DNG's previews are in directories beside that of the mosaic.
            mosaics = [p for p in parts if p.photometric == _CFA_PHOTOMETRIC]
            for page in (*mosaics, first):
                if _NOISE_PROFILE in page.tags:
                    value = page.tags[_NOISE_PROFILE].value
                    return value if isinstance(value, tuple) else (math.nan,)
    except Exception:  # tifffile lets any parsing error out; no profile then
        return None
    return None
