"""Sound pairs whose residuals look like pictures, for the fixed pattern in them.

Strong dark shading is smooth, as what a misaligned clean frame leaves is. But it is at
the same place in each frame, whatever the scene. So where a residual looks like a
picture, what all pairs of the sensor have in common is taken off, and all are looked at
anew. That is believed if fewer pairs look faulty then; else nothing changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from skadl.noise.frame_offsets import without_pattern
from skadl.noise.pair_pattern import is_picture, pattern_before_noise
from skadl.noise.sensors import SensorInfo, SensorTable
from skadl.raw.pair import RawPair, read_pair
from skadl.screening.result import Finding
from skadl.screening.screen import (
    FAULTS,
    ResidualAnalysis,
    analyse_unsaturated,
    seconds_to_analyse,
)
from skadl.support.side_by_side import MOST_PROCESSES, side_by_side


def take_off_patterns(
    pairs: Sequence[RawPair],
    analyses: Sequence[ResidualAnalysis],
    sensors: SensorTable,
    most_processes: int = MOST_PROCESSES,
) -> tuple[SensorTable, list[ResidualAnalysis]]:
    """Find patterns that explain pictures; return the sensors and analyses with them.

    As they are where no residual looks like a picture, where a pattern is known, and
    where none explains one. Copies stay what they are.
    """
    found, analyses = {}, list(analyses)
    by_sensor: dict[str, list[int]] = {}
    for index, (pair, analysis) in enumerate(zip(pairs, analyses, strict=True)):
        if not analysis.is_copy:
            by_sensor.setdefault(pair.sensor, []).append(index)
    for name, indices in by_sensor.items():
        first = [analyses[index] for index in indices]
        if not any(map(_shows_picture, first)):
            continue
        members, info = [pairs[index] for index in indices], sensors.get(name)
        curves = [analysis.curve for analysis in first]
        pattern = pattern_before_noise(info, members, curves)
        if pattern is None:
            continue
        info = replace(info, fixed_pattern=pattern)
        again = list(
            side_by_side(
                partial(_analyse_again, info=info),
                zip(members, first, strict=True),
                sum(map(seconds_to_analyse, members)),
                most_processes,
            )
        )
        if _explains(first, again):
            found[name] = info
            for index, analysis in zip(indices, again, strict=True):
                analyses[index] = analysis
    return (sensors.updated(found) if found else sensors), analyses


def describe_patterns(given: SensorTable, found: SensorTable) -> list[Finding]:
    """Say of each sensor once that a pattern was found and taken off."""
    return [
        Finding(
            "pattern",
            "doubtful",
            f"frames of sensor {name!r} have a pattern in common, such as dark "
            "shading, that looks like another picture; it was taken off before the "
            "pairs were judged",
            "A fit takes it off as well. Dark frames show it better: skadl calibrate.",
        )
        for name in found.names
        if found.get(name).fixed_pattern is not None
        and given.get(name).fixed_pattern is None
    ]


def _analyse_again(
    member: tuple[RawPair, ResidualAnalysis], info: SensorInfo
) -> ResidualAnalysis:
    pair, first = member
    plain = without_pattern(read_pair(pair), info)
    again = analyse_unsaturated(plain, first.saturation)
    # What else it says is of the file as it is.
    return replace(again, contents=first.contents)


def _shows_picture(analysis: ResidualAnalysis) -> bool:
    fault = analysis.screening.fault
    is_fault = fault is not None and fault.check == FAULTS["picture"].check
    return is_fault or is_picture(analysis.curve)


def _explains(
    first: Sequence[ResidualAnalysis], again: Sequence[ResidualAnalysis]
) -> bool:
    """Whether fewer pairs show pictures, and none more has a fault."""
    pictures, faulty = (
        [sum(map(has, analyses)) for analyses in (first, again)]
        for has in (_shows_picture, lambda analysis: analysis.screening.is_faulty)
    )
    return pictures[1] < pictures[0] and faulty[1] <= faulty[0]
