"""Doing the runs that some tables still need, and writing the tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from joblib import Parallel, delayed

from benchmarks.tables.campaign import Campaign
from benchmarks.tables.cluster import on_cluster
from benchmarks.tables.dataset import DatasetSettings
from benchmarks.tables.log import Results, RunLog
from benchmarks.tables.markdown import describe_machine, write_page
from benchmarks.tables.measure import Measured, measure
from benchmarks.tables.run import Run, Settings
from benchmarks.tables.tables import runs_of, runs_to_read, tables_of


def run_campaign(
    campaign: Campaign,
    folder: str | Path,
    tables: Sequence[str] | None = None,
    *,
    n_jobs: int = 1,
    n_threads: int = 1,
    dask: str | None = None,
    command: str = "",
    only_writes: bool = False,
    announce: Callable[[str], object] = lambda line: None,
) -> list[Path]:
    """Do the runs that are not in the folder yet, and return the tables.

    The folder holds the finished runs, as CSV, and the tables, as Markdown; one process
    at a time may write to it. `n_jobs` runs are done at a time, each in a process with
    `n_threads` of torch, or by the workers of a dask scheduler at that address:
    datasets then lie at the same path on all machines. `command` is quoted in the
    tables; `announce` takes lines that say how far it is. One that `only_writes` does
    no run: the tables are of what is finished.

    A ValueError if a table is unknown. A RuntimeError if the cluster cannot be used, or
    at the end if runs have failed: all others are done and in the tables.
    """
    tables = tuple(tables_of(campaign)) if tables is None else tables
    check_tables(tables, campaign)
    with on_cluster(dask):
        return _run(
            campaign,
            Path(folder),
            tables,
            n_jobs,
            n_threads,
            command,
            only_writes,
            announce,
        )


def _run(
    campaign: Campaign,
    folder: Path,
    tables: Sequence[str],
    n_jobs: int,
    n_threads: int,
    command: str,
    only_writes: bool,
    announce: Callable[[str], object],
) -> list[Path]:
    log = RunLog(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = campaign.settings
    log.note_settings(settings.digest, json.loads(settings.to_json()))
    pages, failures = [], {}
    for name in tables:
        wanted = runs_of(name, campaign)
        finished = log.finished()
        missing = [run for run in wanted if run not in finished | set(failures)]
        if only_writes:
            missing = []
        announce(f"{name}: {len(wanted)} runs, {len(missing)} to do")
        outcomes = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(
            delayed(_attempt)(run, campaign.settings, n_threads) for run in missing
        )
        for n_done, (run, outcome) in enumerate(outcomes, start=1):
            progress = f"{name} {n_done}/{len(missing)}: "
            if isinstance(outcome, Measured):
                log.add(outcome)
                announce(progress + _describe(run, outcome))
            else:
                failures[run] = outcome
                announce(f"{progress}{run} failed, {outcome}")
        page = folder / f"{name}.md"
        _write_table(page, name, campaign, log, command)
        pages.append(page)
    if failures:
        run, error = next(iter(failures.items()))
        raise RuntimeError(
            f"{len(failures)} runs failed and are missing from the tables; start again "
            f"to retry them. The first was {run}: {error}"
        )
    return pages


def check_tables(names: Sequence[str], campaign: Campaign) -> None:
    """Refuse names of tables that a campaign has not; the error lists those it has."""
    known = tables_of(campaign)
    for name in names:
        if name not in known:
            where = "" if campaign.settings.is_simulated else " on a dataset"
            raise ValueError(
                f"table {name!r} is not known{where}; known tables are "
                f"{', '.join(known)}."
            )


def _attempt(
    run: Run, settings: Settings | DatasetSettings, n_threads: int
) -> tuple[Run, Measured | str]:
    """Measure; an error becomes a sentence, so that the other runs go on."""
    try:
        return run, measure(run, settings, n_threads)
    except Exception as error:  # noqa: BLE001 (whatever it is, it is reported)
        return run, f"{type(error).__name__}: {error}"


def _describe(run: Run, measured: Measured) -> str:
    summary = measured.summary
    return (
        f"{run}: {summary['psnr']:.2f} dB, gain {summary['gain']:+.2f}, worst image "
        f"{summary['worst_gain']:+.2f}, {summary['seconds']:.0f} s"
    )


def _write_table(
    path: Path, name: str, campaign: Campaign, log: RunLog, command: str
) -> None:
    table = tables_of(campaign)[name]
    wanted = runs_to_read(name, campaign)
    results = log.read(wanted)
    sections = dict(table.read(results))
    if table.draw is not None:
        sections |= table.draw(results, log.folder)
    if campaign.gaps:
        sections["Missing"] = "\n".join(f"- {g}" for g in campaign.gaps)
    origin = {
        "Question": table.question,
        "Runs": f"{len(results.runs)} of {len(wanted)}, each keyed by settings "
        f"`{campaign.settings.digest}`",
        "Time of these fits": f"{_hours(results):.1f} h",
        "Command": f"`{command}`",
        "Settings": f"`{campaign.settings.to_json()}`",
        **describe_machine(),
    }
    origin = {key: value for key, value in origin.items() if value != "``"}
    write_page(path, table.title, sections, origin)


def _hours(results: Results) -> float:
    return 0.0 if results.runs.empty else results.runs.seconds.sum() / 3600
