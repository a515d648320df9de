"""A page of results: tables for people, and all that is needed to measure again."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pandas as pd
import torch

import skadl
from skadl.support.writing import atomic_write

NOT_MEASURED = "not measured"


def write_page(
    path: Path,
    title: str,
    sections: Mapping[str, pd.DataFrame | str],
    origin: Mapping[str, str],
) -> None:
    """Write a Markdown page, whole or not at all.

    Sections come in order, frames in them already formatted; `origin` says how the
    results came about, see `describe_machine`.
    """
    lines = [f"# {title}", ""]
    for heading, content in sections.items():
        text = content if isinstance(content, str) else markdown_table(content)
        lines += [f"## {heading}", "", text, ""]
    lines += ["## How this was measured", ""]
    lines += [f"- {name}: {value}" for name, value in origin.items()]
    with atomic_write(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")


def markdown_table(frame: pd.DataFrame) -> str:
    """Format a frame as a Markdown table, without its index.

    Examples
    --------
    >>> print(markdown_table(pd.DataFrame({"gate": ["none"], "dB": [30.1]})))
    | gate | dB |
    | --- | --- |
    | none | 30.1 |
    """
    rows = [list(frame.columns), ["---"] * frame.shape[1]]
    rows += frame.astype(object).values.tolist()
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def describe_machine() -> dict[str, str]:
    """Say where and when this runs."""
    machine = describe_processor()
    if torch.cuda.is_available():
        machine += f", {torch.cuda.get_device_name()}"
    return {
        "Machine": machine,
        "Versions": f"skadl {skadl.__version__}, torch {torch.__version__}, "
        f"Python {platform.python_version()}",
        "Date": date.today().isoformat(),
    }


def describe_processor() -> str:
    """Name the processor and count its cores."""
    return f"{_processor()}, {os.cpu_count()} cores"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
