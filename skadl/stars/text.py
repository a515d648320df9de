"""A report on stars as plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skadl.report_text import percent

if TYPE_CHECKING:
    from skadl.stars.evaluation import StarReport

_HEADINGS = ("magnitude", "stars", "SNR", "found", "flux bias", "flux scatter")


def describe_stars(report: StarReport) -> str:
    """Tell a report in plain text.

    Parameters
    ----------
    report : StarReport

    Returns
    -------
    str
        A line for each image, and a table with a row for each magnitude bin.
    """
    stars = f"{report.n_stars} star{'s' if report.n_stars != 1 else ''}"
    lines = [f"{stars}, searched at SNR {report.snr:g}, before -> after denoising"]
    lines += [
        f"found: {percent(report.before.recovered)} -> "
        f"{percent(report.after.recovered)}; with as many false stars as before: "
        f"{percent(report.recovered_at_equal_false)}",
        f"false: {report.before.n_false} -> {report.after.n_false}",
        "",
    ]
    rows = [_HEADINGS]
    for own in report.bins:
        rows.append(
            (
                f"{own.magnitude:.2f}",
                f"{own.n_stars}",
                f"{own.snr:.1f}",
                " -> ".join(map(percent, own.recovered)),
                " -> ".join(f"{bias:+.1%}" for bias in own.bias),
                " -> ".join(f"{scatter:.1%}" for scatter in own.scatter),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines += [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    return "\n".join(lines)
