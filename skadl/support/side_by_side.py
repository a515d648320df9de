"""The same work on many items, in processes of their own where that pays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from joblib import Parallel, delayed, effective_n_jobs

Item = TypeVar("Item")
Result = TypeVar("Result")
MOST_PROCESSES = 8
# Of one process, from which more are worth the seconds that they take to start.
_LEAST_SECONDS = 12.0


def side_by_side(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    seconds: float,
    most_processes: int = MOST_PROCESSES,
) -> Iterator[Result]:
    """Yield the results of `work` in the order of the items, the same on any machine.

    `seconds` is about how long one process would take. Where that is long, up to
    `most_processes` share it, none more than there are cores; few items are held at a
    time. In a process that is itself one of several it works alone.

    >>> list(side_by_side(abs, [-1, 2], seconds=0.1))
    [1, 2]
    """
    items = iter(items)
    n_processes = min(most_processes, MOST_PROCESSES)
    if seconds >= _LEAST_SECONDS:
        n_processes = min(n_processes, effective_n_jobs(-1))
    if seconds < _LEAST_SECONDS or n_processes < 2:
        yield from map(work, items)
        return
    held: list[Item] = []  # whose results are not there yet

    def dispatch() -> Iterator:
        for item in items:
            held.append(item)
            yield delayed(work)(item)

    try:
        for result in Parallel(n_processes, return_as="generator")(dispatch()):
            held.pop(0)
            yield result
    except BrokenProcessPool:  # a process was killed, for want of memory say
        yield from map(work, held)
        yield from map(work, items)
