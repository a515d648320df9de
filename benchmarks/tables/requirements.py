"""What the defaults should reach, and whether they do, from finished runs only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.tables.comparisons import (
    NOTHING,
    paired_lead,
    paired_ratio,
    spread_over_seeds,
)
from benchmarks.tables.detection import areas, judged_pairs
from benchmarks.tables.log import Results
from benchmarks.tables.markdown import NOT_MEASURED
from benchmarks.tables.simulation import NO_POOL
from benchmarks.tables.strategies import ABLATIONS

SIMPLE = ("target-only", "fine-tune", "joint", "joint-7of8", "source-only")
"""What anyone would try first."""
PLAIN = ("plain-target-only", "plain-fine-tune")
"""The same without skadl's own parts: what its users come from."""
FEW = 6
"""Number of target pairs for which the gains over simple trainings are asked."""


@dataclass(frozen=True)
class Requirement:
    """One thing that the defaults should reach."""

    name: str
    required: str  # as text for people
    reached: float | None  # None where no run says
    limit: float
    at_least: bool = True  # whether `reached` should be at least or at most `limit`
    shown: str = "{:+.3f} dB"  # how to show `reached`
    remark: str = ""
    runs: int = 0  # that the figure is from

    @property
    def verdict(self) -> str:
        """Whether it is met."""
        if self.reached is None:
            return NOT_MEASURED
        if self.at_least:
            return "met" if self.reached >= self.limit else "missed"
        return "met" if self.reached <= self.limit else "missed"


def check_requirements(results: Results) -> dict[str, pd.DataFrame | str]:
    """State each requirement, the figure reached and whether that is enough."""
    if results.runs.empty:
        return NOTHING
    rows = [
        {
            "target pairs": size,
            "bar": each.name,
            "required": each.required,
            "reached": ""
            if each.reached is None
            else f"{each.shown.format(each.reached)} {each.remark}".strip(),
            "verdict": each.verdict,
            "runs": each.runs or "",
        }
        for size, runs in results.by_target_pairs()
        for each in list_requirements(runs, size)
    ]
    note = (
        "Means are over targets and seeds; a difference is between runs of the same "
        "target and seed, ± its standard deviation over seeds, in brackets the worst "
        "target. Each verdict is on the unrounded figure. `runs` counts the fits with "
        "the defaults that a figure is from."
    )
    return {"Reached": pd.DataFrame(rows), "Reading": note}


def list_requirements(results: Results, size: int) -> Iterator[Requirement]:
    """List the requirements for one number of target pairs."""
    runs = results.runs
    yield _lead(
        runs,
        "Harmful pool against the same training without it",
        "adl",
        -0.05,
        "harm",
        second_pool="clean",
    )
    yield from _acceptance(runs)
    yield _detection(results)
    if size == FEW:
        for pool in ("harm", "clean"):
            yield _lead(
                runs, f"Over target-only, pool {pool}", "target-only", 1.2, pool
            )
        for pool, gain in (("harm", 1.5), ("clean", 0.4)):
            yield _lead(
                runs,
                f"Over sources, then fine-tune, pool {pool}",
                "fine-tune",
                gain,
                pool,
            )
        for other in PLAIN:
            yield _lead(
                runs, f"Over {other}, pool harm (no bar asked)", other, 0.0, "harm"
            )
    for pool in ("harm", "clean"):
        yield _worst_target(runs, pool)
    for pool in ("harm", "clean"):
        yield _lead(
            runs,
            f"Against the true noise model, pool {pool}",
            "oracle-noise",
            -0.1,
            pool,
        )
    yield _worst_image(runs)
    for name, ablation in ABLATIONS.items():
        if ablation.base == "adl":
            yield _lead(
                runs,
                f"Default over itself with {ablation.label} off",
                name,
                0.0,
                "harm",
            )
    yield _cost(runs)


def _lead(
    runs: pd.DataFrame,
    name: str,
    other: str,
    limit: float,
    pool: str,
    second_pool: str | None = None,
) -> Requirement:
    """Mean lead of `adl` over another strategy."""
    leads = paired_lead(runs, "adl", other, pool=pool, second_pool=second_pool)
    required = f"at least {limit:+.2f} dB"
    if leads.empty:
        return Requirement(name, required, None, limit)
    by_target = leads.groupby("target").lead.mean()
    spread = spread_over_seeds(leads)
    remark = "" if np.isnan(spread) else f"± {spread:.2f} "
    remark += f"({by_target.min():+.2f} on {by_target.idxmin()})"
    return Requirement(
        name,
        required,
        by_target.mean(),
        limit,
        remark=remark,
        runs=len(leads),
    )


def _acceptance(runs: pd.DataFrame) -> Iterator[Requirement]:
    own = runs[(runs.strategy == "adl") & (runs.pool == "harm")]
    for name, kind, limit, at_least in (
        ("Misaligned and black batches accepted", "harmful2", 0.05, False),
        ("Useful batches accepted", "useful", 0.90, True),
    ):
        offered = own[f"offered_{kind}"].sum()
        required = f"at {'least' if at_least else 'most'} {limit:.0%}"
        reached, remark = None, ""
        if offered:
            shares = own[f"accepted_{kind}"] / own[f"offered_{kind}"].where(
                own[f"offered_{kind}"] > 0
            )
            reached = own[f"accepted_{kind}"].sum() / offered
            worst = shares.min() if at_least else shares.max()
            remark = f"({worst:.1%} in the worst run)"
        yield Requirement(
            name, required, reached, limit, at_least, "{:.1%}", remark, len(own)
        )


def _detection(results: Results) -> Requirement:
    """Take the better of the two scores that the default decides by."""
    name, required = "ROC AUC, harmful pairs in good domains", "at least 0.95"
    pairs = judged_pairs(results.selection)
    if len(pairs):
        pairs = pairs[(pairs.strategy == "adl") & (pairs.pool == "planted")]
        found = {score: areas(pairs, score) for score in ("severity", "accepted")}
        found = {score: rows.auc for score, rows in found.items() if len(rows)}
        if found:
            best = max(found, key=lambda score: found[score].mean())
            remark = f"by {best} (lowest {found[best].min():.3f})"
            mean, n_runs = found[best].mean(), len(found[best])
            return Requirement(
                name, required, mean, 0.95, True, "{:.3f}", remark, n_runs
            )
    return Requirement(name, required, None, 0.95)


def _worst_target(runs: pd.DataFrame, pool: str) -> Requirement:
    """Lowest lead, over targets, of `adl` over the best simple alternative."""
    name = f"Against the best simple alternative, worst target, pool {pool}"
    own = runs[runs.pool.isin([pool, NO_POOL])]
    leads = []
    for target, group in own.groupby("target"):
        means = group.groupby("strategy").psnr.mean()
        simple = means.reindex(SIMPLE).dropna()
        if "adl" in means and len(simple):
            lead = means["adl"] - simple.max()
            leads.append((lead, f"({target}, {simple.idxmax()})"))
    required = "at least -0.10 dB"
    if not leads:
        return Requirement(name, required, None, -0.1)
    lead, remark = min(leads)
    return Requirement(
        name, required, lead, -0.1, remark=remark, runs=(own.strategy == "adl").sum()
    )


def _worst_image(runs: pd.DataFrame) -> Requirement:
    name, required = "Gain of the worst test image", "at least -0.05 dB"
    own = runs[(runs.strategy == "adl") & runs.pool.isin(["harm", "clean"])]
    if own.empty:
        return Requirement(name, required, None, -0.05)
    worst = own.loc[own.worst_gain.idxmin()]
    remark = f"({worst.target}; {own.n_worse.sum()} images below)"
    return Requirement(
        name, required, worst.worst_gain, -0.05, remark=remark, runs=len(own)
    )


def _cost(runs: pd.DataFrame) -> Requirement:
    name, required = "Extra time of the selection", "at most +35 %"
    ratios = paired_ratio(runs, "cpu_seconds")
    if ratios.empty:
        return Requirement(name, required, None, 0.35)
    remark = f"(up to {ratios.max() - 1:+.0%})"
    extra = ratios.median() - 1
    return Requirement(
        name, required, extra, 0.35, False, "{:+.0%}", remark, len(ratios)
    )
