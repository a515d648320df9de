"""Rough cameras: frames with what the two figures of their noise do not tell.

A rough camera adds the same pattern to each of its frames, a value of its own to each
row, and may write files that end at black.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter

from skadl.datasets import get_camera, make_domain
from skadl.raw.image import RawImage
from skadl.raw.levels import cast_counts
from skadl.raw.pair import RawPair

N_DARKS, N_ISOS = 16, 5  # dark frames at each of so many ISOs
_PATTERN_SIDE = 512  # pixels
_SMOOTH = 32.0  # pixels that dark shading reaches


@dataclass(frozen=True)
class Roughness:
    """How rough a camera is, in standard deviations of its read noise."""

    # Of the pattern, which is the same in each frame.
    pixels: float = 0.5
    columns: float = 0.5
    shading: float = 0.0  # smooth
    rows: float = 1.0  # drawn anew for each frame
    clips_black: bool = True  # whether files hold nothing below black


ROUGH = Roughness()
DARK_SHADING = Roughness(shading=0.5, rows=0.0, clips_black=False)
"""What dark frames show, and nothing else."""


def roughen(
    pair: RawPair, rng: np.random.Generator, roughness: Roughness = ROUGH
) -> RawPair:
    """Add to a noisy frame what its rough camera would; the clean frame stays."""
    camera, image = get_camera(pair.sensor), pair.noisy
    read = camera.noise_at(pair.iso)[1] ** 0.5
    height, width = image.mosaic.shape
    pattern = fixed_pattern(camera.name, roughness)
    counts = image.mosaic + read * pattern[:height, :width]
    counts += read * roughness.rows * rng.normal(size=(height, 1))
    black = np.min(image.black_level) if roughness.clips_black else 0
    counts = np.clip(counts, black, image.white_level)
    return RawPair(
        image.with_mosaic(cast_counts(counts, np.uint16)), pair.clean, pair.scene
    )


@lru_cache(maxsize=16)
def fixed_pattern(camera: str, roughness: Roughness) -> np.ndarray:
    """Pattern of a camera, whatever the seed of its frames: (512, 512).

    In standard deviations of read noise. A smaller frame holds its upper left corner.
    """
    rng = np.random.default_rng(len(camera))
    pattern = rng.normal(0, roughness.pixels, (_PATTERN_SIDE, _PATTERN_SIDE))
    pattern += rng.normal(0, roughness.columns, (1, _PATTERN_SIDE))
    if roughness.shading:
        smooth = gaussian_filter(rng.normal(size=pattern.shape), _SMOOTH, mode="wrap")
        pattern += roughness.shading * smooth / smooth.std()
    pattern.flags.writeable = False
    return pattern


def photograph_darks(
    camera: str, size: int, seed: int, roughness: Roughness = ROUGH
) -> list[RawImage]:
    """Photograph no light with a rough camera, at ISOs from end to end."""
    low, high = get_camera(camera).iso_range
    rng = np.random.default_rng([seed, N_DARKS])
    frames = []
    for iso in np.geomspace(low, high, N_ISOS).round().clip(low, high):
        pairs = make_domain(
            camera,
            N_DARKS,
            size=size,
            iso=float(iso),
            ratio=1.0,
            scenes=[np.zeros((size, size, 3))],
            random_state=int(rng.integers(2**31)),
        )
        frames += [roughen(pair, rng, roughness).noisy for pair in pairs]
    return frames
