"""The progress bar of a fit: stage, acceptance, validation PSNR and time left."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
N_UPDATES = 20  # of the figures beside the bar: a validation costs time


class TimedBar(tqdm):
    """A bar whose time left follows from the later half of the time so far.

    The mean of all would remember a slow beginning for long, and tqdm's own of the last
    second is another every second where steps of several kinds take turns.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        # Seconds and count where the later half begins, and at what came after.
        self._reached = deque([(0.0, options.get("initial", 0))])
        super().__init__(*args, **options)

    def update(self, n: float = 1) -> bool | None:
        """Go on by so many items."""
        shown = super().update(n)
        if not self.disable:
            seconds = self._time() - self.start_t
            if seconds - self._reached[-1][0] >= self.mininterval:
                self._reached.append((seconds, self.n))
        return shown

    @property
    def format_dict(self) -> dict[str, Any]:
        """What is shown; tqdm reckons the time left from its rate."""
        facts = super().format_dict
        while len(self._reached) > 1 and self._reached[1][0] <= facts["elapsed"] / 2:
            self._reached.popleft()
        seconds, count = self._reached[0]
        if facts["n"] > count and facts["elapsed"] > seconds:
            facts["rate"] = (facts["n"] - count) / (facts["elapsed"] - seconds)
        return facts


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

    def show(self, figures: Callable[[], dict[str, str]]) -> None:
        """Renew the figures beside the bar, some twenty times a stage.

        `figures` is called only when they are shown.
        """
        if self._bar is not None:
            if self._n_shown % max(1, self._bar.total // N_UPDATES) == 0:
                self._bar.set_postfix(figures(), refresh=False)
            self._n_shown += 1
