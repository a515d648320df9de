"""The progress bar of a fit: stage, acceptance, validation PSNR and time left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
N_UPDATES = 20  # of the figures beside the bar: a validation costs time


class Progress:
    """Shows each stage as a bar on standard error, or nothing at all: verbose=0."""

    def __init__(self, verbose: int) -> None:
        self.verbose = verbose
        self._bar: tqdm | None = None
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
        with tqdm(
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
