"""The noise of every sensor of a fit, given or measured on its own pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from skadl.conditioning import NoiseLevel, counts_range, noise_level
from skadl.noise import NoiseFit, TransferCurve, fit_noise
from skadl.records import RawPair
from skadl.sensors import SensorInfo, SensorTable


def calibrate(
    table: SensorTable, curves: Mapping[str, Sequence[TransferCurve]]
) -> SensorTable:
    """Fill in gain and read noise of the sensors whose noise is not given.

    Parameters
    ----------
    table : SensorTable
    curves : mapping of sensor name to sequence of TransferCurve
        Measured on the pairs of that sensor.

    Returns
    -------
    SensorTable
        Every sensor with curves knows its noise.

    Raises
    ------
    ValueError
        If all pairs of a sensor are clipped throughout.
    """
    measured: dict[str, SensorInfo] = {}
    for name, own_curves in curves.items():
        info = table.get(name)
        if info.knows_noise:
            continue
        fit = fit_noise(own_curves)
        if fit is None:
            raise ValueError(
                f"no pair of sensor {name!r} has enough unclipped pixels to measure "
                "its noise; check its levels and exposures, or give gain and "
                "read_noise in a SensorInfo."
            )
        noise = {curve.iso: fit.at(curve.iso) for curve in own_curves}
        measured[name] = replace(
            info,
            gain={iso: gain for iso, (gain, _) in noise.items()},
            read_noise={iso: variance**0.5 for iso, (_, variance) in noise.items()},
        )
    return table.updated(measured)


def expected_noise(info: SensorInfo, iso: float, ratio: float) -> NoiseLevel:
    """Noise level that an image of a calibrated sensor should have.

    Parameters
    ----------
    info : SensorInfo
        With gain and read noise.
    iso, ratio : float

    Returns
    -------
    NoiseLevel
    """
    return noise_level(*info.noise_at(iso), ratio, counts_range(info))


def measured_noise(pair: RawPair, curve: TransferCurve, info: SensorInfo) -> NoiseLevel:
    """Noise level that a pair shows, whatever its label says.

    A source pair may carry a wrong ISO, come from a simulator, or be an average;
    its residual tells the truth, and the sensor's figures fill in what a single
    pair leaves open.

    Parameters
    ----------
    pair : RawPair
    curve : TransferCurve
        Of that pair.
    info : SensorInfo
        Of its sensor, with gain and read noise.

    Returns
    -------
    NoiseLevel
    """
    gain, read_variance = info.noise_at(pair.iso)
    prior = NoiseFit(
        float(np.log(gain)), 0.5 * float(np.log(read_variance)), 1.0, 1.0, pair.iso
    )
    fit = fit_noise([curve], prior)
    if fit is not None:
        gain, read_variance = fit.at(pair.iso)
    image = pair.noisy
    counts = float(image.white_level - image.black_planes.mean())
    return noise_level(gain, read_variance, pair.ratio, counts)
