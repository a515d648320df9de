"""The result of a pair check: a verdict and a next step for each pair."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skadl.support.extras import import_extra
from skadl.support.text import aligned, printable_line, wrapped
from skadl.support.writing import atomic_write, check_folder

if TYPE_CHECKING:
    import pandas

VERDICTS = ("good", "doubtful", "bad")  # rising
_FILE_FORMAT, _FILE_VERSION = "skadl pair check", 1
_TITLES = ("pair", "ISO", "ratio", "shift", "light", "moved", "clipped", "verdict")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a pair or with the set."""

    # "alignment", "motion", "brightness", "sharpness", "black level", "white level",
    # "clipping", "Bayer order", "duplicates", "exchange", "content", "noise", "frames"
    # of a pair; "ISOs", "number", "pattern" and "white level" of the set.
    check: str
    verdict: str  # "doubtful" or "bad"
    what: str  # was found, a clause
    next_step: str  # what to do about it, a sentence


@dataclass(frozen=True)
class CheckedPair:
    """What the check says of one pair; figures are None where they are not known."""

    index: int  # in the pairs that were given
    name: str  # file of the noisy frame, or its scene, or the index
    sensor: str | None = None
    iso: float | None = None
    ratio: float | None = None
    findings: tuple[Finding, ...] = ()  # the gravest first
    # How far the noisy frame lies below and right of the clean one, and the standard
    # error of either, in pixels of the mosaic.
    shift_rows: float | None = None
    shift_columns: float | None = None
    shift_error: float | None = None
    moved_share: float | None = None  # of the frame, in which something moved
    brightness: float | None = None  # light over what the light factor promises
    brightness_error: float | None = None
    black_error: float | None = None  # in standard deviations of the noise in the dark
    clipped_share: float | None = None  # in the worse of the two frames
    green_ratio: float | None = None  # difference of the greens over red and blue's
    hot_pixels: int | None = None  # for information: they are no fault of a pair
    noise: float | None = None  # median standard deviation, in counts
    # Mean square of the defects that were found in the residual, relative to the mean
    # variance of the noise, as far as that can be measured.
    cost: float = 0.0

    @property
    def verdict(self) -> str:
        """Verdict of the gravest finding; "good" where there is none."""
        return _gravest(self.findings)

    @property
    def what(self) -> str:
        """All findings in one clause; empty for a good pair."""
        return "; ".join(finding.what for finding in self.findings)

    @property
    def next_step(self) -> str:
        """What to do about the gravest finding; empty for a good pair."""
        return self.findings[0].next_step if self.findings else ""


@dataclass(frozen=True, repr=False)
class PairCheck:
    """Which pairs are fit for training, which are not, and what to do.

    Parameters
    ----------
    pairs : tuple of CheckedPair
        In the order of the pairs that were given.
    findings : tuple of Finding
        What concerns the set as a whole.

    Examples
    --------
    >>> moved = Finding("alignment", "bad", "shifted by 3.0 pixels", "Shoot again.")
    >>> check = PairCheck((CheckedPair(0, "a"), CheckedPair(1, "b", findings=(moved,))))
    >>> check
    PairCheck(2 pairs: 1 good, 0 doubtful, 1 bad)
    >>> check.bad
    (1,)
    """

    pairs: tuple[CheckedPair, ...]
    findings: tuple[Finding, ...] = ()

    def __repr__(self) -> str:
        return f"PairCheck({self._headline()})"

    @property
    def good(self) -> tuple[int, ...]:
        """Indices of the pairs without any finding."""
        return self._with("good")

    @property
    def doubtful(self) -> tuple[int, ...]:
        """Indices of the pairs of which a person should see a picture."""
        return self._with("doubtful")

    @property
    def bad(self) -> tuple[int, ...]:
        """Indices of the pairs that would do harm."""
        return self._with("bad")

    @property
    def is_good(self) -> bool:
        """Whether neither a pair nor the set is bad."""
        return not self.bad and _gravest(self.findings) != "bad"

    def summary(self) -> str:
        """Lay out the table for a terminal, and under it what to do.

        Returns
        -------
        str
            Several lines, without a final line break.
        """
        lines = aligned([_TITLES, *map(_cells, self.pairs)])
        lines += ["(shift in pixels; light: measured over declared)", ""]
        lines += _finding_lines(self.pairs)
        for finding in self.findings:
            lines.append(wrapped(f"the set: {finding.what}. {finding.next_step}"))
        is_quiet = not lines[-1]
        return "\n".join([*lines, *([] if is_quiet else [""]), self._headline()])

    def to_json(self) -> str:
        """Write everything as JSON, for scripts.

        Returns
        -------
        str
            An object with `format`, `version`, `pairs` and `findings`; no NaN.
        """
        return json.dumps(self.as_dict(), allow_nan=False)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain lists, dictionaries, numbers and strings.

        Returns
        -------
        dict
        """
        pairs = [
            asdict(pair) | {"verdict": pair.verdict, "next_step": pair.next_step}
            for pair in self.pairs
        ]
        return {
            "format": _FILE_FORMAT,
            "version": _FILE_VERSION,
            "pairs": pairs,
            "findings": [asdict(finding) for finding in self.findings],
        }

    def save(self, path: str | os.PathLike) -> None:
        """Write `to_json` to a file, whole or not at all.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        OSError
            If it cannot be written.
        """
        path = Path(path)
        check_folder(path)
        with atomic_write(path) as partial:
            partial.write_text(self.to_json() + "\n", encoding="utf-8")

    def to_frame(self) -> pandas.DataFrame:
        """Return the table with a row for each pair.

        Returns
        -------
        DataFrame
            The fields of `CheckedPair` with `verdict`, `what` and `next_step`.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = import_extra("pandas", "frame", "to_frame")
        names = [f.name for f in fields(CheckedPair) if f.name != "findings"]
        names += ["verdict", "what", "next_step"]
        rows = [[getattr(pair, name) for name in names] for pair in self.pairs]
        return pandas.DataFrame(rows, columns=names)

    def _with(self, verdict: str) -> tuple[int, ...]:
        return tuple(pair.index for pair in self.pairs if pair.verdict == verdict)

    def _headline(self) -> str:
        n_pairs = len(self.pairs)
        return (
            f"{n_pairs} pair{'' if n_pairs == 1 else 's'}: {len(self.good)} good, "
            f"{len(self.doubtful)} doubtful, {len(self.bad)} bad"
        )


def _gravest(findings: Sequence[Finding]) -> str:
    ranks = [VERDICTS.index(finding.verdict) for finding in findings]
    return VERDICTS[max(ranks, default=0)]


def _finding_lines(pairs: Sequence[CheckedPair]) -> list[str]:
    """All findings; a next step that several have in common only once."""
    by_step: dict[str, list[str]] = {}
    for pair in pairs:
        for finding in pair.findings:
            clause = f"{_label(pair.name, 60)}: {finding.what}"
            by_step.setdefault(finding.next_step, []).append(clause)
    lines = []
    for step, clauses in by_step.items():
        if len(clauses) == 1:
            lines.append(wrapped(f"{clauses[0]}. {step}"))
        else:
            lines += [*map(wrapped, clauses), wrapped(f"  For these: {step}", "    ")]
    return lines


def _label(name: str, longest: int) -> str:
    """Shorten a name at its front: the file is named at its end."""
    name = printable_line(name)
    return name if len(name) <= longest else f"…{name[1 - longest :]}"


def _cells(pair: CheckedPair) -> tuple[str, ...]:
    shift = "-"
    if pair.shift_error is not None:
        length = (pair.shift_rows**2 + pair.shift_columns**2) ** 0.5
        shift = f"{length:.2f} ±{pair.shift_error:.2f}"
    return (
        _label(pair.name, 40),
        _format_number(pair.iso, "{:g}"),
        _format_number(pair.ratio, "{:.4g}"),
        shift,
        _format_number(pair.brightness, "{:.3f}"),
        _format_number(pair.moved_share, "{:.1%}"),
        _format_number(pair.clipped_share, "{:.1%}"),
        pair.verdict,
    )


def _format_number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
