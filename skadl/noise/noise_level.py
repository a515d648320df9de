"""How noisy an image is: shot and read part, in the units of normalised planes."""

from __future__ import annotations

from dataclasses import dataclass

from skadl.noise.residual import TransferCurve, noise_of_pair
from skadl.noise.sensors import SensorInfo
from skadl.raw.image import RawImage
from skadl.raw.pair import RawPair

_LEAST = 1e-9  # counts: a sensor has no noise of 0


@dataclass(frozen=True)
class NoiseLevel:
    """Noise of a normalised image: variance is ``shot * signal + read``."""

    shot: float  # system gain times light factor, over the range from black to white
    read: float  # read variance times light factor squared, over that range squared


def noise_level(
    gain: float, read_variance: float, ratio: float, span: float
) -> NoiseLevel:
    """Bring gain and read variance from counts to the units of normalised planes.

    >>> noise_level(2.0, 16.0, ratio=8, span=1024)
    NoiseLevel(shot=0.015625, read=0.0009765625)
    """
    scale = ratio / span
    return NoiseLevel(float(gain * scale), float(read_variance * scale**2))


def expected_noise(info: SensorInfo, iso: float, ratio: float) -> NoiseLevel:
    """Noise level that an image of a calibrated sensor should have."""
    return noise_level(*info.noise_at(iso), ratio, info.span)


def measured_noise(pair: RawPair, curve: TransferCurve, info: SensorInfo) -> NoiseLevel:
    """Noise level that a pair shows, whatever its label says.

    A source pair may carry a wrong ISO, come from a simulator, or be an average; its
    residual tells the truth, and the sensor's figures fill in what a single pair leaves
    open.
    """
    curve = curve.in_counts_of(info.span)
    gain, read_variance = noise_of_pair(curve, *info.noise_at(pair.iso))
    return noise_level(gain, read_variance, pair.ratio, info.span)


def level_of_profile(image: RawImage) -> NoiseLevel:
    """Noise level that the noise profile of an image says, the mean of its planes."""
    shot, read = (sum(part) / 4 for part in zip(*image.noise_profile, strict=True))
    return NoiseLevel(shot * image.ratio, read * image.ratio**2)


def info_of(noise: NoiseLevel, image: RawImage) -> SensorInfo:
    """Facts of a sensor that expects this noise in this image: the inverse.

    >>> import numpy as np
    >>> image = RawImage(np.zeros((2, 2)), "RGGB", 64, 1023, "A", 200, 4)
    >>> info = info_of(NoiseLevel(0.01, 0.0004), image)
    >>> expected_noise(info, 200, 4)
    NoiseLevel(shot=0.01, read=0.0004)
    """
    scale = image.span / image.ratio
    return SensorInfo(
        image.cfa,
        image.black_level,
        image.white_level,
        gain={image.iso: max(noise.shot * scale, _LEAST)},
        read_noise={image.iso: max(noise.read**0.5 * scale, _LEAST)},
    )
