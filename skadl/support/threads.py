"""How many threads torch uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def limited_threads(n_threads: int) -> Iterator[None]:
    """Let torch compute with so many threads, then with as many as before.

    One is for small images between which other work is done: torch's other threads wait
    for the next operator in a loop, and take more processor time than they save.

    >>> with limited_threads(1):
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
