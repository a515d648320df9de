"""The tables of the benchmark: which runs each needs, and how these are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import pandas as pd

from benchmarks.tables import comparisons, detection, sizes
from benchmarks.tables.campaign import Campaign
from benchmarks.tables.dataset import OTHER_SENSORS
from benchmarks.tables.log import Results
from benchmarks.tables.measure import RECORDED
from benchmarks.tables.methods import ADDED, METHODS, WITHOUT_SOURCES
from benchmarks.tables.requirements import PLAIN, SIMPLE, check_requirements
from benchmarks.tables.run import Run
from benchmarks.tables.simulation import NO_POOL, ROUGH_POOL
from benchmarks.tables.strategies import ABLATIONS

Sections = Mapping[str, "pd.DataFrame | str"]


@dataclass(frozen=True)
class Cell:
    """What a table asks of every target and seed."""

    strategy: str
    pool: str
    target_pairs: int


@dataclass(frozen=True)
class Table:
    """One table of the benchmark."""

    title: str
    question: str  # what it answers, in a sentence
    # Takes `Results`, returns sections: heading to DataFrame or text.
    read: Callable[[Results], Sections]
    # Every strategy is asked for on every pool. Without strategies a table has no runs
    # of its own and reads those of all others.
    strategies: Sequence[str] = ()
    pools: Sequence[str] = ()
    is_curve: bool = False  # whether the sizes of T^adp are those of the curve
    # Takes `Results` and the folder, writes pictures, returns sections.
    draw: Callable | None = None

    def cells(self, campaign: Campaign) -> list[Cell]:
        """List what is asked of every target and seed, the first strategies first."""
        n_pairs = campaign.curve_pairs if self.is_curve else campaign.target_pairs
        cells = [
            Cell(name, NO_POOL if name in WITHOUT_SOURCES else pool, size)
            for name, pool, size in product(self.strategies, self.pools, n_pairs)
        ]
        return [
            cell
            for cell in cells
            if cell.strategy in (campaign.strategies or self.strategies)
            and cell.pool in (campaign.pools or (NO_POOL, *self.pools))
        ]


CALIBRATED = (
    "NoiseCalibration-start",
    "NoiseCalibration-TargetOnly",
    "NoiseCalibration-ADL-single",
    "NoiseCalibration-FineTuning",
    "NoiseCalibration-ADL",
    "start",
    "ADL-start",
    "NoiseCalibration",
    "LED",
    "LED-sources",
)
"""Of Table 2: "single" and "TargetOnly" see pairs of the new sensor alone.

Noise is calibrated from the network that comes with skadl; alone also from random
weights, as in the papers.
"""

TABLES: dict[str, Table] = {
    "table1": Table(
        "Table 1: every method of the paper",
        "Which method gives the best denoiser for a new sensor?",
        comparisons.compare_methods,
        ("ADL-start", "adl", *(name for name in METHODS if name != "ADL-start")),
        ("clean", "harm"),
    ),
    "table2": Table(
        "Table 2: noise calibration and LED, and ADL after them",
        "Does ADL add to a calibrated network, and is LED with source sensors enough?",
        partial(comparisons.compare_methods, best="NoiseCalibration-ADL"),
        CALIBRATED,
        ("clean",),
    ),
    "table3": Table(
        "Table 3: PMN's strategies on cameras with dark shading",
        "What do dark shading correction and augmented shot noise add to ADL and to "
        "fine-tuning?",
        comparisons.compare_additions,
        tuple(ADDED),
        (ROUGH_POOL,),
    ),
    "trainings": Table(
        "Ways to train for a new sensor",
        "What is ADL worth against plainer trainings of the same length?",
        comparisons.compare_strategies,
        ("adl", *SIMPLE, "oracle-noise", "no-gate", "adl-queue", "adl-paired", *PLAIN),
        ("harm", "clean"),
    ),
    "detection": Table(
        "Detection of harmful sources",
        "Are harmful domains, and harmful pairs in good domains, told from the rest?",
        detection.describe_detection,
        RECORDED,
        ("harm", "planted"),
    ),
    "table5": Table(
        "Table 5: harmful sets added one by one",
        "What does each harmful set cost, with and without selection?",
        comparisons.compare_pools,
        ("adl", "fine-tune"),
        ("clean", "harm1", "harm2"),
    ),
    "table4": Table(
        "Table 4: ablations",
        "Is the default better than without each of its parts?",
        comparisons.compare_ablations,
        ("ADL-start", "adl", *ABLATIONS),
        ("harm",),
    ),
    "figure3": Table(
        "Figures 3 and 8: PSNR and SSIM against the number of target pairs",
        "How few pairs of the target are enough?",
        sizes.compare_sizes,
        (
            *("ADL-start", "start-fixed-validation", "start-random-validation"),
            "FineTuning-start",
            *("adl", "fixed-validation", "random-validation"),
            *("target-only", "fine-tune"),
        ),
        ("harm",),
        is_curve=True,
        draw=sizes.draw_sizes,
    ),
    "heatmap": Table(
        "Figure 4 of the appendix: which source batches are accepted",
        "Which cameras, at which ISO, help at which time?",
        detection.tabulate_acceptance,
        ("adl",),
        ("harm",),
        draw=detection.draw_acceptance,
    ),
    "cost": Table(
        "Cost of the selection",
        "How much longer does a fit take than an ungated one of as many steps?",
        comparisons.compare_cost,
        ("adl", "no-gate"),
        ("harm", "clean"),
    ),
    "bars": Table(
        "The bars",
        "What should the defaults reach, and do they?",
        check_requirements,
    ),
}
"""Tables by name, the most telling first."""

DATASET_TABLES: dict[str, Table] = {
    "table1": replace(
        TABLES["table1"],
        title="Table 1: each sensor in turn taken as new",
        pools=(OTHER_SENSORS,),
    ),
    "trainings": replace(
        TABLES["trainings"],
        title="Ways to train: each sensor in turn taken as new",
        read=comparisons.compare_on_sensors,
        # The true noise of a real sensor is not known.
        strategies=[s for s in TABLES["trainings"].strategies if s != "oracle-noise"],
        pools=(OTHER_SENSORS,),
    ),
}
"""Tables that can be measured on pairs from disk."""


def tables_of(campaign: Campaign) -> dict[str, Table]:
    """Give the tables by name that a campaign's data allow."""
    return TABLES if campaign.settings.is_simulated else DATASET_TABLES


def runs_of(table: str, campaign: Campaign) -> list[Run]:
    """List the runs that a table needs, each once.

    Seed by seed, so that an interrupted table is complete for some of them.
    """
    settings = campaign.settings.digest
    runs = [
        Run(target, seed, cell.pool, cell.strategy, cell.target_pairs, settings)
        for seed in campaign.seeds
        for cell in tables_of(campaign)[table].cells(campaign)
        for target in campaign.targets
        if (target, cell.target_pairs) not in campaign.left_out
    ]
    return list(dict.fromkeys(runs))


def runs_to_read(table: str, campaign: Campaign) -> list[Run]:
    """List the runs that a table is made from: its own, or all tables' if none are."""
    tables = tables_of(campaign)
    names = [name for name, other in tables.items() if not other.is_curve]
    names = [table] if tables[table].strategies else names
    runs = (run for name in names for run in runs_of(name, campaign))
    return list(dict.fromkeys(runs))
