"""Simulated sensor noise over the whole plane of noise levels that cameras show.

The model is that of Wei et al., "A Physics-based Noise Formation Model for Extreme
Low-light Raw Denoising" (CVPR 2020): photon noise, read noise with long tails, row
noise, quantisation. Added here: column noise, errors of the black level, gains that
differ by plane, uneven response of the pixels, and clipping.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skadl.noise.tukey_lambda import (
    draw_tukey_lambda,
    tukey_lambda_variance,
)
from skadl.raw.mosaic import mosaic_of, pack_mosaic

QUANTISATION_VARIANCE = 1 / 12  # counts squared
_BITS, _BITS_SHARE = (8, 10, 12, 14), (0.05, 0.15, 0.4, 0.4)
_WELL = (80.0, 1.2e5)  # electrons at white
_RATIO = (1.0, 300.0)  # light factor
_MOST_SHOT = 1.0  # of a normalised image: one electron at white
_MOST_READ = 1.5  # standard deviation in a normalised image
_READ_ELECTRONS = (0.5, 10.0)
_READ_COUNTS = (0.15, 2.0)  # noise of the converter
# What is told: share of the images, standard deviation of the figures' logarithms.
_TOLD_ERRORS = ((0.5, 0.0), (0.3, 0.2), (0.2, 0.6))


@dataclass(frozen=True)
class SimulatedNoise:
    """Noise of one image. Standard deviations and offsets are in counts."""

    black: float  # counts
    white: float  # counts
    ratio: float  # light factor: the exposure is 1 / ratio of the clean image's
    gains: tuple[float, ...]  # counts per electron, of each plane
    read: float
    tail: float | None  # Tukey-lambda shape of the read noise; None is Gaussian
    row: float
    column: float
    offsets: tuple[float, ...]  # error of the black level, by plane
    response: float  # standard deviation of the pixels' sensitivity, a fraction
    clips_black: bool  # whether counts below black are lost

    @property
    def span(self) -> float:
        """White minus black level, in counts."""
        return self.white - self.black

    @property
    def gain(self) -> float:
        """Mean system gain K, in counts per electron."""
        return sum(self.gains) / len(self.gains)

    @property
    def read_variance(self) -> float:
        """All variance that does not depend on the signal, in counts squared."""
        return self.read**2 + self.row**2 + self.column**2 + QUANTISATION_VARIANCE

    @property
    def level(self) -> tuple[float, float]:
        """Shot and read part of a normalised image's variance."""
        scale = self.ratio / self.span
        return self.gain * scale, self.read_variance * scale**2


def draw_noise(rng: np.random.Generator, cfa: str = "RGGB") -> SimulatedNoise:
    """Draw the noise of one image from the whole plane."""
    own = mosaic_of(cfa)
    bits = rng.choice(_BITS, p=_BITS_SHARE)
    white = float(2**bits - 1)
    black = 0.0 if rng.random() < 0.15 else float(np.rint(rng.uniform(0, 0.07) * white))
    well = _log_uniform(_WELL, rng)
    gain = (white - black) / well
    ratio = 1.0 if rng.random() < 0.3 else _log_uniform(_RATIO, rng)
    read = np.hypot(
        gain * _log_uniform(_READ_ELECTRONS, rng), _log_uniform(_READ_COUNTS, rng)
    )
    most = min(_MOST_SHOT * well, _MOST_READ * (white - black) / read)
    ratio = max(min(ratio, most), 1.0)
    gains = np.full(own.n_planes, gain)
    if rng.random() < 0.15:  # some cameras scale red and blue digitally
        for colour, factor in zip("RB", np.exp(rng.normal(0, 0.08, 2)), strict=True):
            gains[own.planes_of(colour)] *= factor
    row = 0.0
    if rng.random() < 0.5:
        row = read * (rng.uniform(0.35, 1) if rng.random() < 0.2 else rng.random() / 3)
    column = read * rng.uniform(0, 0.3) if rng.random() < 0.2 else 0.0
    offsets = np.zeros(own.n_planes)
    if rng.random() < 0.5:
        offsets = rng.normal(0, 0.15 * read, own.n_planes)
    return SimulatedNoise(
        black,
        white,
        float(ratio),
        tuple(gains.tolist()),
        float(read),
        float(rng.uniform(-0.25, 0.14)) if rng.random() < 0.5 else None,
        float(row),
        float(column),
        tuple(offsets.tolist()),
        float(rng.uniform(0, 0.006)) if rng.random() < 0.15 else 0.0,
        bool(rng.random() < 0.15),
    )


def add_noise(
    clean: np.ndarray,
    noises: Sequence[SimulatedNoise],
    rng: np.random.Generator,
    cfa: str = "RGGB",
) -> np.ndarray:
    """Expose normalised planes (B, C, h, w) anew: noisy ones, float32, clipped."""
    n_images, _, height, width = clean.shape
    gains, offsets = (
        np.array([getattr(n, name) for n in noises], np.float32)[..., None, None]
        for name in ("gains", "offsets")
    )  # (B, C, 1, 1)
    black, white, row, column, scale = (
        np.array(values, np.float32)[:, None, None, None]
        for values in (
            [n.black for n in noises],
            [n.white for n in noises],
            [n.row for n in noises],
            [n.column for n in noises],
            [n.ratio / n.span for n in noises],
        )
    )  # (B, 1, 1, 1)
    signal = np.maximum(clean, 0) / scale  # counts
    for image, noise in zip(signal, noises, strict=True):
        if noise.response:
            image *= 1 + noise.response * rng.standard_normal(image.shape, np.float32)
    np.maximum(signal, 0, out=signal)
    counts = rng.poisson(signal / gains).astype(np.float32) * gains
    for image, noise in zip(counts, noises, strict=True):
        image += noise.read * _read_noise(noise.tail, image.shape, rng)
    side = mosaic_of(cfa).side
    rows = row * rng.standard_normal((n_images, side, height, 1), np.float32)
    columns = column * rng.standard_normal((n_images, side, 1, width), np.float32)
    for image, down, across in zip(counts, rows, columns, strict=True):
        # (side, h, 1) -> (side h, 1), (side, 1, w) -> (1, side w): of the mosaic
        lines = down.swapaxes(0, 1).reshape(-1, 1) + across.T.reshape(1, -1)
        image += pack_mosaic(lines, cfa)
    counts += offsets + black
    lowest = [n.black if n.clips_black else 0.0 for n in noises]
    lowest = np.array(lowest, np.float32)[:, None, None, None]
    counts = np.clip(np.rint(counts), lowest, white)
    return (counts - black) * scale


def told_level(noise: SimulatedNoise, rng: np.random.Generator) -> tuple[float, float]:
    """Return what the network is told: half of the time as it is, else with errors.

    Large errors move both parts together, as an estimate from a picture errs.
    """
    shot, read = noise.level
    shares, sizes = zip(*_TOLD_ERRORS, strict=True)
    size = sizes[rng.choice(len(sizes), p=shares)]
    if size == 0:
        return shot, read
    common, *own = rng.normal(0, size * 0.5**0.5, 3)
    errors = np.exp(common + np.array(own))
    return float(shot * errors[0]), float(read * errors[1])


def _read_noise(
    tail: float | None, size: tuple[int, ...], rng: np.random.Generator
) -> np.ndarray:
    """Draw read noise of unit variance, float32."""
    if tail is None:
        return rng.standard_normal(size, np.float32)
    unit = np.float32(tukey_lambda_variance(tail) ** 0.5)
    return draw_tukey_lambda(tail, size, rng) / unit


def _log_uniform(limits: tuple[float, float], rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(limits))))
