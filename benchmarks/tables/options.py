"""The options of ``python -m benchmarks.tables`` as a campaign."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.tables.campaign import Campaign, reduced
from benchmarks.tables.dataset import (
    DATASETS,
    DatasetSettings,
    check_targets,
    choose_targets,
    load_datasets,
)
from benchmarks.tables.execute import check_tables
from benchmarks.tables.log import RUNS_FILE, RunLog
from benchmarks.tables.methods import EVERY_STRATEGY
from benchmarks.tables.run import Settings, estimator_parameters, read_assignments
from benchmarks.tables.simulation import NO_POOL, POOLS
from benchmarks.tables.tables import runs_of, tables_of
from skadl.datasets import get_camera
from skadl.estimators.adl import ADLDenoiser

COMMITTED = Path(__file__).parents[1] / "results"
FRAMES_FOLDER = "frames"
REDUCED_DATASET = {"source_pairs": 5, "test_pairs": 7, "size": 64}


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

    Names and numbers come with commas between, assignments as ``name=value``. What is
    given in words holds, also where the campaign is reduced. A ValueError says which
    words are possible.
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
        given["strategies"] = _names("--strategies", strategies, EVERY_STRATEGY)
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


@dataclass(frozen=True)
class DatasetOptions:
    """What the command line says of datasets."""

    names: Sequence[str]
    roots: Sequence[Path]
    test_scenes: str | None = None  # with commas between

    def __post_init__(self) -> None:
        for name in self.names:
            if name not in DATASETS:
                raise ValueError(
                    f"--dataset takes one of {', '.join(DATASETS)}, got {name!r}."
                )
        if len(self.names) != len(self.roots):
            raise ValueError(
                f"got {len(self.names)} --dataset and {len(self.roots)} --root; give "
                "each dataset the folder it lies in."
            )
        if self.test_scenes is not None and not self.names:
            raise ValueError("--test-scenes are of a dataset; give --dataset as well.")


def move_to_datasets(
    campaign: Campaign,
    options: DatasetOptions,
    folder: Path,
    targets: str | None = None,
    size: int | None = None,
    is_reduced: bool = False,
) -> Campaign:
    """Measure on pairs from disk what a campaign was to measure on simulated ones.

    `folder` is that of the finished runs; the frames that fits read from are kept there
    too. `targets` are sensors with commas between, by default all of the first dataset
    that have enough pairs: the campaign's gaps say which have not. `size` is the side
    of the windows cut from source frames, in pixels. A FileNotFoundError if a dataset
    is not where it should be, a ValueError if it holds too little.
    """
    settings, gaps = load_datasets(options.names, options.roots, folder / FRAMES_FOLDER)
    changes: dict = {"parameters": campaign.settings.parameters}
    if is_reduced:
        changes |= REDUCED_DATASET
    if options.test_scenes is not None:
        changes["test_scenes"] = tuple(options.test_scenes.split(","))
    if size is not None:
        changes["size"] = size
    settings = replace(settings, **changes)
    if targets is not None:
        sensors = targets.split(",")
        check_targets(settings, sensors, campaign.target_pairs)
        lacks = {}
    else:
        sensors, lacks = choose_targets(settings, campaign.target_pairs)
        sensors = sensors[: 2 if is_reduced else None]
        gaps += [
            f"{lack}: with {size} target pairs it is a source only"
            for (_, size), lack in lacks.items()
        ]
    return replace(
        campaign,
        targets=tuple(sensors),
        settings=settings,
        gaps=tuple(gaps),
        left_out=frozenset(lacks),
    )


def list_tables(
    campaign: Campaign, folder: Path, tables: Sequence[str]
) -> Iterator[str]:
    """Say in a line what each table asks, and how many of its runs are done.

    Runs of the same settings that the repository holds are counted too.
    """
    finished = RunLog(folder).finished()
    paths = sorted(COMMITTED.glob(f"*/{RUNS_FILE}"))
    committed = set().union(*(RunLog(path.parent).finished() for path in paths))
    check_tables(tables, campaign)
    for name in tables:
        runs = runs_of(name, campaign)
        done, known = (sum(run in own for run in runs) for own in (finished, committed))
        question = tables_of(campaign)[name].question
        note = f"; {known} are committed in benchmarks/results" if known else ""
        yield f"{name:<10} {question} ({done} of {len(runs)} runs done{note})"


def command_line(
    campaign: Campaign, tables: Sequence[str], n_jobs: int, n_threads: int
) -> str:
    """Return the command for a campaign, with everything that is not a default."""
    settings = campaign.settings
    words = ["python", "-m", "benchmarks.tables", *tables]
    is_reduced = settings.source_pairs != Settings().source_pairs
    base = _base_settings(is_reduced)
    base_size = base.size
    if isinstance(settings, DatasetSettings):
        base_size = REDUCED_DATASET["size"] if is_reduced else DatasetSettings.size
        for name, root in zip(settings.names, settings.roots, strict=True):
            words += ["--dataset", name, "--root", str(root)]
        if settings.test_scenes:
            words += ["--test-scenes", ",".join(settings.test_scenes)]
    if is_reduced:
        words.append("--reduced")
    for option in ("targets", "seeds", "target_pairs", "strategies", "pools"):
        values = ",".join(map(str, getattr(campaign, option)))
        if not values:  # all that the table asks for
            continue
        if option == "targets" and campaign.left_out:  # they would be refused by name
            continue
        words += [f"--{option.replace('_', '-')}", values]
    if settings.size != base_size:
        words += ["--size", str(settings.size)]
    for name, value in settings.parameters.items():
        if value != base.parameters[name]:
            words += ["--set", f"{name}={value}"]
    words += ["--jobs", str(n_jobs), "--threads", str(n_threads)]
    return shlex.join(words)


def _base_settings(is_reduced: bool) -> Settings:
    return reduced(Campaign()).settings if is_reduced else Settings()


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
