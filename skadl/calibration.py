"""The noise of every sensor of a fit, given or measured on its own pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from skadl.conditioning import NoiseLevel, counts_range, noise_level
from skadl.noise import LEAST_WHITE, NoiseFit, TransferCurve, fit_noise
from skadl.records import RawPair
from skadl.sensors import SensorInfo, SensorTable


def calibrate(
    table: SensorTable, curves: Mapping[str, Sequence[TransferCurve]]
) -> SensorTable:
    """Fill in black-level error, and gain and read noise where they are not given.

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
        if info.black_offset is None:
            info = replace(info, black_offset=_mean_offsets(own_curves))
        if not info.knows_noise:
            fit = fit_noise(own_curves)
            if fit is None:
                raise ValueError(
                    f"no pair of sensor {name!r} has enough unclipped pixels to "
                    "measure its noise; check its levels and exposures, or give gain "
                    "and read_noise in a SensorInfo."
                )
            noise = {curve.iso: fit.at(curve.iso) for curve in own_curves}
            info = replace(
                info,
                gain={iso: gain for iso, (gain, _) in noise.items()},
                read_noise={iso: variance**0.5 for iso, (_, variance) in noise.items()},
            )
        measured[name] = info
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


def _mean_offsets(curves: Sequence[TransferCurve]) -> dict[float, tuple[float, ...]]:
    """Mean black-level error at each ISO, of pairs that show nothing but noise."""
    offsets: dict[float, list[np.ndarray]] = {}
    for curve in curves:
        if curve.signal.size and curve.whiteness >= LEAST_WHITE:
            offsets.setdefault(curve.iso, []).append(curve.offset)
    return {iso: tuple(np.mean(own, axis=0)) for iso, own in offsets.items()}
