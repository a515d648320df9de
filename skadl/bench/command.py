"""The words of ``skadl bench`` as a campaign."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from skadl.bench.campaign import Campaign, reduced
from skadl.bench.log import RunLog
from skadl.bench.running import check_tables, run_campaign
from skadl.bench.runs import Settings, estimator_parameters, read_assignments
from skadl.bench.simulation import NO_POOL, POOLS
from skadl.bench.strategies import STRATEGIES
from skadl.bench.tables import TABLES, runs_of
from skadl.datasets import get_camera
from skadl.estimator import ADLDenoiser


def read_campaign(
    targets: str | None = None,
    seeds: str | None = None,
    target_pairs: str | None = None,
    strategies: str | None = None,
    pools: str | None = None,
    size: int | None = None,
    assignments: Sequence[str] = (),
    is_reduced: bool = False,
) -> Campaign:
    """Turn the words of the command line into a campaign.

    Parameters
    ----------
    targets, seeds, target_pairs, strategies, pools : str, optional
        With commas between.
    size : int, optional
        Side of the mosaics trained on, in pixels.
    assignments : sequence of str
        ``name=value``.
    is_reduced : bool
        Whether to shrink it; what is given in words holds.

    Returns
    -------
    Campaign

    Raises
    ------
    ValueError
        If a word is not understood; the message says which are.
    """
    campaign = Campaign()
    if is_reduced:
        campaign = reduced(campaign)
    given = {}
    if targets is not None:
        given["targets"] = tuple(targets.split(","))
    if seeds is not None:
        given["seeds"] = _integers("--seeds", seeds, 0)
    if target_pairs is not None:
        given["target_pairs"] = _integers("--target-pairs", target_pairs, 2)
    if strategies is not None:
        given["strategies"] = _names("--strategies", strategies, STRATEGIES)
    if pools is not None:
        given["pools"] = _names("--pools", pools, (NO_POOL, *POOLS))
    campaign = replace(campaign, **given)
    for target in campaign.targets:
        get_camera(target)
    settings = campaign.settings
    if size is not None:
        settings = replace(settings, size=size)
    changes = read_assignments(assignments)
    parameters = estimator_parameters({**settings.parameters, **changes})
    ADLDenoiser(**parameters)._validate_params()
    return replace(campaign, settings=replace(settings, parameters=parameters))


def list_tables(
    campaign: Campaign, folder: Path, tables: Sequence[str]
) -> Iterator[str]:
    """Say what each table asks, and how many of its runs are done.

    Parameters
    ----------
    campaign : Campaign
    folder : Path
    tables : sequence of str

    Yields
    ------
    str
        Lines.
    """
    finished = RunLog(folder).finished()
    check_tables(tables)
    for name in tables:
        runs = runs_of(name, campaign)
        done = sum(run in finished for run in runs)
        yield f"{name:<10} {TABLES[name].question} ({done} of {len(runs)} runs done)"


def run_bench(
    campaign: Campaign,
    folder: Path,
    tables: Sequence[str],
    n_jobs: int,
    n_threads: int,
    announce: Callable[[str], object],
) -> list[Path]:
    """Run a campaign and quote the command that does the same again.

    Parameters
    ----------
    campaign : Campaign
    folder : Path
    tables : sequence of str
    n_jobs, n_threads : int
    announce : callable
        Takes lines.

    Returns
    -------
    list of Path
        Of the tables.
    """
    return run_campaign(
        campaign,
        folder,
        tables,
        n_jobs=n_jobs,
        n_threads=n_threads,
        command=command_line(campaign, tables, n_jobs, n_threads),
        announce=announce,
    )


def command_line(
    campaign: Campaign, tables: Sequence[str], n_jobs: int, n_threads: int
) -> str:
    """Return the command for a campaign, with everything that is not a default.

    Parameters
    ----------
    campaign : Campaign
    tables : sequence of str
    n_jobs, n_threads : int

    Returns
    -------
    str
    """
    default = Settings()
    base, words = default, ["skadl", "bench", *tables]
    if campaign.settings.source_pairs != default.source_pairs:
        base, words = reduced(Campaign()).settings, [*words, "--reduced"]
    for option in ("targets", "seeds", "target_pairs", "strategies", "pools"):
        values = ",".join(map(str, getattr(campaign, option)))
        if not values:  # all that the table asks for
            continue
        words += [f"--{option.replace('_', '-')}", values]
    if campaign.settings.size != base.size:
        words += ["--size", str(campaign.settings.size)]
    for name, value in campaign.settings.parameters.items():
        if value != base.parameters[name]:
            words += ["--set", f"{name}={value}"]
    words += ["--jobs", str(n_jobs), "--threads", str(n_threads)]
    return shlex.join(words)


def _names(option: str, text: str, known: Iterable[str]) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in known:
            raise ValueError(
                f"{option} takes names with commas between, got {name!r}; known are "
                f"{', '.join(known)}."
            )
    return names


def _integers(option: str, text: str, lowest: int) -> tuple[int, ...]:
    try:
        values = tuple(int(word) for word in text.split(","))
    except ValueError:
        values = ()
    if not values or min(values) < lowest:
        raise ValueError(
            f"{option} takes integers from {lowest} with commas between, got {text!r}."
        )
    return values
