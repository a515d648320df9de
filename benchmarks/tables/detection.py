"""How well harmful sources are told from useful ones, and when batches are taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score, roc_curve

from benchmarks.tables.comparisons import NOTHING
from benchmarks.tables.log import KEY, REPORTS_FOLDER, Results, report_name
from benchmarks.tables.run import Run
from benchmarks.tables.simulation import USEFUL
from skadl.adaptation.report import DataSelectionReport
from skadl.plots import plot_acceptance

FALSE_ALARM = 0.05
SCORES = {
    "accepted": "share of the batches with a pair that was accepted",
    "margin": "their mean gate score above its threshold",
    "severity": "what the pair's residual shows before any training",
}
"""What a pair, or the mean of a domain, is judged by."""
ISO_EDGES = (0, 200, 800, 3200, 12800, np.inf)


def describe_detection(results: Results) -> dict[str, pd.DataFrame | str]:
    """Tabulate areas under ROC curves, per gate, score, domain and pair."""
    pairs = judged_pairs(results.selection)
    if pairs.empty:
        return NOTHING
    harm, planted = pairs[pairs.pool == "harm"], pairs[pairs.pool == "planted"]
    domains = (
        harm.groupby([*KEY, "domain", "kind"], sort=False)[list(SCORES)]
        .mean()
        .reset_index()
    )
    sections = {
        "Harmful domains": tabulate_areas(domains),
        "Pairs of harmful domains": tabulate_areas(harm),
        "Harmful pairs inside good domains": tabulate_areas(planted),
        "Pairs by what is wrong with them": tabulate_kinds(pairs),
    }
    scores = "; ".join(f"`{name}`: {what}" for name, what in SCORES.items())
    note = (
        "AUC: area under the ROC curve, harmful against useful, within each run; mean "
        "and lowest of the runs. `found`: harmful ones found when "
        f"{FALSE_ALARM:.0%} of the useful ones are lost. Judged by: {scores}. A pair "
        "that was never drawn has no batches and counts for its severity only."
    )
    return {
        **{name: table for name, table in sections.items() if len(table)},
        "Reading": note,
    }


def judged_pairs(selection: pd.DataFrame) -> pd.DataFrame:
    """Give each pair its scores, high for useful ones, NaN where there is none.

    Adds the columns of `SCORES` and `is_useful` to those of `Results.selection`.
    """
    if selection.empty:
        return selection
    offered = selection.offered.where(selection.offered > 0)
    return selection.assign(
        accepted=selection.accepted / offered,
        severity=-selection.oddness,
        is_useful=selection.kind == USEFUL,
    )


def areas(pairs: pd.DataFrame, score: str) -> pd.DataFrame:
    """Area under the ROC curve of each run, and what is found at few false alarms.

    Takes rows from `judged_pairs`, or means of domains. Only runs with both kinds have
    one.
    """
    rows = []
    for key, own in pairs.groupby(list(KEY), sort=False):
        own = own[own[score].notna()]
        is_harmful = own.kind != USEFUL
        if not 0 < is_harmful.sum() < len(own):
            continue
        false_alarms, found, _ = roc_curve(is_harmful, -own[score])
        rows.append(
            {
                **dict(zip(KEY, key, strict=True)),
                "auc": roc_auc_score(is_harmful, -own[score]),
                "found": found[false_alarms <= FALSE_ALARM].max(),
            }
        )
    return pd.DataFrame(rows, columns=[*KEY, "auc", "found"])


def tabulate_areas(pairs: pd.DataFrame) -> pd.DataFrame:
    """Summarise `areas` over runs, for each strategy, number of pairs and score."""
    rows = []
    for (strategy, size), own in pairs.groupby(["strategy", "target_pairs"]):
        for score in SCORES:
            found = areas(own, score)
            if len(found):
                rows.append(
                    {
                        "strategy": strategy,
                        "target pairs": size,
                        "judged by": score,
                        "AUC": f"{found.auc.mean():.3f}",
                        "lowest": f"{found.auc.min():.3f}",
                        "found": f"{found.found.mean():.0%}",
                        "runs": len(found),
                    }
                )
    return pd.DataFrame(rows)


def tabulate_kinds(pairs: pd.DataFrame) -> pd.DataFrame:
    """Give the share of batches accepted for each kind of pair and strategy."""
    rows = []
    for (pool, kind), own in pairs.groupby(["pool", "kind"]):
        row = {"pool": pool, "kind": kind}
        for strategy, group in own.groupby("strategy"):
            mean = group.accepted.mean()
            row[strategy] = "" if np.isnan(mean) else f"{mean:.0%}"
        rows.append(
            {**row, "pairs": len(own.drop_duplicates([*KEY[:2], "domain", "pair"]))}
        )
    return pd.DataFrame(rows).fillna("")


def tabulate_acceptance(results: Results) -> dict[str, pd.DataFrame | str]:
    """Tabulate acceptance of each source domain by ISO."""
    pairs = results.selection
    if pairs.empty:
        return NOTHING
    bands = pd.cut(pairs.iso, ISO_EDGES, labels=_band_names())
    sections: dict[str, pd.DataFrame | str] = {}
    for size, own in pairs.groupby("target_pairs"):
        groups = [own.target, own.domain, bands[own.index]]
        counts = own.groupby(groups, observed=False)[["accepted", "offered"]].sum()
        fraction = (
            counts.accepted / counts.offered.where(counts.offered > 0)
        ).unstack()
        fraction = fraction.map(lambda part: "" if np.isnan(part) else f"{part:.0%}")
        present = own.groupby(["target", "domain"]).size().index
        table = fraction.loc[fraction.index.isin(present)].reset_index()
        table.columns = [str(column) for column in table.columns]
        sections[f"{size} target pairs, by ISO"] = table
    note = (
        "Share of the batches with a pair of that ISO that were accepted; empty where "
        "none was offered. Pictures: by epoch, for the first seed."
    )
    return {**sections, "Reading": note}


def draw_acceptance(results: Results, folder: Path) -> dict[str, str]:
    """Draw the acceptance by epoch of one run of each target and number of pairs."""
    sections = {}
    runs = results.runs.sort_values("seed").drop_duplicates(["target", "target_pairs"])
    for run in runs.itertuples(index=False):
        key = Run(*(getattr(run, name) for name in KEY))
        source = folder / REPORTS_FOLDER / report_name(key)
        if not source.exists():
            continue
        name = f"heatmap-{run.target}-{run.target_pairs}.png"
        figure = plot_acceptance(DataSelectionReport.load(source))
        figure.savefig(folder / name)
        heading = f"{run.target}, {run.target_pairs} pairs, by epoch"
        sections[heading] = f"![{heading}]({name})"
    return sections


def _band_names() -> list[str]:
    names = [f"up to {ISO_EDGES[1]}"]
    names += [
        f"{low + 1} to {high}"
        for low, high in zip(ISO_EDGES[1:-2], ISO_EDGES[2:-1], strict=True)
    ]
    return [*names, f"above {ISO_EDGES[-2]}"]
