"""Results as files: a tidy CSV for machines, a Markdown table for people."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import click
import pandas as pd
import torch

from benchmarks.tables.markdown import describe_processor, write_page

CHECKOUT = Path(__file__).parents[1]
DEFAULT_FOLDER = CHECKOUT / "benchmarks" / "results"


def write_markdown(
    path: Path,
    title: str,
    sections: Mapping[str, pd.DataFrame | str],
    load: tuple[float, float, float],
) -> None:
    """Write tables and remarks, with what is needed to measure them again.

    `load` are the load averages when the measurement began; see `os.getloadavg`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_page(path, title, sections, describe_run(load))


def describe_run(load: tuple[float, float, float]) -> dict[str, str]:
    """Say what was run where: command with all settings, machine, versions, date."""
    return {
        "Command": f"`{command_line()}`",
        "Processor": describe_processor(),
        "torch": f"{torch.__version__}, {torch.get_num_threads()} threads",
        "Load average at the start": f"{load[0]:.1f}",
        "Date": date.today().isoformat(),
    }


def command_line() -> str:
    """Return the running command with every setting spelled out."""
    context = click.get_current_context()
    script = Path(inspect.getfile(context.command.callback))
    module = ".".join(script.relative_to(CHECKOUT).with_suffix("").parts)
    words = ["python", "-m", module]
    for option in context.command.params:
        values = context.params[option.name]
        if option.name == "folder":
            continue
        for value in values if option.multiple else [values]:
            words += [option.opts[0], str(value)]
    return " ".join(words)
