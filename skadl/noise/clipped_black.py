"""Files that hold nothing below the black level: there, noise has a mean.

Some cameras set counts below black to black. Of a dark part of the picture half of the
noise is then cut off, and what is left has a mean above that of the light. A denoiser
that keeps means, as it must, keeps this one too: a grey veil over the shadows. The
noise model tells how much it is (a censored Gaussian), so it can be taken off what was
denoised.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from skadl.raw.image import RawImage

LEAST_AT_BLACK = 1e-3  # share of a frame's pixels, where black is clipped
# Variance that is left of Gaussian noise where there is no light and half is cut off.
# Networks that are told of that part denoise dark parts as well as unclipped ones; told
# the whole, they take texture for noise.
LEFT_AT_BLACK = 0.5 - 0.5 / np.pi
_STEPS = 512  # of the table that is read backwards
_FAR = 12.0  # standard deviations of dark noise, from which nothing is clipped
_LEAST_READ = 1e-20


def share_at_black(image: RawImage) -> float | None:
    """Share of a frame's pixels at its black level; None where some lie below it."""
    mosaic, black = image.mosaic, np.floor(np.min(image.black_level))
    if mosaic.min() < black:
        return None
    return float(np.mean(mosaic == black))


def ends_at_black(image: RawImage) -> bool:
    """Whether counts below black were set to black in this frame."""
    share = share_at_black(image)
    return share is not None and share >= LEAST_AT_BLACK


def mean_where_clipped(signal: np.ndarray, shot: float, read: float) -> np.ndarray:
    """Mean of ``max(signal + noise, 0)``; of noise the variance is shot signal + read.

    >>> round(float(mean_where_clipped(np.zeros(1), 0.0, 1.0)[0]), 3)
    0.399
    """
    signal = np.maximum(signal, 0)
    sigma = np.sqrt(shot * signal + max(read, _LEAST_READ))
    place = signal / sigma
    density = np.exp(-0.5 * place**2) / np.sqrt(2 * np.pi)
    return signal * ndtr(place) + sigma * density


def offset_where_clipped(mean: np.ndarray, sigma: float) -> np.ndarray:
    """Offset from black, or below it, whose Gaussian noise, clipped, has this mean.

    >>> offset_where_clipped(np.array([0.399, 1.083, 3.0]), 1.0).round(2)
    array([0., 1., 3.])
    """
    places = np.linspace(-4, _FAR, 8 * _STEPS)
    means = places * ndtr(places) + np.exp(-0.5 * places**2) / np.sqrt(2 * np.pi)
    scaled = np.asarray(mean, float) / max(sigma, _LEAST_READ)
    return sigma * np.where(scaled > _FAR, scaled, np.interp(scaled, means, places))


def signal_where_clipped(mean: np.ndarray, shot: float, read: float) -> np.ndarray:
    """Signal whose clipped noise has this mean: the inverse; float32, 0 or more.

    >>> noise = 0.01, 0.04
    >>> signal = np.array([0.0, 0.1, 0.5, 5.0])
    >>> signal_where_clipped(mean_where_clipped(signal, *noise), *noise).round(2)
    array([0. , 0.1, 0.5, 5. ], dtype=float32)
    """
    # Beyond the end shot noise is too far from black as well.
    dark = max(read, _LEAST_READ) ** 0.5
    end = _FAR * dark + _FAR**2 * shot
    signals = end * np.linspace(0, 1, _STEPS) ** 2
    means = mean_where_clipped(signals, shot, read)
    found = np.interp(mean, means, signals).astype(np.float32)
    return np.where(mean > means[-1], mean, found).astype(np.float32, copy=False)
