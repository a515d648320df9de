"""What the commands have in common: how they speak to a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click


def say(lines: Iterable[str]) -> None:
    """Print lines to standard output."""
    for line in lines:
        click.echo(line)


def show_warning(message: Warning, *where: object) -> None:
    """Print a warning as one line; takes the place of `warnings.showwarning`."""
    click.echo(f"Note: {message}", err=True)


def cannot_write(folder: Path, error: OSError) -> str:
    """Say that a folder given by ``--out`` cannot be written to, and what to do."""
    return (
        f"cannot write to the folder {str(folder)!r} ({error.strerror}). Choose "
        "another with --out."
    )
