"""Finished runs in CSV files that are only ever added to, by one writer at a time."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.tables.measure import Measured
from benchmarks.tables.run import Run

RUNS_FILE, IMAGES_FILE, SELECTION_FILE = "runs.csv", "images.csv", "selection.csv"
REPORTS_FOLDER, SETTINGS_FILE = "reports", "settings.json"
KEY = tuple(field.name for field in fields(Run))


@dataclass(frozen=True, eq=False)
class Results:
    """Finished runs of one setting."""

    runs: pd.DataFrame  # one row for each run
    images: pd.DataFrame  # one row for each test image of these
    selection: pd.DataFrame  # one row for each source pair of those that record it

    def by_target_pairs(self) -> Iterator[tuple[int, Results]]:
        """Iterate over (number of target pairs, its results)."""
        for size in sorted(self.runs.target_pairs.unique()):
            parts = (self.runs, self.images, self.selection)
            yield size, Results(*(rows[rows.target_pairs == size] for rows in parts))


class RunLog:
    """The runs in a folder.

    A run counts once its own row is there; that row is written last, so whatever an
    interruption leaves of a run is ignored and written again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def add(self, measured: Measured) -> None:
        """Append a complete run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        additions = {
            IMAGES_FILE: measured.images,
            SELECTION_FILE: measured.selection,
            RUNS_FILE: pd.DataFrame([measured.summary]),
        }
        additions = {name: rows for name, rows in additions.items() if len(rows)}
        for name, rows in additions.items():
            _check_columns(self.folder / name, list(rows.columns))
        if len(measured.selection):
            reports = self.folder / REPORTS_FOLDER
            reports.mkdir(exist_ok=True)
            measured.report.save(reports / report_name(measured.run))
        for name, rows in additions.items():
            _append(self.folder / name, rows)

    def take(self, other: RunLog) -> int:
        """Add the complete runs of another folder that are not here; return how many.

        With their reports, and what the settings stand for. ValueError, and nothing is
        added, where a file of the other folder is damaged or missing.
        """
        lacking = other.finished() - self.finished()
        if not lacking:
            return 0
        settings, images = other.settings(), other.images()
        tested = set(keys_of(images))
        n_torn = sum(astuple(run) not in tested for run in lacking)
        if n_torn:
            raise ValueError(
                f"{str(other.folder)!r} has {n_torn} runs without their test images in "
                f"{IMAGES_FILE}; copy that folder again, as a whole."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        parts = {
            IMAGES_FILE: images,
            SELECTION_FILE: other.selection(),
            RUNS_FILE: other.runs(),
        }
        parts = {name: rows for name, rows in parts.items() if len(rows)}
        for name, rows in parts.items():
            _check_columns(self.folder / name, list(rows.columns))
        for run in lacking:
            report = Path(REPORTS_FOLDER, report_name(run))
            if (other.folder / report).exists():
                (self.folder / REPORTS_FOLDER).mkdir(exist_ok=True)
                shutil.copyfile(other.folder / report, self.folder / report)
        for name, rows in parts.items():
            _append(self.folder / name, of_runs(rows, lacking))
        for digest, facts in settings.items():
            self.note_settings(digest, facts)
        return len(lacking)

    def settings(self) -> dict[str, dict]:
        """Return what each digest of settings stands for."""
        path = self.folder / SETTINGS_FILE
        try:
            return json.loads(path.read_text("utf-8")) if path.exists() else {}
        except ValueError as error:
            raise ValueError(
                f"{str(path)!r} is damaged: {error}. Copy it again, or delete it: the "
                "tables are written without it."
            ) from error

    def note_settings(self, digest: str, settings: dict) -> None:
        """Keep what a digest stands for beside the runs."""
        known = {**self.settings(), digest: settings}
        text = json.dumps(known, indent=1) + "\n"
        (self.folder / SETTINGS_FILE).write_text(text, encoding="utf-8")

    def read(self, runs: Collection[Run]) -> Results:
        """Read what is there of some runs."""
        parts = (self.runs(), self.images(), self.selection())
        return Results(*(of_runs(rows, runs) for rows in parts))

    def runs(self) -> pd.DataFrame:
        """Read one row for each complete run; empty if there is none."""
        return _read(self.folder / RUNS_FILE).drop_duplicates([*KEY], keep="last")

    def images(self) -> pd.DataFrame:
        """Read one row for each test image of the complete runs."""
        return self._rows_of_runs(IMAGES_FILE, ["image"])

    def selection(self) -> pd.DataFrame:
        """Read one row for each source pair of the complete runs that record them."""
        return self._rows_of_runs(SELECTION_FILE, ["domain", "pair"])

    def finished(self) -> set[Run]:
        """Return the complete runs."""
        return {Run(*key) for key in keys_of(self.runs())}

    def _rows_of_runs(self, name: str, item: list[str]) -> pd.DataFrame:
        rows = _read(self.folder / name)
        if rows.empty:
            return rows
        return of_runs(rows, self.finished()).drop_duplicates(
            [*KEY, *item], keep="last"
        )


def keys_of(rows: pd.DataFrame) -> list[tuple]:
    """Return the key of each row, as the fields of `Run`."""
    return list(rows[list(KEY)].itertuples(index=False, name=None))


def report_name(run: Run) -> str:
    """Name the file of a run's report."""
    return "-".join(map(str, astuple(run))) + ".npz"


def of_runs(rows: pd.DataFrame, runs: Collection[Run]) -> pd.DataFrame:
    """Return the rows that belong to some runs; rows have the columns of `KEY`."""
    keys = {astuple(run) for run in runs}
    return rows[np.array([key in keys for key in keys_of(rows)], dtype=bool)]


def _append(path: Path, rows: pd.DataFrame) -> None:
    """Write rows at once; the first ones bring the header."""
    _cut_torn_line(path)
    is_new = not path.exists() or path.stat().st_size == 0
    text = rows.to_csv(index=False, header=is_new, float_format="%.6g")
    with open(path, "a", encoding="utf-8", newline="") as file:
        file.write(text)


def _read(path: Path) -> pd.DataFrame:
    content = path.read_bytes() if path.exists() else b""
    # A last line without its end is being written, or was torn by an interruption.
    content = content[: content.rfind(b"\n") + 1]
    if not content:
        return pd.DataFrame(columns=list(KEY))
    # "none" is a pool, and a digest of digits is no number.
    rows = pd.read_csv(
        io.BytesIO(content),
        dtype={"settings": str},
        keep_default_na=False,
        na_values=[""],
    )
    if not set(KEY) <= set(rows.columns) or rows[[*KEY]].isna().any(axis=None):
        raise ValueError(
            f"{str(path)!r} is damaged, or was not written by the benchmark: not every "
            f"line says its {', '.join(KEY)}. Copy it again, or mend it."
        )
    return rows


def _cut_torn_line(path: Path) -> None:
    if path.exists():
        content = path.read_bytes()
        if not content.endswith(b"\n"):
            os.truncate(path, content.rfind(b"\n") + 1)


def _check_columns(path: Path, columns: list[str]) -> None:
    if not path.exists() or path.stat().st_size == 0:
        return
    known = list(pd.read_csv(path, nrows=0).columns)
    if known != columns:
        raise ValueError(
            f"{str(path)!r} was written by another version, with other columns; "
            "choose another folder or move this one away."
        )
