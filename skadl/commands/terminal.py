"""What the commands have in common: how they speak to a terminal."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from skadl.support.text import printable, printable_line


def never_fail_to_print() -> None:
    """Let a terminal that lacks a letter show another in its place.

    Where the locale is not UTF-8, a name or a dash would end the command instead.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def say(lines: Iterable[str]) -> None:
    """Print lines to standard output."""
    for line in lines:
        click.echo(printable(line))


def note(sentence: str) -> None:
    """Print a sentence that is no result to standard error."""
    click.echo(f"Note: {printable_line(sentence)}", err=True)


def show_warning(message: Warning, *where: object) -> None:
    """Print a warning as one line; takes the place of `warnings.showwarning`."""
    note(str(message))


def failure(error: Exception) -> click.ClickException:
    """Turn an error of the library into one line and exit code 1."""
    return click.ClickException(printable_line(str(error)))


def cannot_write(folder: Path, error: OSError) -> str:
    """Say that a folder given by ``--out`` cannot be written to, and what to do."""
    return (
        f"cannot write to the folder {str(folder)!r} ({error.strerror}). Choose "
        "another with --out."
    )


@contextlib.contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Have SIGTERM stop a command as Ctrl-C does: its workers go, and half files."""
    if threading.current_thread() is not threading.main_thread():
        yield  # where Python takes no signals
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
