"""SIGTERM stops a command as Ctrl-C does: no worker is left that holds the pipes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import skadl
from skadl.commands import main as cli
from skadl.commands.terminal import sigterm_as_ctrl_c

WAITING = """
    import os, signal
    import click
    from joblib import Parallel, delayed
    from skadl.commands import main as cli

    # A process that was started in the background ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def work():
        os.write(1, b"working\\n")
        signal.pause()

    @click.command()
    def wait():
        jobs = Parallel(n_jobs=2, return_as="generator")(delayed(work)() for _ in "12")
        list(jobs)

    cli._COMMANDS["wait"] = ("__main__", "Wait.")
    cli.main(["wait"])
"""


@pytest.mark.skipif(os.name != "posix", reason="signals as on Linux")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_command__stopped__takes_its_workers_along(number):
    path = os.pathsep.join(
        filter(None, [str(Path(skadl.__file__).parents[1]), os.getenv("PYTHONPATH")])
    )
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WAITING)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    for _ in "12":
        assert process.stdout.readline() == b"working\n"
    process.send_signal(number)
    # Comes back only when no process has these pipes any more.
    _, errors = process.communicate(timeout=60)
    # After Ctrl-C joblib may add what it found of its own to clean up.
    assert process.returncode == 1 and errors.startswith(b"\nAborted!\n")


def test_command__done__leaves_signals_as_they_were(monkeypatch):
    seen = []

    @click.command()
    def look():
        seen.append(signal.getsignal(signal.SIGTERM))

    monkeypatch.setitem(cli._COMMANDS, "look", (__name__, "Look."))
    monkeypatch.setattr(sys.modules[__name__], "look", look, raising=False)
    before = signal.getsignal(signal.SIGTERM)
    assert CliRunner().invoke(cli.main, ["look"]).exit_code == 0
    assert signal.getsignal(signal.SIGTERM) is before
    assert seen == [signal.default_int_handler]


def test_command__in_a_thread__runs_without_signals():
    def enter():
        with sigterm_as_ctrl_c():
            done.append(True)

    done: list[bool] = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert done == [True]
