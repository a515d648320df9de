"""The orderings that the paper finds, beside those of the committed results.

``python -m benchmarks.tables.orderings`` reads ``benchmarks/results`` and writes
``orderings.md`` there, which the page of the paper's tables shows. Run it again when
results are added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import click
import pandas as pd

from benchmarks.tables.comparisons import (
    BEST,
    mean_and_spread,
    paired_lead,
)
from benchmarks.tables.dataset import OTHER_SENSORS
from benchmarks.tables.log import KEY, RUNS_FILE, RunLog, keys_of, of_runs
from benchmarks.tables.markdown import NOT_MEASURED, markdown_table
from benchmarks.tables.options import COMMITTED
from benchmarks.tables.run import Run
from benchmarks.tables.simulation import NO_POOL, ROUGH_POOL
from skadl.support.writing import atomic_write

PAGE = "orderings.md"
COMMAND = "python -m benchmarks.tables.orderings"
MEANS_NOTHING = 0.3  # dB between two strategies of one seed
FEW, MORE = 6, 20  # target pairs of the tables
REAL_RESULTS = {"bench-real": "", "bench-sky": ", between the stars"}
"""Folders of results on real sensors, and what is said behind a sensor's name."""
PAPERS_METHODS = (
    "Blind2Unblind",
    "TransferLearning",
    "MZSR",
    "Prabhakar",
    "FineTuning",
    "BM3D",
    "ZeroShotNoise2Noise",
    "DeepImagePrior",
)
"""Of its Table 1, beside ADL."""


@dataclass(frozen=True, eq=False)
class Committed:
    """Committed results of one folder: one row a run, one row a test image."""

    runs: pd.DataFrame
    images: pd.DataFrame


def read_committed(folder: Path) -> Committed:
    """Read the runs of a folder; of each target those of its newest settings alone."""
    log = RunLog(folder)
    runs = log.runs().reindex(columns=[*KEY, "psnr"])
    images = log.images().reindex(columns=[*KEY, "image", "psnr"])
    newest = runs.groupby(["target", "target_pairs"]).settings.transform("last")
    runs = runs[runs.settings == newest]
    return Committed(runs, of_runs(images, [Run(*key) for key in keys_of(runs)]))


def on_pool(images: pd.DataFrame, pool: str, target_pairs: int = FEW) -> pd.DataFrame:
    """Keep what was measured on a pool, or without sources, with so many pairs."""
    is_on_pool = images.pool.isin([pool, NO_POOL])
    return images[is_on_pool & (images.target_pairs == target_pairs)]


def order(images: pd.DataFrame, best: str = BEST) -> str:
    """List the strategies from the first on: ``B (+0.1) = A > C (-2.0)`` for `best` A.

    In brackets stands how far one is above `best`, in dB on the images that both saw.
    "=" joins two that differ by no more than twice the spread of that over seeds, with
    one seed by less than `MEANS_NOTHING`. Of a strategy that lacks a target of `best`
    the others are named.
    """
    targets = set(images[images.strategy == best].target)
    above: dict[str, pd.Series] = {}  # over seeds
    places: dict[str, str] = {}  # of those that were not measured on all
    for strategy in images.strategy.unique() if targets else ():
        leads = leads_of(images, strategy, best)
        if leads.empty:
            continue
        above[strategy] = leads.mean(axis=1)
        if set(leads) < targets:
            places[strategy] = f" on {', '.join(leads)}"
    names = sorted(above, key=lambda name: -above[name].mean())
    text = ""
    for previous, name in zip([None, *names], names, strict=False):
        if previous is not None:
            is_tie = differ_by_chance(above[name] - above[previous])
            text += " = " if is_tie else " > "
        where = places.get(name, "")
        text += name if name == best else f"{name} ({above[name].mean():+.2f}{where})"
    return text


def differ_by_chance(differences: pd.Series) -> bool:
    """Tell whether differences over seeds, in dB, may well be none.

    >>> differ_by_chance(pd.Series([0.2])), differ_by_chance(pd.Series([0.2, 0.21]))
    (True, False)
    """
    differences = differences.dropna()
    if len(differences) < 2:
        return not abs(differences.mean()) >= MEANS_NOTHING
    return abs(differences.mean()) <= 2 * differences.std()


def leads_of(images: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Lead of one strategy on the images that both saw, seeds by targets."""
    keys = ["target", "seed", "target_pairs", "settings", "image"]
    own, other = (images[images.strategy == name] for name in (first, second))
    both = own.merge(other, on=keys)
    both = both.assign(lead=both.psnr_x - both.psnr_y)
    return both.pivot_table(index="seed", columns="target", values="lead")


def describe(leads: pd.DataFrame) -> str:
    """Format leads: mean, spread over the seeds with all targets, lowest, seeds."""
    by_target = leads.mean()
    n_seeds = int(leads.notna().sum().min())
    shown = mean_and_spread(leads.dropna().mean(axis=1), by_target.mean(), "+.2f")
    seeds = f"{n_seeds} seed" + "s" * (n_seeds != 1)
    return f"{shown} ({by_target.min():+.2f}), {seeds}"


# What is here, row by row


def order_of_methods(results: Path, *, target_pairs: int = FEW) -> str:
    """Order of Table 1's methods on the simulated cameras, and which are missing."""
    images = read_committed(results / "bench-start").images
    known = order(on_pool(images, "harm", target_pairs))
    if not known:
        return NOT_MEASURED
    if target_pairs != FEW:
        return known
    lacking = [name for name in PAPERS_METHODS if f" {name} " not in f" {known} "]
    return known + (f". Not measured: {', '.join(lacking)}" if lacking else "")


def leads(
    results: Path, *, folder: str, pool: str, pairs: Sequence[tuple[str, str]]
) -> str:
    """Say how far each first strategy is above its second."""
    images = on_pool(read_committed(results / folder).images, pool)
    return _join(
        (f"{first} over {second}", leads_of(images, first, second))
        for first, second in pairs
    )


def costs_of_harm(results: Path, *, folder: str, strategies: Sequence[str]) -> str:
    """Say what each strategy loses by each harmful set."""
    runs = read_committed(results / folder).runs
    runs = runs[runs.target_pairs == FEW]
    harmful = {"harm1": "Harmful1", "harm2": "Harmful2"}

    def lost(strategy: str, pool: str) -> pd.DataFrame:
        found = paired_lead(runs, strategy, strategy, pool=pool, second_pool="clean")
        return found.pivot_table(index="seed", columns="target", values="lead")

    return _join(
        (f"{strategy} with {name}", lost(strategy, pool))
        for strategy, (pool, name) in product(strategies, harmful.items())
    )


def leads_by_size(results: Path, *, pairs: Sequence[tuple[str, str, str]]) -> str:
    """Say how far each first strategy is above its second, by the number of pairs."""
    found = []
    for folder, first, second in pairs:
        images = read_committed(results / folder).images
        for size in sorted(images.target_pairs.unique()):
            own = leads_of(on_pool(images, "harm", size), first, second)
            found.append((f"{first} over {second}, {size} pairs", own))
    return _join(found)


def _join(found: Iterable[tuple[str, pd.DataFrame]]) -> str:
    parts = [f"{what}: {describe(leads)}" for what, leads in found if not leads.empty]
    return "; ".join(parts) or NOT_MEASURED


@dataclass(frozen=True)
class Finding:
    """What a table or figure of the paper finds, and how to read ours."""

    table: str
    paper: str  # mean PSNR in dB, on real data
    read: Callable[[Path], str]  # takes the folder of the results
    trained: str = ""  # how, in words that come before


_ON_EVERY_SENSOR = "ADL above fine-tuning on every sensor, by 0.8 to 2.4"
_START = [(BEST, "FineTuning-start"), (BEST, "TargetOnly-start"), (BEST, "start")]
_CALIBRATED = "NoiseCalibration-ADL"
FINDINGS = (
    Finding(
        "Table 1, SIDD",
        "ADL 47.68, Blind2Unblind 47.14, transfer learning 47.03, MZSR 46.49, "
        "Prabhakar 46.34, fine-tuning 45.58, BM3D 44.71, ZS-N2N 43.48, DIP 42.51",
        order_of_methods,
    ),
    Finding(
        "Table 1",
        "twenty target pairs: not in the paper",
        partial(order_of_methods, target_pairs=MORE),
    ),
    Finding(
        "Table 1",
        _ON_EVERY_SENSOR,
        partial(leads, folder="bench-start", pool="harm", pairs=_START),
        "from the network that comes with skadl",
    ),
    Finding(
        "Table 1",
        _ON_EVERY_SENSOR,
        partial(leads, folder="bench-start", pool="clean", pairs=_START),
        "the same without harmful sources",
    ),
    Finding(
        "Table 1",
        _ON_EVERY_SENSOR,
        partial(leads, folder="bench-long", pool="harm", pairs=[("adl", "fine-tune")]),
        "from random weights, 7200 steps, all else as in ADL",
    ),
    Finding(
        "Table 1",
        _ON_EVERY_SENSOR,
        partial(leads, folder="bench-long", pool="clean", pairs=[("adl", "fine-tune")]),
        "the same without harmful sources",
    ),
    Finding(
        "Table 1",
        _ON_EVERY_SENSOR,
        partial(leads, folder="bench", pool="harm", pairs=[("adl", "plain-fine-tune")]),
        "from random weights, 2400 steps, fine-tuning without skadl's parts",
    ),
    Finding(
        "Table 2a, GP",
        "ADL after calibration 45.83 with many sensors, 45.62 with one; calibration "
        "alone 45.36, fine-tuning after it with many 45.32",
        partial(
            leads,
            folder="bench-start",
            pool="clean",
            pairs=[
                (_CALIBRATED, f"{_CALIBRATED}-single"),
                (_CALIBRATED, "NoiseCalibration-start"),
                (_CALIBRATED, "NoiseCalibration-FineTuning"),
            ],
        ),
    ),
    Finding(
        "Table 2b",
        "ADL above LED with source sensors, by 0.28 to 0.63 on each sensor",
        partial(
            leads, folder="bench-start", pool="clean", pairs=[(BEST, "LED-sources")]
        ),
    ),
    Finding(
        "Table 3",
        "PMN's strategies add 0.06 on SIDD and 0.18 on DSLRs to ADL",
        partial(
            leads,
            folder="bench-rough",
            pool=ROUGH_POOL,
            pairs=[
                (f"{BEST}-{addition}", BEST)
                for addition in ("shot-augmented", "dark-shading", "pmn")
            ],
        ),
        "from the network that comes with skadl, on cameras with dark shading",
    ),
    Finding(
        "Table 5, Sony",
        "fine-tuning 35.01 on its own pairs, 34.59 with Harmful1, 19.06 with Harmful2; "
        "ADL 35.13 and 34.99",
        partial(costs_of_harm, folder="bench-long", strategies=("fine-tune", "adl")),
        "from random weights, beside the pool without it",
    ),
    Finding(
        "Figure 3",
        "ADL above fine-tuning, also where target pairs are very few",
        partial(
            leads_by_size,
            pairs=[
                ("bench-start", BEST, "FineTuning-start"),
                ("bench-long", "adl", "fine-tune"),
            ],
        ),
    ),
)


def tabulate_findings(results: Path) -> pd.DataFrame:
    """Give a row for each finding of the paper, with ours."""
    rows = []
    for finding in FINDINGS:
        here = finding.read(results)
        if finding.trained and here != NOT_MEASURED:
            here = f"{finding.trained}: {here}"
        rows.append({"table": finding.table, "paper": finding.paper, "here": here})
    return pd.DataFrame(rows)


def tabulate_sensors(results: Path) -> pd.DataFrame:
    """Order of the methods on each real sensor."""
    rows = []
    for folder, target, own in _by_sensor(results):
        for size in sorted(own.target_pairs.unique()):
            shown = on_pool(own, OTHER_SENSORS, size)
            if known := order(shown):
                n_seeds = shown[shown.strategy == BEST].seed.nunique()
                name = target + REAL_RESULTS[folder]
                rows.append([name, f"{size}", known, f"{n_seeds}"])
    return pd.DataFrame(rows, columns=["sensor", "target pairs", "order", "seeds"])


def _by_sensor(results: Path) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield folder, sensor and test images of what was measured on real sensors."""
    for folder in REAL_RESULTS:
        images = read_committed(results / folder).images
        for target in images.target.unique():
            yield folder, target, images[images.target == target]


READING = f"""\
`B (+0.10) = A > C (-2.00)`: first the best; in brackets PSNR above {BEST}, in dB on the
same images. "=" stands where two differ by no more than twice the spread of their
difference over seeds, with one seed by less than {MEANS_NOTHING} dB. Of a method that
was not measured on every camera these stand behind the figure. After a colon
stand the mean over cameras, its spread over seeds, and in brackets the lowest camera.
Six target pairs where nothing else is said; one third of the sources is harmful in
Table 1 and figure 3. Simulated cameras, but for the table of real sensors. Written by
`{COMMAND}` from the runs in `benchmarks/results`."""


def write_orderings(results: Path = COMMITTED) -> str:
    """Return the page of orderings, as Markdown."""
    parts = ["# Orderings of the paper, and of the committed results", ""]
    parts += ["## Beside the paper", "", markdown_table(tabulate_findings(results)), ""]
    parts += ["## Real sensors", "", markdown_table(tabulate_sensors(results)), ""]
    return "\n".join([*parts, "## Reading", "", READING, ""])


@click.command()
@click.option(
    "--results",
    default=COMMITTED,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help=f"Folder of folders with {RUNS_FILE}; the page is written into it.",
)
def main(results: Path) -> None:
    """Write the orderings of the paper's tables beside ours."""
    with atomic_write(results / PAGE) as partial_path:
        partial_path.write_text(write_orderings(results), encoding="utf-8")
    click.echo(f"Written: {results / PAGE}")


if __name__ == "__main__":
    main()
