"""A data-selection report as one line, as plain text and as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from textwrap import fill
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skadl.report import DataSelectionReport, DomainAcceptance, TrainingStage

_COLUMN_TITLES = ("source domain", "offered", "accepted", "rate", "margin")
_WIDTH = 80  # characters, of a line of prose
_MARGIN_MEANS = "margin: mean of score minus threshold, in dB"
# The text keeps the notebook's colours; blue and grey read on light and dark.
_TRACK_STYLE = "width:8em;background:rgba(128,128,128,.25);height:.7em"
_BAR_STYLE = "background:#4878b8;height:100%"


def percent(rate: float) -> str:
    """Write a fraction so that neither a few nor nearly all look like none or all.

    Parameters
    ----------
    rate : float
        In [0, 1].

    Returns
    -------
    str

    Examples
    --------
    >>> [percent(rate) for rate in (0, 0.0004, 0.004, 0.45, 0.9996, 1)]
    ['0 %', '<0.1 %', '0.4 %', '45 %', '>99.9 %', '100 %']
    """
    if 0 < rate < 0.001:
        return "<0.1 %"
    if 0.999 < rate < 1:
        return ">99.9 %"
    plain = rate in (0, 1) or 0.0995 <= rate <= 0.99
    return f"{100 * rate:.0f} %" if plain else f"{100 * rate:.1f} %"


def short_label(name: str, longest: int = 40) -> str:
    """Put a name on one line, cut where it would break the layout.

    Parameters
    ----------
    name : str
    longest : int, default=40
        Characters to keep, at least 1.

    Returns
    -------
    str
    """
    name = " ".join(name.split())
    return name if len(name) <= longest else name[: longest - 1] + "…"


def wrapped(text: str, indent: str = "  ") -> str:
    """Break a long sentence into lines for a terminal; words stay whole.

    Parameters
    ----------
    text : str
    indent : str, default="  "
        Before every line but the first.

    Returns
    -------
    str

    Examples
    --------
    >>> print(wrapped("note: " + 20 * "pairs "))
    note: pairs pairs pairs pairs pairs pairs pairs pairs pairs pairs pairs pairs
      pairs pairs pairs pairs pairs pairs pairs pairs
    """
    return fill(
        text,
        _WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def one_line(report: DataSelectionReport) -> str:
    """Say how many batches were accepted, and from where most and least.

    Parameters
    ----------
    report : DataSelectionReport

    Returns
    -------
    str
    """
    offered = [row for row in report.by_domain() if row.offered]
    if not offered:
        return "no source batches offered"
    counts = f"{report.n_accepted} of {report.n_offered} batches accepted"
    if len(offered) == 1:
        return f"{counts}, all from {short_label(offered[0].domain)}"
    best = max(offered, key=lambda row: row.rate)
    worst = min(reversed(offered), key=lambda row: row.rate)
    return (
        f"{counts}; best {short_label(best.domain)} {percent(best.rate)}, "
        f"worst {short_label(worst.domain)} {percent(worst.rate)}"
    )


def text_table(report: DataSelectionReport) -> str:
    """Lay out domains, reasons, stages and notes for a terminal.

    Parameters
    ----------
    report : DataSelectionReport

    Returns
    -------
    str
        Several lines, without a final line break.
    """
    lines = [_headline(report)]
    rows = [_cells(row) for row in report.by_domain()]
    if rows:
        lines += ["", *_aligned([_COLUMN_TITLES, *rows]), f"({_MARGIN_MEANS})"]
    reasons = [(name, str(count)) for name, count in report.by_reason().items()]
    if reasons:
        lines += ["", *_aligned([("reason", "batches"), *reasons])]
    if report.stages:
        stages = [
            (short_label(stage.name), str(stage.n_iter), _decibel(stage))
            for stage in report.stages
        ]
        lines += ["", *_aligned([("stage", "iterations", "PSNR (dB)"), *stages])]
    if report.notes:
        lines += ["", *(wrapped(f"note: {note}") for note in report.notes)]
    return "\n".join(lines)


def html_table(report: DataSelectionReport) -> str:
    """Lay out the acceptance per domain, with bars, for a notebook.

    Parameters
    ----------
    report : DataSelectionReport

    Returns
    -------
    str
        One HTML element; names are escaped.
    """
    head = "".join(f"<th>{title}</th>" for title in (*_COLUMN_TITLES, ""))
    body = "".join(
        "<tr>"
        + f'<td style="text-align:left">{escape(short_label(row.domain, 60))}</td>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in _cells(row)[1:])
        + f'<td><div style="{_TRACK_STYLE}">'
        + f'<div style="{_BAR_STYLE};width:{100 * row.rate:.1f}%"></div></div></td>'
        + "</tr>"
        for row in report.by_domain()
    )
    table = (
        f'<table title="{_MARGIN_MEANS}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    return (
        f"<div><p>{_headline(report)}</p>{table if body else ''}"
        f"{f'<ul>{notes}</ul>' if notes else ''}</div>"
    )


def _headline(report: DataSelectionReport) -> str:
    if not report.n_offered:
        return "No source batches were offered."
    return (
        f"{report.n_accepted} of {report.n_offered} source batches accepted "
        f"({percent(report.acceptance_rate)})"
    )


def _cells(row: DomainAcceptance) -> tuple[str, ...]:
    rate = percent(row.rate) if row.offered else "-"
    margin = "-" if row.mean_margin is None else f"{row.mean_margin:+.2f}"
    return short_label(row.domain), str(row.offered), str(row.accepted), rate, margin


def _decibel(stage: TrainingStage) -> str:
    return "-" if stage.psnr is None else f"{stage.psnr:.2f}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
        ).rstrip()
        for row in rows
    ]
