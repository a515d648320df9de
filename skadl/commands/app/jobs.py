"""Heavy work in one thread, piece after piece, that a page can watch and cancel."""

from __future__ import annotations

import itertools
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from skadl.support.progress import Pace
from skadl.support.text import printable

WAITING, RUNNING, DONE, FAILED, CANCELLED = (
    "waiting",
    "running",
    "done",
    "failed",
    "cancelled",
)
_MOST_KEPT = 30  # jobs that have ended
_LOOK = 0.2  # seconds between two looks at a command


class CancelledError(Exception):
    """Raised by work that was told to stop."""


@dataclass(eq=False)
class Job:
    """One piece of work, and how far it is."""

    number: int
    kind: str
    label: str
    state: str = WAITING
    done: int = 0
    total: int = 0
    message: str = ""
    result: Any = None  # as JSON takes it
    began: float = field(default_factory=time.monotonic)
    pace: Pace = field(default_factory=Pace)
    stop: threading.Event = field(default_factory=threading.Event)

    def step(self, done: int, total: int, message: str = "") -> None:
        """Say how far it is; raises `CancelledError` if it shall end."""
        if total != self.total:  # another stage of the work
            self.began, self.pace = time.monotonic(), Pace(done)
        self.done, self.total, self.message = done, total, message
        self.pace.note(time.monotonic() - self.began, done)
        if self.stop.is_set():
            raise CancelledError

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON takes it, with the seconds that are left."""
        names = "number kind label state done total message result".split()
        rate = self.pace.rate(time.monotonic() - self.began, self.done)
        left = None
        if self.state == RUNNING and self.done < self.total and rate is not None:
            left = (self.total - self.done) / rate
        return {name: getattr(self, name) for name in names} | {"seconds_left": left}


class Worker:
    """A thread that does one job after another, in the order they came."""

    def __init__(self) -> None:
        self.jobs: dict[int, Job] = {}
        self._numbers = itertools.count(1)
        self._queue: queue.SimpleQueue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def submit(self, kind: str, label: str, work: Callable[[Job], Any]) -> Job:
        """Add work to the queue; it is given its own job."""
        job = Job(next(self._numbers), kind, label)
        self.jobs[job.number] = job
        ended = [j for j in self.jobs.values() if j.state not in (WAITING, RUNNING)]
        for old in ended[:-_MOST_KEPT]:
            self.jobs.pop(old.number, None)
        self._queue.put((job, work))
        return job

    def close(self) -> None:
        """Stop what runs, do nothing more, and wait for the end of it."""
        for job in list(self.jobs.values()):
            job.stop.set()
        self._queue.put(None)
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            job, work = item
            if job.stop.is_set():
                job.state = CANCELLED
                continue
            job.began, job.state = time.monotonic(), RUNNING
            try:
                job.result = work(job)
            except CancelledError:
                job.state = CANCELLED
            except MemoryError:
                job.state = FAILED
                job.message = "there is not enough memory for it."
            except Exception as error:  # whatever it is, the page goes on
                job.state = FAILED
                words = str(error)
                if not isinstance(error, (ValueError, OSError)):
                    words = f"{type(error).__name__}: {words}"
                job.message = printable(words)
            else:
                job.state = DONE


def run_command(
    job: Job,
    arguments: Sequence[str],
    look: Callable[[], None] = lambda: None,
    accepted: Sequence[int] = (0,),
) -> str:
    """Run ``skadl`` and return what it prints; `look` is called meanwhile.

    ValueError with what it says, if it prints nothing, or ends otherwise than
    `accepted`.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        with tempfile.TemporaryFile("w+", encoding="utf-8") as printed:
            process = subprocess.Popen(
                [sys.executable, "-m", "skadl", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=said,
            )
            try:
                while process.poll() is None:
                    if job.stop.wait(_LOOK):
                        raise CancelledError
                    look()
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait()
            said.seek(0)
            printed.seek(0)
            result = printed.read()
            if process.returncode not in accepted or not result:
                reason = said.read().strip().splitlines()
                words = reason[-1] if reason else f"code {process.returncode}"
                raise ValueError(words.removeprefix("Error: "))
            return result
