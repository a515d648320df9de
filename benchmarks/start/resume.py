"""Measurements that take long: each is kept in a CSV file once it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from skadl.support.writing import atomic_write

Wanted = TypeVar("Wanted")
Row = dict[str, Any]


def measure_missing(
    wanted: Sequence[Wanted],
    facts: Callable[[Wanted], Mapping[str, Any]],
    measure: Callable[[Wanted], Row],
    path: Path,
    digits: int = 4,
) -> Iterator[Row]:
    """Measure what a CSV file does not hold yet, row by row, and write it there.

    `facts` are the columns that tell one row from another.
    """
    done, table = set(), pd.DataFrame()
    if path.exists():
        table = pd.read_csv(path)
        keys = list(facts(wanted[0]))
        done = set(table[keys].itertuples(index=False, name=None))
    for one in wanted:
        if tuple(facts(one).values()) in done:
            continue
        row = measure(one)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written anew: a file of an earlier version may have fewer columns.
        table = pd.concat([table, pd.DataFrame([row]).round(digits)])
        with atomic_write(path) as part:
            table.to_csv(part, index=False)
        yield row
