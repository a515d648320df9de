"""What pairs already shot leave out of a capture plan."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from skadl.data.capture.plan import CaptureGap, CaptureSetting, listed_numbers
from skadl.noise.calibration import LOOSE_GAIN, LOOSE_READ, calibrate
from skadl.noise.residual import transfer_curve
from skadl.noise.sensors import SensorInfo, SensorTable
from skadl.raw.pair import RawPair

LEAST_SCENES = 2  # at each setting: one to learn from, one to test on
SAME_STOPS = 1 / 6  # labels of one ISO lie within half a third stop
_SAME_RATIO = 0.5  # stops; EXIF times are rounded


def count_scenes(
    settings: Sequence[CaptureSetting], pairs: Sequence[RawPair], stops: float
) -> list[CaptureSetting]:
    """Count the scenes of pairs, each at its nearest setting if that lies near."""
    scenes: list[set] = [set() for _ in settings]
    for index, pair in enumerate(pairs):
        octaves = [abs(math.log2(pair.iso / s.iso)) for s in settings]
        brightness = [abs(math.log2(pair.ratio / s.ratio)) for s in settings]
        distances = [o + b for o, b in zip(octaves, brightness, strict=True)]
        nearest = distances.index(min(distances))
        is_near = octaves[nearest] <= max(stops / 2, SAME_STOPS) + 0.01
        if is_near and brightness[nearest] <= _SAME_RATIO:
            scenes[nearest].add(_scene(pair, index))
    return [
        replace(setting, n_shot=len(shown))
        for setting, shown in zip(settings, scenes, strict=True)
    ]


def _scene(pair: RawPair, index: int) -> Any:
    """Scene of a pair; a pair without a label counts as a scene of its own."""
    return ("unlabelled", index) if pair.scene is None else ("scene", pair.scene)


def coverage_gaps(
    settings: Sequence[CaptureSetting], pairs: Sequence[RawPair], n_scenes: int
) -> Iterator[CaptureGap]:
    """Say which ISOs, light factors and scenes of a plan with counts were not shot."""
    by_iso, by_ratio = Counter(), Counter()  # scenes shot
    for setting in settings:
        by_iso[setting.iso] += setting.n_shot
        by_ratio[setting.ratio] += setting.n_shot
    yield from _iso_gaps(by_iso)
    for ratio, count in by_ratio.items():
        absent = [s.iso for s in settings if s.ratio == ratio and not s.n_shot]
        here = [iso for iso in absent if by_iso[iso]]
        if not count:
            how = "like" if ratio == 1 else f"{ratio:g} times shorter than"
            yield CaptureGap(
                "ratio",
                f"No pair has the light factor {ratio:g}: expose noisy frames {how} "
                "clean ones.",
            )
        elif here:
            yield CaptureGap(
                "ratio",
                f"The light factor {ratio:g} is missing at ISO {listed_numbers(here)}.",
            )
    short = [s for s in settings if 0 < s.n_shot < min(s.n_scenes, LEAST_SCENES)]
    if short:
        where = listed_numbers(sorted({s.iso for s in short}))
        yield CaptureGap(
            "scenes",
            f"There is only one scene at ISO {where}: shoot a second, so that there is "
            "one to learn from and one to test on.",
        )
    found = len({_scene(pair, index) for index, pair in enumerate(pairs)})
    if found < n_scenes:
        yield CaptureGap(
            "scenes",
            f"The pairs show {found} different scene{'s' if found != 1 else ''} of the "
            f"{n_scenes} intended: shoot {n_scenes - found} more.",
        )


def _iso_gaps(by_iso: dict[float, int]) -> Iterator[CaptureGap]:
    """Say between which ISOs nothing was shot, and how wide that is in stops."""
    isos = list(by_iso)
    run: list[float] = []
    below = None
    for iso in [*isos, None]:
        if iso is not None and not by_iso[iso]:
            run.append(iso)
            continue
        if run:
            if below is None and iso is None:
                where = f"at any ISO from {isos[0]:g} to {isos[-1]:g}"
            elif below is None:
                where = f"below ISO {iso:g} ({math.log2(iso / run[0]):.1f} stops)"
            elif iso is None:
                where = f"above ISO {below:g} ({math.log2(run[-1] / below):.1f} stops)"
            else:
                where = (
                    f"between ISO {below:g} and {iso:g} "
                    f"({math.log2(iso / below):.1f} stops)"
                )
            yield CaptureGap(
                "iso", f"No pairs {where}: shoot at ISO {listed_numbers(run)}."
            )
        run, below = [], iso


def measure_noise(
    pairs: Sequence[RawPair],
) -> tuple[SensorInfo | None, list[CaptureGap]]:
    """Measure gain and read noise, and say which brightness the pairs lack for it.

    Pairs are of one sensor; no noise is measured where all of them are clipped.
    """
    curves = [transfer_curve(pair) for pair in pairs]
    usable = [curve for curve in curves if curve.signal.size]
    if not usable:
        return None, [
            CaptureGap(
                "brightness",
                "All pairs are clipped nearly throughout: expose so that the counts "
                "keep clear of black and white.",
            )
        ]
    name = pairs[0].sensor
    bare = replace(SensorTable.from_pairs(pairs).get(name), iso_range=None)
    info = calibrate(SensorTable({name: bare}), {name: curves}).get(name)
    gaps = []
    for iso in info.gain:
        signals = [
            curve.in_counts_of(info.span).signal for curve in usable if curve.iso == iso
        ]
        darkest = max(0.0, min(signal.min() for signal in signals)) / info.span
        brightest = max(signal.max() for signal in signals) / info.span
        if info.gain_error[iso] > LOOSE_GAIN:
            gaps.append(
                CaptureGap(
                    "brightness",
                    f"At ISO {iso:g} the brightest parts reach {brightest:.2%} of "
                    "white, too little for photon noise to show: add a pair with "
                    "bright, unclipped parts.",
                )
            )
        if info.read_noise_error[iso] > LOOSE_READ:
            gaps.append(
                CaptureGap(
                    "brightness",
                    f"At ISO {iso:g} the darkest parts lie at {darkest:.2%} of white, "
                    "too much for read noise to show: add a pair with deep shadow, or "
                    "a frame with the lens cap on.",
                )
            )
    return info, gaps
