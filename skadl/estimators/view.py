"""What a fitted denoiser shows in a notebook, below scikit-learn's diagram."""

from __future__ import annotations

from collections.abc import Sequence

from skadl.adaptation.report.report import DataSelectionReport
from skadl.adaptation.report.text import STAGE_TITLES, stage_cells
from skadl.noise.sensors import SensorInfo, SensorTable
from skadl.support.html import escaped, table


def fitted_html(sensors: SensorTable, report: DataSelectionReport | None) -> str:
    """Show sensors with their ISOs, the stages of a fit, and what was accepted."""
    parts = [table(("sensor", "ISO"), [_sensor_row(*item) for item in sensors.items()])]
    if report is not None:
        stages = [tuple(map(escaped, row)) for row in stage_cells(report.stages)]
        if stages:
            parts.append(table(STAGE_TITLES, stages))
        parts.append(report._repr_html_())
    return f"<div>{''.join(parts)}</div>"


def _sensor_row(name: str, info: SensorInfo) -> Sequence[str]:
    if info.iso_range is None:
        return escaped(name), "not known"
    low, high = info.iso_range
    return escaped(name), f"{low:g}" if low == high else f"{low:g} to {high:g}"
