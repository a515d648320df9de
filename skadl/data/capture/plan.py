"""Which pairs to shoot for a sensor, and what those already shot leave out."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skadl.support.text import aligned

_WIDTH = 80  # characters, of a line of prose
_HEADINGS = ("ISO", "factor", "noisy frame", "same", "longer", "lowest ISO", "scenes")
_NOISE = {
    "given": "with the sensor's gain and read noise",
    "measured": "with gain and read noise measured on the pairs",
    "unknown": "for photon noise alone, as the sensor's noise is not known",
}


@dataclass(frozen=True)
class CaptureSetting:
    """One ISO and light factor to shoot pairs at, and three ways to the clean frame.

    Parameters
    ----------
    iso, ratio : float
        Of the noisy frame.
    noisy_time : float
        Its exposure time, in units of the time that exposes the scene well at the
        lowest ISO.
    n_same : int
        Frames like the noisy one to average into the clean frame.
    n_long : int or None
        Frames at the same ISO, `ratio` times longer; None where `ratio` is 1.
    n_lowest : int or None
        Frames at the lowest ISO of the plan, exposed well; None where that is
        this ISO.
    n_scenes : int
        Different scenes to shoot.
    n_shot : int
        Different scenes that pairs show already.
    """

    iso: float
    ratio: float
    noisy_time: float
    n_same: int
    n_long: int | None
    n_lowest: int | None
    n_scenes: int
    n_shot: int = 0

    @property
    def n_missing(self) -> int:
        """Scenes still to shoot."""
        return max(0, self.n_scenes - self.n_shot)


@dataclass(frozen=True)
class CaptureGap:
    """One thing that the pairs shot so far leave out."""

    kind: str  # iso, ratio, scenes or brightness
    message: str  # what is missing and what to shoot


@dataclass(frozen=True)
class CapturePlan:
    """What to shoot; `summary` tells it in words.

    Parameters
    ----------
    settings : tuple of CaptureSetting
        By rising ISO, then light factor.
    gaps : tuple of CaptureGap
        Empty where nothing is missing, or no pairs were given.
    margin : float
        By how many dB each clean frame is better than its noisy one.
    noise : {"given", "measured", "unknown"}
        Where gain and read noise behind the numbers of frames come from.
    base_time : float or None
        Seconds that expose the scene well at the lowest ISO.
    n_pairs : int or None
        Pairs looked at.
    """

    settings: tuple[CaptureSetting, ...]
    gaps: tuple[CaptureGap, ...]
    margin: float
    noise: str
    base_time: float | None
    n_pairs: int | None

    def summary(self) -> str:
        """Tell the plan in plain text: a table of settings, and what is missing."""
        return describe_plan(self)

    def rows(self) -> list[dict[str, Any]]:
        """Give the table as plain values, one dict a setting.

        Returns
        -------
        list of dict
            Fields of `CaptureSetting` and `n_missing`; ``pandas.DataFrame`` takes
            it, and so does JSON.
        """
        return [{**vars(s), "n_missing": s.n_missing} for s in self.settings]


def listed_numbers(numbers: Sequence[float]) -> str:
    """Join numbers with commas and an "and".

    >>> listed_numbers([100, 200, 12800])
    '100, 200 and 12800'
    """
    texts = [f"{number:g}" for number in numbers]
    return " and ".join(filter(None, (", ".join(texts[:-1]), texts[-1])))


def exposure(share: float, base_time: float | None) -> str:
    """Write a share of `base_time` seconds as photographers do, or as a part of T.

    >>> exposure(1 / 16, 0.5), exposure(1, 2.5), exposure(1 / 16, None)
    ('1/32 s', '2.5 s', 'T/16')
    """
    if base_time is None:
        return "T" if share == 1 else f"T/{1 / share:.4g}"
    seconds = share * base_time
    return f"{seconds:.3g} s" if seconds >= 0.3 else f"1/{1 / seconds:.0f} s"


def describe_plan(plan: CapturePlan) -> str:
    """Tell a plan in plain text, in lines of 80 characters but for the table."""
    settings = plan.settings
    total = sum(s.n_scenes for s in settings)
    shot = plan.n_pairs is not None
    headings = (*_HEADINGS, "missing") if shot else _HEADINGS
    rows = [headings, *(_cells(s, plan)[: len(headings)] for s in settings)]
    iso_width = max(len(row[0]) for row in rows)
    table = aligned([(row[0].rjust(iso_width), *row[1:]) for row in rows])
    lowest = f"{settings[0].iso:g}"
    lines = [
        *_wrap(
            f"{total} pairs at {len(settings)} settings. Each clean frame shall be "
            f"{plan.margin:g} dB better than its noisy one, {_NOISE[plan.noise]}."
        ),
        "",
        *table,
        "",
        *_wrap(
            "same, longer, lowest ISO: three ways to the clean frame, one is enough. "
            "The mean of so many more frames like the noisy one; of frames at its ISO "
            f"exposed well; of frames at ISO {lowest} exposed well."
        ),
    ]
    if plan.base_time is None:
        lines += _wrap(f"T: the time that exposes the scene well at ISO {lowest}.")
    lines += _wrap(
        "Fixed tripod, focus, aperture and light, no automatic ISO; nothing that "
        "matters clipped in the clean frame; in each scene both deep shadow and bright "
        "parts."
    )
    if shot:
        lines += ["", *_describe_gaps(plan)]
    return "\n".join(lines)


def _cells(setting: CaptureSetting, plan: CapturePlan) -> tuple[str, ...]:
    iso, time = setting.iso, setting.noisy_time
    ways = (
        (setting.n_same, time),
        (setting.n_long, time * setting.ratio),
        (setting.n_lowest, 1.0),
    )
    return (
        f"{iso:g}",
        f"{setting.ratio:g}",
        exposure(time, plan.base_time),
        *(
            "-" if n is None else f"{n} x {exposure(share, plan.base_time)}"
            for n, share in ways
        ),
        str(setting.n_scenes),
        str(setting.n_missing),
    )


def _describe_gaps(plan: CapturePlan) -> list[str]:
    n_pairs = f"{plan.n_pairs} pair{'s' if plan.n_pairs != 1 else ''}"
    if not plan.gaps:
        return [f"Nothing is missing in the {n_pairs} shot so far."]
    lines = [f"Missing in the {n_pairs} shot so far:"]
    for gap in plan.gaps:
        lines += textwrap.wrap(
            gap.message, _WIDTH, initial_indent="- ", subsequent_indent="  "
        )
    return lines


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH)
