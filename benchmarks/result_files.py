"""Results as files: a tidy CSV for machines, a Markdown table for people."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import click
import pandas as pd
import torch

DEFAULT_FOLDER = Path(__file__).parent / "results"


def write_markdown(
    path: Path,
    title: str,
    sections: Mapping[str, pd.DataFrame | str],
    load: tuple[float, float, float],
) -> None:
    """Write tables and remarks, with what is needed to measure them again.

    Parameters
    ----------
    path : Path
        Its folder is made if it is not there.
    title : str
    sections : mapping of heading to DataFrame or str
        In order.
    load : tuple of three floats
        Load averages when the measurement began; see `os.getloadavg`.
    """
    lines = [f"# {title}", ""]
    for heading, content in sections.items():
        text = content if isinstance(content, str) else markdown_table(content)
        lines += [f"## {heading}", "", text, ""]
    lines += ["## How this was measured", "", describe_run(load), ""]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")


def markdown_table(frame: pd.DataFrame) -> str:
    """Format a frame as a Markdown table, without its index.

    Parameters
    ----------
    frame : DataFrame
        Numbers already rounded or formatted.

    Returns
    -------
    str
    """
    rows = [list(frame.columns), ["---"] * frame.shape[1]]
    rows += frame.astype(object).values.tolist()
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def describe_run(load: tuple[float, float, float]) -> str:
    """Say what was run where: command with all settings, machine, versions, date."""
    lines = {
        "Command": f"`{command_line()}`",
        "Processor": f"{cpu_name()}, {os.cpu_count()} cores",
        "torch": f"{torch.__version__}, {torch.get_num_threads()} threads",
        "Load average at the start": f"{load[0]:.1f}",
        "Date": date.today().isoformat(),
    }
    return "\n".join(f"- {name}: {value}" for name, value in lines.items())


def command_line() -> str:
    """Return the running command with every setting spelled out."""
    context = click.get_current_context()
    words = ["python", f"benchmarks/{context.command.name}.py"]
    for option in context.command.params:
        values = context.params[option.name]
        if option.name == "folder":
            continue
        for value in values if option.multiple else [values]:
            words += [option.opts[0], str(value)]
    return " ".join(words)


def cpu_name() -> str:
    """Return the processor's model name."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
