"""The runs of `targets.py` as tables and as verdicts on the bars."""

from __future__ import annotations

import pandas as pd

NO_POOL = "none"  # pool of a method that takes no sources
TOLERANCE = 0.05  # dB
READING = f"""\
PSNR in dB as in `ADLDenoiser.score`: mean over the test images, then mean and
standard deviation over seeds. `over target-only`: mean difference to target-only of
the same seed, and the lowest. `worst image`: the lowest gain over the noisy input of
any test image and seed; `worse`: images that end more than {TOLERANCE} dB below it.
`accepted`: share of the batches offered by the other cameras, and by the harmful
sets. All methods take the same number of steps in total and end with the same
fine-tuning on the target. `fine-tune` trains on the sources alone before that, `joint`
is ADL without a gate. Pool `clean` is four other cameras, `harm` these and the two
harmful sets. Test scenes occur in no training; their ISO spans the camera's range,
and their light factors range from 1 to 100."""


def tabulate_methods(results: pd.DataFrame) -> pd.DataFrame:
    """Summarise all runs over seeds.

    Parameters
    ----------
    results : DataFrame
        One row for each run.

    Returns
    -------
    DataFrame
        Formatted for people.
    """
    rows = []
    lead = over_target_only(results)
    for (target, pool, method), group in results.groupby(
        ["target", "pool", "method"], sort=False
    ):
        own_lead = lead[group.index].dropna()
        row = {
            "target": target,
            "pool": pool,
            "method": method,
            "noisy": f"{group.noisy.mean():.2f}",
            "PSNR": f"{group.psnr.mean():.2f} ± {group.psnr.std(ddof=0):.2f}",
            "over target-only": "",
            "worst image": f"{group.worst_gain.min():+.2f}",
            "worse": f"{group.n_worse.sum()}",
            "accepted": as_share(group.accepted),
            "accepted, harmful": as_share(group.accepted_harmful),
            "seeds": len(group),
            "minutes": f"{group.seconds.mean() / 60:.1f}",
        }
        if len(own_lead) and method != "target-only":
            row["over target-only"] = f"{own_lead.mean():+.3f} ({own_lead.min():+.3f})"
        rows.append(row)
    return pd.DataFrame(rows).sort_values(
        ["target", "pool"],
        key=lambda column: column.replace(NO_POOL, ""),
        kind="stable",
    )


def as_share(values: pd.Series) -> str:
    """Format the mean of shares; empty if there is none."""
    return "" if values.isna().all() else f"{values.mean():.1%}"


def over_target_only(results: pd.DataFrame) -> pd.Series:
    """Difference of each run to target-only of the same seed, in dB; NaN if none."""
    base = results[results.method == "target-only"]
    base = base.set_index(["target", "seed"]).psnr
    wanted = pd.MultiIndex.from_frame(results[["target", "seed"]])
    return results.psnr - pd.Series(base.reindex(wanted).to_numpy(), results.index)


def describe_bars(results: pd.DataFrame) -> str:
    """Say whether ADL holds against target-only, for each pool.

    Parameters
    ----------
    results : DataFrame
        One row for each run.

    Returns
    -------
    str
    """
    results = results.assign(lead=over_target_only(results))
    adl = results[(results.method == "adl") & results.lead.notna()]
    lines = []
    for pool, group in adl.groupby("pool"):
        by_target = group.groupby("target").lead.mean()
        met = by_target.min() >= -TOLERANCE and group.lead.mean() > 0
        lines.append(
            f"- Pool `{pool}`: ADL over target-only {group.lead.mean():+.3f} dB on "
            f"average (bar: above 0), {by_target.min():+.3f} dB on "
            f"{by_target.idxmin()}, its worst target (bar: not below -{TOLERANCE}), "
            f"{group.lead.min():+.3f} dB in its worst single run: "
            f"{'met' if met else 'missed'}. Worst image against the noisy input: "
            f"{group.worst_gain.min():+.2f} dB."
        )
    return "\n".join(lines) or "Needs the methods adl and target-only."
