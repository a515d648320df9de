"""What pairs say of one another: noise off the line, frames twice, ISOs missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from skadl.raw.pair import RawPair
from skadl.screening.measurements import PairMeasurements
from skadl.screening.outliers import compare_noise
from skadl.screening.result import CheckedPair, Finding
from skadl.screening.saturation import Saturation, agreed_level, in_counts
from skadl.screening.screen import FAULTS, ResidualAnalysis, Screening

# Standard errors; logarithm of the variance: a Wiener filter that is told a variance
# off by that factor of 1.6 loses 0.1 dB.
_NOISE = (1.2, 0.45)
_LEAST_GOOD = 2  # pairs that a fit needs
_REACH = 2.0  # factor in ISO over which noise is known from its neighbours
_WIDEST_GAP = 4.5  # factor between neighbouring ISOs


def find_noise_outliers(
    pairs: Sequence[RawPair],
    measured: Sequence[PairMeasurements],
    screenings: Sequence[Screening],
) -> list[list[Finding]]:
    """Find noise that is off by less than a screening calls a fault, pair by pair.

    The screenings are complete: what they call faulty is left out of the comparison.
    """
    found: list[list[Finding]] = [[] for _ in pairs]
    curves = [measurements.analysis.curve for measurements in measured]
    is_faulty = [screening.is_faulty for screening in screenings]
    for i, shift, sigmas in compare_noise(pairs, curves, is_faulty):
        if abs(sigmas) > _NOISE[0] and abs(shift) > _NOISE[1]:
            what = (
                f"its noise has {np.exp(shift):.2g} times the variance that the "
                f"other pairs predict for ISO {pairs[i].iso:g}"
            )
            step = "Compare iso with the camera's record of that frame."
            found[i].append(Finding("noise", "doubtful", what, step))
    return found


def find_duplicates(
    analyses: Mapping[int, ResidualAnalysis], labels: Sequence[str]
) -> dict[int, list[Finding]]:
    """Find noisy frames that occur twice; one clean frame may serve several pairs.

    Keys are the pairs' indices; `labels` are what each is called in a sentence.
    """
    found: dict[int, list[Finding]] = {}
    first_noisy: dict[str, int] = {}
    first_clean: dict[str, int] = {}
    for index, analysis in analyses.items():
        first_noisy.setdefault(analysis.contents[0], index)
        first_clean.setdefault(analysis.contents[1], index)

    def add(index: int, verdict: str, what: str, next_step: str) -> None:
        finding = Finding("duplicates", verdict, what, next_step)
        found.setdefault(index, []).append(finding)

    for index, analysis in analyses.items():
        noisy, clean = analysis.contents
        first = first_noisy[noisy]
        same = FAULTS["identical"]
        if analysis.is_copy:
            add(index, "bad", same.reason, same.remedy)
        elif noisy in first_clean:
            what = f"its noisy frame is the clean frame of {labels[first_clean[noisy]]}"
            add(index, "bad", what, "Sort the files anew: which exposure is which?")
        elif first != index and analyses[first].contents == analysis.contents:
            what = f"it is the same as {labels[first]}"
            add(index, "bad", what, "Leave one of the two out: it would count twice.")
        elif first != index:
            for one, other in ((index, first), (first, index)):
                what = (
                    f"its noisy frame is that of {labels[other]}, its clean one is not"
                )
                add(one, "doubtful", what, "See to which clean frame it belongs.")
    return found


def saturation_levels(
    pairs: Sequence[RawPair], analyses: Sequence[ResidualAnalysis]
) -> dict[str, float]:
    """Where sensors saturate, normalised, as two of their pairs or more agree."""
    found: dict[str, list[Saturation]] = {}
    for pair, analysis in zip(pairs, analyses, strict=True):
        if analysis.saturation is not None:
            found.setdefault(pair.sensor, []).append(analysis.saturation)
    levels = {sensor: agreed_level(known) for sensor, known in found.items()}
    return {sensor: level for sensor, level in levels.items() if level is not None}


def judge_saturation(
    pairs: Sequence[RawPair], levels: Mapping[str, float]
) -> list[Finding]:
    """Say of each sensor once where it saturates, and what to give for white."""
    findings = []
    for sensor, level in levels.items():
        image = next(pair.noisy for pair in pairs if pair.sensor == sensor)
        counts = f"{in_counts(level, image):.0f}"
        findings.append(
            Finding(
                "white level",
                "doubtful",
                f"sensor {sensor!r} saturates at {counts} counts, but white_level is "
                f"{image.white_level:g}; beyond that nothing was looked at",
                f"Give white_level={counts}, on the command line --white-level "
                f"{counts}.",
            )
        )
    return findings


def check_set(
    pairs: Sequence[CheckedPair], iso_range: tuple[float, float] | None
) -> tuple[Finding, ...]:
    """Judge number and ISOs of the pairs that are not bad, sensor by sensor."""
    findings = []
    sensors = dict.fromkeys(pair.sensor for pair in pairs if pair.sensor is not None)
    for sensor in sensors:
        isos = sorted(
            pair.iso
            for pair in pairs
            if pair.sensor == sensor and pair.iso and pair.verdict != "bad"
        )
        if len(isos) < _LEAST_GOOD:
            findings.append(
                Finding(
                    "number",
                    "bad",
                    f"sensor {sensor!r} has {len(isos)} usable "
                    f"{'pair' if len(isos) == 1 else 'pairs'}",
                    f"A fit needs {_LEAST_GOOD}, and about twenty for good results: "
                    "shoot more.",
                )
            )
        if isos and iso_range is not None:
            findings += _judge_isos(sensor, isos, iso_range)
    return tuple(findings)


def _judge_isos(
    sensor: str, isos: Sequence[float], iso_range: tuple[float, float]
) -> list[Finding]:
    low, high = iso_range
    missing = []
    if isos[0] > _REACH * low:
        missing.append(low)
    if isos[-1] * _REACH < high:
        missing.append(high)
    inside = [low if low in missing else isos[0], *isos]
    inside.append(high if high in missing else isos[-1])
    for below, above in zip(inside[:-1], inside[1:], strict=True):
        # Only gaps that some intended ISO lies in.
        if above / below > _WIDEST_GAP and below < high and above > low:
            n_steps = int(np.ceil(np.log(above / below) / np.log(4.0)))
            steps = np.geomspace(below, above, n_steps + 1)[1:-1]
            missing += [float(iso) for iso in steps if low <= iso <= high]
    if not missing:
        return []
    where = f"{isos[0]:g} to {isos[-1]:g}" if isos[0] < isos[-1] else f"{isos[0]:g}"
    named = ", ".join(f"{iso:.0f}" for iso in sorted(missing))
    return [
        Finding(
            "ISOs",
            "doubtful",
            f"pairs of sensor {sensor!r} lie at ISO {where}, too few "
            f"for the intended {low:g} to {high:g}",
            f"Add pairs near ISO {named}.",
        )
    ]
