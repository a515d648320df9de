"""The one progress bar: stage, count, time left, and figures of a fit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
N_UPDATES = 20  # of the figures beside the bar: a validation costs time


class Pace:
    """How fast work goes, by the later half of the time so far.

    The mean of all would remember a slow beginning for long, and that of the last
    second is another every second where steps of several kinds take turns. Times are
    seconds since the work began, counts are items that are done.
    """

    def __init__(self, count: float = 0) -> None:
        # Where the later half begins, and what came after.
        self._reached = deque([(0.0, count)])

    def note(self, seconds: float, count: float, least: float = 0.1) -> None:
        """Remember how far the work is, unless that was done `least` seconds before."""
        if seconds - self._reached[-1][0] >= least:
            self._reached.append((seconds, count))
            while self._reached[1][0] <= seconds / 2:
                self._reached.popleft()

    def rate(self, seconds: float, count: float) -> float | None:
        """Return items a second; None before the first is done."""
        reached = tuple(self._reached)  # another thread may be noting
        before = [point for point in reached if point[0] <= seconds / 2]
        then, done = before[-1] if before else reached[0]
        if count <= done or seconds <= then:
            return None
        return (count - done) / (seconds - then)


class TimedBar(tqdm):
    """A bar whose time left follows from its `Pace`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._pace = Pace(options.get("initial", 0))
        super().__init__(*args, **options)

    def update(self, n: float = 1) -> bool | None:
        """Go on by so many items."""
        shown = super().update(n)
        if not self.disable:
            self._pace.note(self._time() - self.start_t, self.n, self.mininterval)
        return shown

    @property
    def format_dict(self) -> dict[str, Any]:
        """What is shown; tqdm reckons the time left from its rate."""
        facts = super().format_dict
        rate = self._pace.rate(facts["elapsed"], facts["n"])
        return facts if rate is None else facts | {"rate": rate}


class Progress:
    """Shows each stage as a bar on standard error, or nothing at all: verbose=0."""

    def __init__(self, verbose: int) -> None:
        self.verbose = verbose
        self._bar: TimedBar | None = None
        self._n_shown = 0

    def track(
        self,
        stage: str,
        items: Iterable[Item],
        total: int,
        iteration: Callable[[Item], int] | None = None,
        first: int = 0,
        unit: str = "step",
    ) -> Iterator[Item]:
        """Pass a stage's items through while the bar follows; `total` is in iterations.

        `iteration` says to which one an item belongs, where that is not its position
        beyond `first`, the iterations done before.
        """
        if not self.verbose or not total:
            yield from items
            return
        self._n_shown = 0
        with TimedBar(
            desc=f"{stage:<13}", total=total, unit=unit, initial=first
        ) as self._bar:
            for position, item in enumerate(items, first):
                yield item
                done = 1 + (position if iteration is None else iteration(item))
                self._bar.update(done - self._bar.n)
        self._bar = None

    def say(self, line: str, file: TextIO) -> None:
        """Print a line above the bar, or just print it."""
        TimedBar.write(line, file=file)

    def show(self, figures: Callable[[], dict[str, str]]) -> None:
        """Renew the figures beside the bar, some twenty times a stage.

        `figures` is called only when they are shown.
        """
        if self._bar is not None:
            if self._n_shown % max(1, self._bar.total // N_UPDATES) == 0:
                self._bar.set_postfix(figures(), refresh=False)
            self._n_shown += 1
