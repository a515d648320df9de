"""Figures 3 and 8: quality against the number of the target's pairs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.tables.comparisons import (
    NOTHING,
    READING,
    on_every_target,
    over_targets,
)
from benchmarks.tables.log import Results
from skadl.adaptation.stages import FEW_PAIRS
from skadl.plots.canvas import new_figure

CURVES_FILE = "figure3.png"
SCORES = {"psnr": "PSNR [dB]", "ssim": "SSIM"}


def compare_sizes(results: Results) -> dict[str, pd.DataFrame | str]:
    """Tabulate strategies against the number of target pairs."""
    if results.runs.empty:
        return NOTHING
    psnr, ssim = _by_size(results.runs, "psnr", 2), _by_size(results.runs, "ssim", 4)
    note = (
        "Columns: number of target pairs. `fixed-validation` keeps the size of V' at "
        "its first value. `random-validation` draws V' without regard to system gain; "
        f"otherwise V' of fewer than {FEW_PAIRS} pairs has gains that span the range."
    )
    is_mean = psnr.target == "mean of targets"
    return {
        "PSNR, mean of targets": psnr[is_mean].drop(columns="target"),
        "SSIM, mean of targets (figure 8)": ssim[is_mean].drop(columns="target"),
        "PSNR by target": psnr[~is_mean],
        "Reading": f"{READING}\n\n{note}",
    }


def _by_size(runs: pd.DataFrame, column: str, digits: int) -> pd.DataFrame:
    rows = []
    for strategy, group in runs.groupby("strategy", sort=False):
        whole = on_every_target(group, runs)
        for target, own in [("mean of targets", whole), *group.groupby("target")]:
            row = {"strategy": strategy, "target": target}
            for size, same in sorted(own.groupby("target_pairs")):
                row[f"{size}"] = over_targets(same, column, digits)
            rows.append(row)
    return pd.DataFrame(rows).fillna("")


def draw_sizes(results: Results, folder: Path) -> dict[str, str]:
    """Draw PSNR and SSIM, mean over targets, against the number of target pairs.

    Bars are the standard deviation over seeds. Nothing is drawn of one size alone.
    """
    if results.runs.target_pairs.nunique() < 2:
        return {}
    figure = new_figure(10.0, 4.2)
    for axes, (column, label) in zip(
        figure.subplots(1, len(SCORES)), SCORES.items(), strict=True
    ):
        for strategy, group in results.runs.groupby("strategy", sort=False):
            by_seed = on_every_target(group, results.runs).pivot_table(
                index="seed", columns=["target_pairs", "target"], values=column
            )
            means = by_seed.T.groupby("target_pairs").mean().T  # seeds by sizes
            spread = means.std().fillna(0)
            axes.errorbar(
                means.columns, means.mean(), spread, marker="o", label=strategy
            )
        axes.set_xscale("log")
        sizes = sorted(results.runs.target_pairs.unique())
        axes.set_xticks(sizes, [f"{size}" for size in sizes])
        axes.minorticks_off()
        axes.set_xlabel("target pairs")
        axes.set_ylabel(label)
    axes.legend(fontsize=8)
    figure.savefig(folder / CURVES_FILE)
    return {"Curves": f"![PSNR and SSIM by target pairs]({CURVES_FILE})"}
