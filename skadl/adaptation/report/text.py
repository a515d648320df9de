"""A data-selection report as one line, as plain text and as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from skadl.adaptation.report.acceptance import DomainAcceptance, TrainingStage
from skadl.support.text import aligned, percent, short_label, wrapped

_COLUMN_TITLES = ("source domain", "offered", "accepted", "rate", "margin")
STAGE_TITLES = ("stage", "iterations", "PSNR (dB)")
BEFORE_TRAINING = ("noisy", "start")  # rows of a report that no iteration belongs to
_MARGIN_MEANS = "margin: mean of score minus threshold, in dB"
# The text keeps the notebook's colours; blue and grey read on light and dark.
_TRACK_STYLE = "width:8em;background:rgba(128,128,128,.25);height:.7em"
_BAR_STYLE = "background:#4878b8;height:100%"


def headline(rows: Sequence[DomainAcceptance]) -> str:
    """Say how many batches were accepted, and from where most and least."""
    offered = [row for row in rows if row.offered]
    if not offered:
        return "no source batches offered"
    counts = f"{_n_accepted(rows)} of {_n_offered(rows)} batches accepted"
    if len(offered) == 1:
        return f"{counts}, all from {short_label(offered[0].domain)}"
    best = max(offered, key=lambda row: row.rate)
    worst = min(reversed(offered), key=lambda row: row.rate)
    return (
        f"{counts}; best {short_label(best.domain)} {percent(best.rate)}, "
        f"worst {short_label(worst.domain)} {percent(worst.rate)}"
    )


def text_table(
    rows: Sequence[DomainAcceptance],
    reasons: Mapping[str, int],
    stages: Sequence[TrainingStage],
    notes: Sequence[str],
) -> str:
    """Lay out domains, batches of each reason, stages and notes for a terminal."""
    lines = [_sentence(rows)]
    if rows:
        cells = [_cells(row) for row in rows]
        lines += ["", *aligned([_COLUMN_TITLES, *cells]), f"({_MARGIN_MEANS})"]
    if reasons:
        cells = [(name, str(count)) for name, count in reasons.items()]
        lines += ["", *aligned([("reason", "batches"), *cells])]
    cells = stage_cells(stages)
    if cells:
        lines += ["", *aligned([STAGE_TITLES, *cells])]
    if notes:
        lines += ["", *(wrapped(f"note: {note}") for note in notes)]
    return "\n".join(lines)


def html_table(rows: Sequence[DomainAcceptance], notes: Sequence[str]) -> str:
    """Lay out the acceptance per domain, with bars, as one HTML element."""
    head = "".join(f"<th>{title}</th>" for title in (*_COLUMN_TITLES, ""))
    body = "".join(
        "<tr>"
        + f'<td style="text-align:left">{escape(short_label(row.domain, 60))}</td>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in _cells(row)[1:])
        + f'<td><div style="{_TRACK_STYLE}">'
        + f'<div style="{_BAR_STYLE};width:{100 * row.rate:.1f}%"></div></div></td>'
        + "</tr>"
        for row in rows
    )
    table = (
        f'<table title="{_MARGIN_MEANS}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return (
        f"<div><p>{_sentence(rows)}</p>{table if body else ''}"
        f"{f'<ul>{items}</ul>' if items else ''}</div>"
    )


def _sentence(rows: Sequence[DomainAcceptance]) -> str:
    n_accepted, n_offered = _n_accepted(rows), _n_offered(rows)
    if not n_offered:
        return "No source batches were offered."
    return (
        f"{n_accepted} of {n_offered} source batches accepted "
        f"({percent(n_accepted / n_offered)})"
    )


def _n_offered(rows: Sequence[DomainAcceptance]) -> int:
    return sum(row.offered for row in rows)


def _n_accepted(rows: Sequence[DomainAcceptance]) -> int:
    return sum(row.accepted for row in rows)


def _cells(row: DomainAcceptance) -> tuple[str, ...]:
    rate = percent(row.rate) if row.offered else "-"
    margin = "-" if row.mean_margin is None else f"{row.mean_margin:+.2f}"
    return short_label(row.domain), str(row.offered), str(row.accepted), rate, margin


def stage_cells(stages: Sequence[TrainingStage]) -> list[tuple[str, str, str]]:
    """Lay out what was before training, and the stages that trained."""
    return [
        (
            short_label(stage.name),
            str(stage.n_iter or "-"),
            "-" if stage.psnr is None else f"{stage.psnr:.2f}",
        )
        for stage in stages
        if stage.n_iter or stage.name in BEFORE_TRAINING
    ]
