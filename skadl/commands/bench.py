"""``skadl bench``: the benchmark's tables."""

from __future__ import annotations

from pathlib import Path

import click

from skadl.commands.terminal import cannot_write, say


@click.command()
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@click.option("--targets", help="Cameras taken as new, with commas between.")
@click.option("--seeds", help="Integers, with commas between.")
@click.option("--target-pairs", help="Pairs of the target, with commas between.")
@click.option("--strategies", help="Only these of a table, with commas between.")
@click.option("--pools", help="Only these of a table, with commas between.")
@click.option("--jobs", type=click.IntRange(1), default=1, help="Runs at a time.")
@click.option("--threads", type=click.IntRange(1), default=1, help="Of each run.")
@click.option("--size", type=click.IntRange(16), help="Side of mosaics, in pixels.")
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
    default=Path("skadl-bench"),
    show_default=True,
    help="Folder of the finished runs and the tables.",
)
@click.option(
    "--reduced",
    is_flag=True,
    help="The whole path in a minute or two, with figures that mean nothing.",
)
@click.option("--list", "only_lists", is_flag=True, help="List the tables and stop.")
def bench(
    tables: tuple[str, ...],
    targets: str | None,
    seeds: str | None,
    target_pairs: str | None,
    strategies: str | None,
    pools: str | None,
    jobs: int,
    threads: int,
    size: int | None,
    assignments: tuple[str, ...],
    out: Path,
    reduced: bool,
    only_lists: bool,
) -> None:
    """Measure the benchmark's tables on simulated cameras; all without TABLE.

    Every finished run is kept in --out: stop at any time, and start the same command
    again to go on. A run that two tables need is done once.
    """
    try:
        from skadl.bench.command import list_tables, read_campaign, run_bench
        from skadl.bench.tables import TABLES
    except ImportError as error:
        raise click.ClickException(str(error)) from error

    names = tables or tuple(TABLES)
    try:
        campaign = read_campaign(
            targets,
            seeds,
            target_pairs,
            strategies,
            pools,
            size,
            assignments,
            reduced,
        )
        lines = list(list_tables(campaign, out, names))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if only_lists:
        say(lines)
        return
    try:
        pages = run_bench(campaign, out, names, jobs, threads, announce=click.echo)
    except OSError as error:
        raise click.ClickException(cannot_write(out, error)) from error
    except (RuntimeError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    say([f"Written: {page}" for page in pages])
