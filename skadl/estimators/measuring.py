"""What the residuals of all pairs say before training: faults, patterns and noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
import torch

from skadl.noise.calibration import calibrate
from skadl.noise.frame_offsets import without_pattern
from skadl.noise.noise_level import NoiseLevel, measured_noise
from skadl.noise.pair_pattern import LEAST_PAIRS, with_pair_pattern
from skadl.noise.residual import TransferCurve
from skadl.noise.sensors import SensorTable
from skadl.raw.pair import RawPair
from skadl.screening.pattern import take_off_patterns
from skadl.screening.screen import (
    ResidualAnalysis,
    Screening,
    analyse_residuals,
    screen,
)
from skadl.support.progress import Progress

_T = TypeVar("_T")
MOST_CURVES = 24  # of a sensor that its noise is measured on
_LEAST_GOOD = 2  # pairs that a measurement needs before it leaves faulty ones out


@dataclass(frozen=True, eq=False)
class MeasuredPairs:
    """Pairs of one domain with what their residuals say, in one order."""

    pairs: Sequence[RawPair]  # without the pattern that was given for their sensors
    residuals: Sequence[ResidualAnalysis]
    screenings: Sequence[Screening]

    @property
    def curves(self) -> list[TransferCurve]:
        """Noise of each pair."""
        return [residual.curve for residual in self.residuals]

    @property
    def offsets(self) -> list[np.ndarray | float]:
        """Error of the black level of each pair: (4,), or 0."""
        # The mean residual of a wrong pair is no error of the black level.
        return [
            0.0 if screening.is_faulty else curve.offset
            for curve, screening in zip(self.curves, self.screenings, strict=True)
        ]

    def noise(self, sensors: SensorTable) -> list[NoiseLevel]:
        """Noise level that each pair shows, whatever its label says."""
        return [
            measured_noise(pair, curve, sensors.get(pair.sensor))
            for pair, curve in zip(self.pairs, self.curves, strict=True)
        ]


def measure_pairs(
    pairs: Sequence[RawPair],
    domains: Mapping[str, Sequence[RawPair]],
    sensors: SensorTable,
    progress: Progress,
) -> tuple[MeasuredPairs, dict[str, MeasuredPairs], SensorTable]:
    """Look at the residuals of the target's pairs and of all domains.

    The sensors come back with the patterns that explain what looked like pictures in
    the target's. ValueError if a pair cannot be used.
    """
    members = {
        name: tuple(without_pattern(pair, sensors.get(pair.sensor)) for pair in domain)
        for name, domain in [(None, pairs), *domains.items()]
    }
    every_pair = [pair for domain in members.values() for pair in domain]
    n_processes = torch.get_num_threads()
    looks = analyse_residuals(every_pair, n_processes)
    looks = progress.track("measuring", looks, len(every_pair), unit="pair")
    looks = iter(list(looks))
    found = {name: list(islice(looks, len(d))) for name, d in members.items()}
    sensors, found[None] = take_off_patterns(
        members[None], found[None], sensors, n_processes
    )
    measured = {
        name: MeasuredPairs(domain, found[name], screen(domain, found[name]))
        for name, domain in members.items()
    }
    return measured.pop(None), measured, sensors


def know_noise(
    sensors: SensorTable,
    target: MeasuredPairs,
    sources: Mapping[str, MeasuredPairs],
    pairs: Sequence[RawPair],
) -> SensorTable:
    """Measure what the sensors' facts leave open, without faulty pairs.

    `pairs` are the target's as they were given, for what is fixed in their frames.
    """
    sensors = calibrate(sensors, _by_sensor([target, *sources.values()]))
    good = without_faulty(pairs, target.screenings, LEAST_PAIRS)
    return _with_target_pattern(sensors, good)


def _with_target_pattern(sensors: SensorTable, pairs: Sequence[RawPair]) -> SensorTable:
    by_sensor: dict[str, list[RawPair]] = {}
    for pair in pairs:
        by_sensor.setdefault(pair.sensor, []).append(pair)
    return sensors.updated(
        {
            name: with_pair_pattern(sensors.get(name), members)
            for name, members in by_sensor.items()
        }
    )


def without_faulty(
    items: Sequence[_T], screenings: Sequence[Screening], least: int
) -> list[_T]:
    """Leave out what belongs to faulty pairs, if `least` or more would be left."""
    good = [x for x, s in zip(items, screenings, strict=True) if not s.is_faulty]
    return good if len(good) >= least else list(items)


def _by_sensor(domains: Sequence[MeasuredPairs]) -> dict[str, list[TransferCurve]]:
    """Group the curves by sensor, without those of faulty pairs where others remain.

    At most `MOST_CURVES`, spread over the ISOs: more say hardly more, and the time of
    a fit grows with their cube.
    """
    found: dict[str, tuple[list[TransferCurve], list[Screening]]] = {}
    for domain in domains:
        for pair, curve, screening in zip(
            domain.pairs, domain.curves, domain.screenings, strict=True
        ):
            of_sensor = found.setdefault(pair.sensor, ([], []))
            of_sensor[0].append(curve)
            of_sensor[1].append(screening)
    return {
        sensor: _spread_over_iso(without_faulty(*of_sensor, _LEAST_GOOD))
        for sensor, of_sensor in found.items()
    }


def _spread_over_iso(curves: Sequence[TransferCurve]) -> list[TransferCurve]:
    ordered = sorted(curves, key=lambda curve: curve.iso)
    size = min(MOST_CURVES, len(ordered))
    return [ordered[i] for i in np.linspace(0, len(ordered) - 1, size).astype(int)]
