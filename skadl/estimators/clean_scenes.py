"""Scenes to photograph again, without the noise that their clean frames still hold.

Under new noise the noise of a clean frame is in both frames of the pair: a network
would learn to keep it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skadl.estimators.start import Witness
from skadl.noise.noise_level import NoiseLevel
from skadl.noise.renoising import cut_windows
from skadl.raw.image import RawImage, align_image
from skadl.raw.mosaic import align_blocks, aligned, unpack_mosaic
from skadl.raw.pair import RawPair

LEAST_SHARE = 0.005  # of a residual's variance; a mean of 200 frames has as much


def noise_of_clean(noise: NoiseLevel, share: float) -> NoiseLevel | None:
    """Noise of a pair's clean frame; None if it is too little to matter.

    `noise` is that of the noisy frame, `share` the part of the residual's variance that
    the clean frame causes.

    >>> noise_of_clean(NoiseLevel(shot=0.5, read=0.25), 0.2)
    NoiseLevel(shot=0.125, read=0.0625)
    """
    if share < LEAST_SHARE:
        return None
    part = share / (1 - share)
    return NoiseLevel(noise.shot * part, noise.read * part)


def without_clean_noise(
    pair: RawPair, noise: NoiseLevel, witness: Witness, rng: np.random.Generator
) -> RawPair:
    """Denoise the clean frame of a pair; of a large one, in a window drawn at random.

    `noise` is that of the clean frame.
    """
    (window,) = cut_windows(pair, 1, rng)
    clean = window.clean
    (planes,) = witness([clean], [noise])
    return replace(window, clean=_with_planes(clean, planes))


def _with_planes(image: RawImage, planes: np.ndarray) -> RawImage:
    """Return an image of these normalised planes, as a witness returns them."""
    black = align_image(image).black_planes[:, None, None]
    counts = (planes * (image.span / image.ratio) + black).astype(np.float32)
    mosaic = align_blocks(unpack_mosaic(counts, aligned(image.cfa)), image.cfa)
    return image.with_mosaic(mosaic)
