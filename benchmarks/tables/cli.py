"""``python -m benchmarks.tables``: the tables, on simulated cameras or on datasets."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from skadl.commands.terminal import cannot_write, say
from skadl.datasets import DATASETS

_MOST_SHOWN = 10
SIMULATED = "simulated"
_COMPARISONS = [entry.comparison for entry in DATASETS if entry.comparison]
_READERS = ", ".join(comparison.name for comparison in _COMPARISONS)


@click.command()
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    metavar="NAME",
    help=f"Pairs on disk instead of simulated ones: {_READERS}, folder for pairs of "
    "your own, real for bursts in .npz files, or sky for those of the night sky, which "
    "are scored between the stars; simulated for none. Each of its sensors in turn is "
    "the new one, the others are sources; repeat it for sources from more datasets.",
)
@click.option(
    "--root",
    "roots",
    multiple=True,
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Where the dataset lies; one for each --dataset.",
)
@click.option(
    "--test-scenes",
    metavar="NAMES",
    help="Scenes of a dataset to test on, with commas between, as ELD-scene-1.",
)
@click.option("--targets", help="Cameras taken as new, with commas between.")
@click.option("--seeds", help="Integers, with commas between.")
@click.option("--target-pairs", help="Pairs of the target, with commas between.")
@click.option("--strategies", help="Only these of a table, with commas between.")
@click.option("--pools", help="Only these of a table, with commas between.")
@click.option("--jobs", type=click.IntRange(1), default=1, help="Runs at a time.")
@click.option("--threads", type=click.IntRange(1), default=1, help="Of each run.")
@click.option(
    "--dask",
    metavar="ADDRESS",
    help="Do the runs on the workers of this dask scheduler, as tcp://host:8786.",
)
@click.option(
    "--size",
    type=click.IntRange(16),
    help="Side of the mosaics, in pixels; with a dataset, of the windows cut from the "
    "sources' frames.",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="Parameter of ADLDenoiser, for every strategy; may be repeated.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the finished runs and the tables; skadl-bench by default, with a "
    "dataset skadl-bench-NAME.",
)
@click.option(
    "--reduced",
    is_flag=True,
    help="The whole path in a minute or two, with figures that mean nothing.",
)
@click.option(
    "--take",
    "others",
    multiple=True,
    metavar="DIRECTORY",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Add the finished runs of another --out to this one first, as of another "
    "machine; may be repeated.",
)
@click.option(
    "--only-write",
    "only_writes",
    is_flag=True,
    help="Do no run: write the tables of those that are finished.",
)
@click.option("--list", "only_lists", is_flag=True, help="List the tables and stop.")
def bench(
    tables: tuple[str, ...],
    datasets: tuple[str, ...],
    roots: tuple[Path, ...],
    test_scenes: str | None,
    targets: str | None,
    seeds: str | None,
    target_pairs: str | None,
    strategies: str | None,
    pools: str | None,
    jobs: int,
    threads: int,
    dask: str | None,
    size: int | None,
    assignments: tuple[str, ...],
    out: Path | None,
    reduced: bool,
    others: tuple[Path, ...],
    only_writes: bool,
    only_lists: bool,
) -> None:
    """Measure the benchmark's tables, all without TABLE, on simulated cameras or data.

    Every finished run is kept in --out: stop at any time, and start the same command
    again to go on. A run that two tables need is done once.
    """
    if importlib.util.find_spec("pandas") is None:
        raise click.ClickException(
            "the benchmark needs pandas, which is not installed; get it with "
            'python -m pip install -e ".[bench]".'
        )
    from benchmarks.tables.execute import run_campaign
    from benchmarks.tables.log import RunLog
    from benchmarks.tables.methods import LEFT_OUT
    from benchmarks.tables.options import (
        DatasetOptions,
        command_line,
        list_tables,
        move_to_datasets,
        read_campaign,
    )
    from benchmarks.tables.tables import tables_of

    if datasets == (SIMULATED,):
        datasets = ()
    out = out or Path("-".join(["skadl-bench", *datasets]))
    try:
        options = DatasetOptions(datasets, roots, test_scenes)
        if datasets and pools is not None:
            raise ValueError("--pools are of simulated cameras; leave it out.")
        campaign = read_campaign(
            None if datasets else targets,
            seeds,
            target_pairs or ("6" if datasets else None),
            strategies,
            pools,
            size,
            assignments,
            reduced,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if datasets:
        try:
            campaign = move_to_datasets(campaign, options, out, targets, size, reduced)
        except (ImportError, OSError, ValueError) as error:
            raise click.ClickException(str(error)) from error
    names = tables or tuple(tables_of(campaign))
    if "table1" in names:
        lacking = [f"method {name}: {what}" for name, what in LEFT_OUT.items()]
        campaign = replace(campaign, gaps=(*campaign.gaps, *lacking))
    _show_gaps(campaign.gaps)
    try:
        lines = list(list_tables(campaign, out, names))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if only_lists:
        say(lines)
        return
    try:
        for other in others:
            say([f"{other}: {RunLog(out).take(RunLog(other))} runs taken"])
        pages = run_campaign(
            campaign,
            out,
            names,
            n_jobs=jobs,
            n_threads=threads,
            dask=dask,
            command=command_line(campaign, names, jobs, threads),
            only_writes=only_writes,
            announce=click.echo,
        )
    except OSError as error:
        raise click.ClickException(cannot_write(out, error)) from error
    except (ImportError, RuntimeError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    say([f"Written: {page}" for page in pages])


def _show_gaps(gaps: Sequence[str]) -> None:
    """Say on standard error what is missing; the tables list all of it."""
    for gap in gaps[:_MOST_SHOWN]:
        click.echo(f"Missing: {gap}", err=True)
    if len(gaps) > _MOST_SHOWN:
        more = len(gaps) - _MOST_SHOWN
        click.echo(f"Missing: {more} more, which the tables list.", err=True)
