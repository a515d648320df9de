"""The runs of `targets.py` in a file that is only ever added to."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class Run:
    """One training to be measured.

    Parameters
    ----------
    target : str
        Camera taken as new.
    seed : int
    pool : str
        Kind of source pool.
    method : str
        Of training.
    settings : str
        Digest of the sizes of the data and all parameters: runs with other settings,
        or of a version with other defaults, are other runs.
    """

    target: str
    seed: int
    pool: str
    method: str
    settings: str


_KEY = [field.name for field in fields(Run)]


def append(path: Path, rows: pd.DataFrame) -> None:
    """Append rows to a CSV in one write; the first ones bring the header."""
    is_new = not path.exists()
    text = rows.to_csv(index=False, header=is_new, float_format="%.6g")
    with open(path, "a", encoding="utf-8", newline="") as file:
        file.write(text)


def read_runs(path: Path) -> pd.DataFrame:
    """Read the rows of finished runs; none if there is no file yet."""
    if not path.exists():
        return pd.DataFrame(columns=_KEY)
    return pd.read_csv(
        path, dtype={"settings": str}, keep_default_na=False, na_values=[""]
    )


def keys_of(runs: pd.DataFrame) -> list[tuple]:
    """Return what tells each run from all others, as in `Run`."""
    return list(runs[_KEY].itertuples(index=False, name=None))


def finished_runs(path: Path) -> set[tuple]:
    """Return the keys of the runs that are in a file."""
    return set(keys_of(read_runs(path)))
