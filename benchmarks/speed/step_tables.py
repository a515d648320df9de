"""The timings of `step.py` as tables."""

from __future__ import annotations

import pandas as pd

GATES = ("evidence", "queue")  # skadl's default and the paper's
VALIDATION_SIZES = (4, 6, 8, 10)  # k, from 0.2 to 0.5 of 20 target pairs
BAR_SPEED_UP = 1.8  # default step over the plain loop
BAR_BOOKKEEPING = 0.03  # of a step
READING = f"""\
Medians of wall-clock time. `network` is base channels / levels. `plain` is the same
network in a plain PyTorch loop: NCHW float32, one module for each MLP, default AdamW,
no gradient clipping; its output and gradients are checked against skadl's before
timing. `auto` is skadl's default precision. Speed-ups are medians of the ratios
within a round, with their quartiles; the bar for `auto` is {BAR_SPEED_UP}.

The rows with a gate's name are taken inside a real adaptation with that gate, in
which every batch is rejected, so that restoring is always in it. `bookkeeping` is all
that is neither training step, validation forward nor patch cutting: drawing domain,
batch and V', selecting V', saving, judging, restoring, recording. Its bar is
{BAR_BOOKKEEPING:.0%}. `validation` is all validation forwards of an iteration (mean:
the evidence gate measures before and after in one iteration of four, the queue after
in each). The other rows are timed by themselves, beside the steps."""


def tabulate_steps(timings: pd.DataFrame) -> pd.DataFrame:
    """Turn timings into a table of milliseconds and speed-ups."""
    rows = []
    for (network, side), group in timings.groupby(["network", "side"], sort=False):
        steps = group[group.what.str.startswith("step, ")]
        rounds = steps.pivot(index="round", columns="what", values="ms")
        row = {"network": network, "batch of": f"{side}x{side}"}
        for kind in ("plain", "float32", "auto"):
            row[kind] = f"{rounds[f'step, {kind}'].median():.1f}"
        for kind in ("float32", "auto"):
            ratio = rounds["step, plain"] / rounds[f"step, {kind}"]
            low, middle, high = ratio.quantile([0.25, 0.5, 0.75])
            row[f"speed-up, {kind}"] = f"{middle:.2f} ({low:.2f} to {high:.2f})"
        rows.append(row)
    return pd.DataFrame(rows)


def tabulate_parts(timings: pd.DataFrame) -> pd.DataFrame:
    """Turn timings into a table of shares of the default step."""
    columns = {}
    for (network, side), group in timings.groupby(["network", "side"], sort=False):
        ms = group.groupby("what", sort=False).ms
        median, mean = ms.median(), ms.mean()
        step = median["step, auto"]
        shares = {}
        for gate in GATES:
            own_step = median[f"loop step, {gate}"]
            shares[f"bookkeeping, {gate}"] = median[f"bookkeeping, {gate}"] / own_step
            # The mean, since a gate may measure in one iteration of several.
            shares[f"validation, {gate}"] = mean[f"validation, {gate}"] / own_step
            shares[f"patch cutting, {gate}"] = (
                median[f"patch cutting, {gate}"] / own_step
            )
        alone = ["save", "restore", *(f"judge, {gate}" for gate in GATES)]
        alone += [f"validation, k={k}" for k in VALIDATION_SIZES]
        shares |= {what: median[what] / step for what in alone}
        columns[f"{network}, {side}x{side}"] = shares
    frame = pd.DataFrame(columns).map(_percent)
    return frame.rename_axis("part").reset_index()


def _percent(share: float) -> str:
    text = f"{100 * share:.0f}" if share >= 1 else f"{100 * share:.2g}"
    return f"{text} %"
