"""How noisy an image is: shot and read part, in the units of normalised planes."""

from __future__ import annotations

from dataclasses import dataclass

from skadl.noise.residual import TransferCurve, noise_of_pair
from skadl.noise.sensors import SensorInfo
from skadl.raw.pair import RawPair


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
    gain, read_variance = noise_of_pair(curve, *info.noise_at(pair.iso))
    return noise_level(gain, read_variance, pair.ratio, pair.noisy.span)
