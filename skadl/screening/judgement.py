"""What measurements of a pair mean for training: its findings, by what they cost.

A defect is weighed by what it costs. Where noisy minus clean holds, beside noise of
variance s, a defect of mean square e, a network that learns from such pairs learns the
defect, too: with a denoiser that gains `GAIN` over the noisy frame, its error grows
from ``s / GAIN`` to ``s / GAIN + p**2 * e``, where p is the share of the pairs that
have the defect. From a loss of `LEAST_COST` on, if all pairs had it (p = 1), it should
be looked at; if it costs as much as the only one of twenty (p = 1/20), the pair is bad.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skadl.raw.pair import RawPair
from skadl.screening.measurements import SIGMAS, PairMeasurements
from skadl.screening.result import CheckedPair, Finding
from skadl.screening.saturation import in_counts
from skadl.screening.screen import FAULTS, Screening
from skadl.screening.witness import Evidence

GAIN = 10.0  # of a good denoiser, in power: 10 dB
LEAST_COST = 0.1  # dB
_GROWTH = 10 ** (LEAST_COST / 10) - 1
COSTLY = _GROWTH / GAIN  # of e / s, if all pairs have the defect: 0.0023
HARMFUL = COSTLY * 20**2  # if one of twenty has it: 0.93
_SUSPECT = COSTLY / 2  # for the size of small defects is measured too low
_LEAST_MOVED = 0.5  # of a moved clean frame's misfit, that motion must add to it
_LOCAL = 0.85  # whiteness of a residual that is noise but for some places
_BLACK = (5.0, 1.6)  # standard errors; deviations of the noise in the dark
_BELOW_BLACK = 4.0  # deviations of the noise in the dark
_CLIPPED = (0.05, 0.5)  # share of the frame: look, bad
_WRONG_GREENS = 1.5  # differing this much more than red and blue do


def judge(
    index: int,
    name: str,
    pair: RawPair,
    measured: PairMeasurements,
    screening: Screening,
    beside_others: Sequence[Finding],
    knows_white: bool,
) -> CheckedPair:
    """Judge one pair by what was measured on it and what others say of it."""
    shift = measured.shift
    findings = list(beside_others)
    is_moved = shift.sigmas > SIGMAS and shift.energy > _SUSPECT
    findings += _judge_content(measured, screening, is_moved)
    findings += _judge_levels(pair, measured, screening, knows_white)
    # Of equal gravity what explains most comes first, as they were found.
    findings.sort(key=lambda finding: finding.verdict != "bad")
    energies = {
        "motion": measured.motion.energy,
        "brightness": measured.brightness_energy,
        "sharpness": measured.contrast_energy,
    }
    costs = [energies[f.check] for f in findings if f.check in energies]
    if is_moved:
        costs.append(shift.energy)
    is_known = np.isfinite(shift.error)
    has_light = np.isfinite(measured.brightness_error)
    return CheckedPair(
        index=index,
        name=name,
        sensor=pair.sensor,
        iso=pair.iso,
        ratio=pair.ratio,
        findings=tuple(findings),
        shift_rows=shift.rows if is_known else None,
        shift_columns=shift.columns if is_known else None,
        shift_error=shift.error if is_known else None,
        moved_share=measured.motion.share,
        brightness=measured.brightness if has_light else None,
        brightness_error=measured.brightness_error if has_light else None,
        black_error=measured.black_error,
        clipped_share=measured.clipped_share,
        green_ratio=measured.green_ratio,
        hot_pixels=measured.hot_pixels,
        noise=measured.noise,
        cost=max(costs, default=0.0),
    )


def _judge_content(
    measured: PairMeasurements, screening: Screening, is_moved: bool
) -> list[Finding]:
    """Judge what the clean frame shows: another order, place, time or light."""
    shift = measured.shift
    findings = []
    if measured.green_ratio > _WRONG_GREENS:
        findings.append(
            Finding(
                "Bayer order",
                "bad",
                f"the two greens differ {measured.green_ratio:.1f} times as much as "
                "red and blue",
                "Give the CFA pattern with its greens on the other diagonal (RGGB or "
                "BGGR instead of GRBG or GBRG, and the reverse), or crop by even "
                "numbers of pixels.",
            )
        )
    fault = screening.fault
    if fault is FAULTS["identical"]:
        return findings  # said beside the other copies
    if fault is FAULTS["exchanged"]:
        findings.append(Finding(fault.check, "bad", fault.reason, fault.remedy))
        return findings  # all else follows from it
    if fault is FAULTS["brightness"] and measured.contrast is not None:
        fault = None  # stars out of place, not light
    is_faulty = fault is not None
    moved = measured.motion.energy
    # What differs in one place only is no other scene.
    is_local = moved > _SUSPECT and measured.motion.whiteness > _LOCAL
    if is_moved:
        is_bad = shift.energy > HARMFUL or is_faulty
        findings.append(
            Finding(
                "alignment",
                "bad" if is_bad else "doubtful",
                f"the frames are shifted by {shift.rows:+.2f} rows and "
                f"{shift.columns:+.2f} columns (± {shift.error:.2f})",
                "Leave the pair out, or shoot again with nothing moving: tripod, "
                "remote release, a mount that tracks. Of a mosaic only shifts by even "
                "numbers of pixels can be undone.",
            )
        )
    elif fault is not None and not (is_local and fault.check == "content"):
        what = fault.reason
        if fault is FAULTS["brightness"]:
            what += f": the noisy frame is {measured.brightness:.3g} times as bright"
        findings.append(Finding(fault.check, "bad", what, fault.remedy))
    if moved > _SUSPECT + _LEAST_MOVED * is_moved * shift.energy:
        findings.append(
            Finding(
                "motion",
                "bad" if moved > HARMFUL or is_faulty else "doubtful",
                f"something differs in {measured.motion.share:.1%} of the frame",
                "Look at its picture: leave the pair out if something moved or the "
                "light changed there, or mask or crop that part.",
            )
        )
    brightness, error = measured.brightness, measured.brightness_error
    if measured.contrast is not None:
        if not is_moved and measured.contrast_energy > max(_SUSPECT, moved):
            findings.append(
                Finding(
                    "sharpness",
                    "bad" if measured.contrast_energy > HARMFUL else "doubtful",
                    f"detail has {measured.contrast:.3g} times the contrast in the "
                    "noisy frame, which as a whole is as bright as it should be",
                    "Look at its picture: one of the frames is blurred, or moved "
                    "while it was exposed; leave it out.",
                )
            )
    elif (
        not is_moved
        and fault is None
        and abs(brightness - 1) > SIGMAS * error
        and measured.brightness_energy > max(_SUSPECT, moved)
    ):
        findings.append(
            Finding(
                "brightness",
                "doubtful",
                f"the noisy frame has {brightness:.4g} times the light that its light "
                f"factor says (± {error:.2g})",
                f"Divide ratio by {brightness:.4g}, unless one frame is blurred: fine "
                "detail then looks brighter or darker, too.",
            )
        )
    if not findings and measured.evidence is not None:
        findings += _judge_denoised(measured.evidence)
    return findings


def _judge_denoised(evidence: Evidence) -> list[Finding]:
    """Judge what only the denoised frame shows to differ."""
    if not evidence.parts["differs"] > 1:
        return []
    differs = FAULTS["differs"]
    what = f"{differs.reason}, in places too faint to see under the noise"
    return [Finding(differs.check, "doubtful", what, differs.remedy)]


def _judge_levels(
    pair: RawPair,
    measured: PairMeasurements,
    screening: Screening,
    knows_white: bool,
) -> list[Finding]:
    """Judge black level, white level and clipping against the data."""
    findings = []
    is_black = (
        not screening.is_faulty
        and measured.black_sigmas > _BLACK[0]
        and abs(measured.black_error) > _BLACK[1]
    )
    if is_black or measured.below_black > _BELOW_BLACK:
        what = (
            f"the clean frame goes {measured.below_black:.1f} standard deviations of "
            "the noise below its black level"
            if measured.below_black > _BELOW_BLACK
            else f"without light the noisy frame is off its black level by "
            f"{measured.black_error:+.1f} standard deviations of the noise"
        )
        findings.append(
            Finding(
                "black level",
                "doubtful",
                what,
                "Measure black_level on a frame with the lens cap on.",
            )
        )
    saturation = measured.analysis.saturation
    # One that its sensor's pairs agree on is said once, of the set.
    if saturation is not None and saturation.is_sure and not knows_white:
        counts = in_counts(saturation.level, pair.noisy)
        findings.append(
            Finding(
                "white level",
                "doubtful",
                f"the data saturate at {counts:.0f} counts, white_level is "
                f"{pair.noisy.white_level:g}",
                f"Give white_level={counts:.0f}, if other saturated frames stop "
                "there, too.",
            )
        )
    if measured.clipped_share > _CLIPPED[0]:
        findings.append(
            Finding(
                "clipping",
                "bad" if measured.clipped_share > _CLIPPED[1] else "doubtful",
                f"{measured.clipped_share:.0%} of a frame are clipped",
                "Shoot again with a shorter exposure, or crop to what is not clipped.",
            )
        )
    return findings


def unreadable(index: int, name: str, error: Exception) -> CheckedPair:
    """Judge a pair that could not be measured."""
    what = " ".join(str(error).split()).rstrip(".")
    finding = Finding(
        "frames",
        "bad",
        f"cannot be used: {what}",
        "Copy the files from the camera again, or leave the pair out.",
    )
    return CheckedPair(index, name, findings=(finding,))
