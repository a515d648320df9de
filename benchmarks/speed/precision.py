"""How many of a gate's decisions would flip if it validated in bfloat16.

A real adaptation to a simulated camera, in which every validation forward runs twice:
in float32, on which the gate decides, and under bfloat16 autocast, on which it is
asked again.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from unittest import mock

import click
import numpy as np
import pandas as pd
import torch

from benchmarks.result_files import DEFAULT_FOLDER, write_markdown
from skadl import ADLDenoiser, RawPair, SourcePool
from skadl.adaptation.gates import Gate, Trial, Verdict, make_gate
from skadl.adaptation.learner import Learner
from skadl.adaptation.patches import Batch
from skadl.datasets import make_domain, make_harmful_noise, make_harmful_truth


@click.command(name="precision")
@click.option("--gate", "gates", multiple=True, default=["queue", "paired", "evidence"])
@click.option("--pretrain", default=300, help="Iterations on the target alone.")
@click.option("--iterations", default=600, help="Of gated adaptation.")
@click.option("--pairs", default=20, help="Of the target and of each source domain.")
@click.option("--size", default=256, help="Side of the mosaics, in pixels.")
@click.option("--patch-size", default=64)
@click.option("--base-channels", default=16)
@click.option("--n-levels", default=4)
@click.option("--seed", default=0)
@click.option("--folder", type=Path, default=DEFAULT_FOLDER)
def main(
    gates: Sequence[str],
    pretrain: int,
    iterations: int,
    pairs: int,
    size: int,
    patch_size: int,
    base_channels: int,
    n_levels: int,
    seed: int,
    folder: Path,
) -> None:
    """Count the decisions that bfloat16 validation would flip."""
    load = os.getloadavg()
    target, sources = simulate(pairs, size, seed)
    frames = []
    for gate in gates:
        estimator = ADLDenoiser(
            start="random",
            gate=gate,
            n_pretrain_iter=pretrain,
            n_iter=iterations,
            n_finetune_iter=0,
            patch_size=patch_size,
            base_channels=base_channels,
            n_levels=n_levels,
            random_state=seed,
        )
        frame = decide_twice(estimator, target, sources)
        frame.insert(0, "gate", gate)
        frames.append(frame)
    decisions = pd.concat(frames, ignore_index=True)
    folder.mkdir(parents=True, exist_ok=True)
    decisions.to_csv(folder / "precision.csv", index=False, float_format="%.6g")
    write_markdown(
        folder / "precision.md",
        "Gate decisions in float32 and in bfloat16",
        {"Flips": tabulate_flips(decisions), "Reading": READING},
        load,
    )
    click.echo((folder / "precision.md").read_text(encoding="utf-8"))


READING = """\
Every decision is taken in float32; bfloat16 is asked beside it and never heeded.
`flips` share one history, that of the float32 gate: what one forward in bfloat16
would have changed. `flips, own history` let a second gate live on bfloat16 values
from the start, so that a constant bias cancels. Error is the score in bfloat16 minus
the score in float32, from one history; margin is score minus threshold in float32.
Both are in dB for the queue and the paired gate; the evidence gate's score is a mean
in units of the spread of recent differences. Only decisions with a fresh measurement
of V' are in the errors and margins. `error of one V'` is that of the validation PSNR
itself, in dB, `of its change` that of the paired difference (gates that measure
before the step, too)."""


def simulate(n_pairs: int, size: int, seed: int) -> tuple[list[RawPair], SourcePool]:
    """Make target pairs, two other cameras, and the two harmful sets."""
    rng = np.random.RandomState(seed)
    each = {"size": size, "random_state": rng}
    target = make_domain("CanonEOS70D", n_pairs, **each)
    sources = {
        "SonyA7S2": make_domain("SonyA7S2", n_pairs, **each),
        "NikonD850": make_domain("NikonD850", n_pairs, **each),
        "harmful noise": make_harmful_noise(n_pairs, camera="SonyA7S2", **each),
        "harmful truth": make_harmful_truth(n_pairs, camera="NikonD850", **each),
    }
    return target, SourcePool(sources)


def decide_twice(
    estimator: ADLDenoiser, target: list[RawPair], sources: SourcePool
) -> pd.DataFrame:
    """Fit an estimator and take each of its gate's decisions in bfloat16 as well."""
    gate_class = type(make_gate(estimator.gate, estimator.queue_size))
    shadow = Shadow(gate_class.start, gate_class.judge, Learner.evaluate)
    with (
        mock.patch.object(Learner, "evaluate", shadow.evaluating()),
        mock.patch.object(gate_class, "start", shadow.starting()),
        mock.patch.object(gate_class, "judge", shadow.judging()),
        warnings.catch_warnings(),
    ):
        # What the gate accepts, however little, is what is looked at here.
        warnings.filterwarnings("ignore", "the gate accepted fewer", UserWarning)
        estimator.fit(target, sources)
    return pd.DataFrame(shadow.rows)


class Shadow:
    """Evaluates and decides a second time, in bfloat16, and writes down both."""

    def __init__(self, start: Callable, judge: Callable, evaluate: Callable) -> None:
        self.rows: list[dict] = []
        self._start, self._judge, self._evaluate = start, judge, evaluate
        self._coarse: list[np.ndarray] = []  # evaluations in bfloat16, in order
        self._gate: Gate | None = None  # lives on these alone

    def evaluating(self) -> Callable[[Learner, Batch], np.ndarray]:
        """Return an `evaluate` that also runs under autocast."""

        def evaluate(learner: Learner, batch: Batch) -> np.ndarray:
            with torch.autocast(learner.device.type, dtype=torch.bfloat16):
                self._coarse.append(self._evaluate(learner, batch))
            return self._evaluate(learner, batch)

        return evaluate

    def starting(self) -> Callable[[Gate, np.ndarray], None]:
        """Return a `start` that also starts a gate of its own."""

        def start(gate: Gate, psnr: np.ndarray) -> None:
            self._gate = copy.deepcopy(gate)
            self._start(self._gate, self._coarse[-1])
            self._start(gate, psnr)

        return start

    def judging(self) -> Callable[[Gate, Trial], Verdict]:
        """Return a `judge` that also asks both shadows."""

        def judge(gate: Gate, trial: Trial) -> Verdict:
            coarse = trial
            if trial.after is not None:
                coarse = replace(coarse, after=self._coarse[-1])
            if trial.before is not None:
                coarse = replace(coarse, before=self._coarse[-2])
            once = self._judge(copy.deepcopy(gate), coarse)
            always = self._judge(self._gate, coarse)
            verdict = self._judge(gate, trial)
            self.rows.append(_row(trial, coarse, verdict, once, always))
            return verdict

        return judge


def _row(
    trial: Trial, coarse: Trial, verdict: Verdict, once: Verdict, always: Verdict
) -> dict:
    is_measured = trial.after is not None
    is_paired = is_measured and trial.before is not None
    psnr_error = np.mean(coarse.after - trial.after) if is_measured else np.nan
    before_error = np.mean(coarse.before - trial.before) if is_paired else np.nan
    return {
        "domain": trial.domain,
        "is_measured": is_measured,
        "accepted": verdict.accepted,
        "accepted_in_bfloat16": once.accepted,
        "accepted_with_own_history": always.accepted,
        "score": verdict.score,
        "threshold": verdict.threshold,
        "error": once.score - verdict.score,
        "psnr_error": psnr_error,
        "change_error": psnr_error - before_error,
    }


def tabulate_flips(decisions: pd.DataFrame) -> pd.DataFrame:
    """Count flips and compare errors with margins, for each gate."""
    columns = {}
    for gate, group in decisions.groupby("gate", sort=False):
        flips = group.accepted != group.accepted_in_bfloat16
        own_flips = group.accepted != group.accepted_with_own_history
        margin = (group.score - group.threshold)[group.is_measured]
        margin = margin[np.isfinite(margin)]
        error = group.error[margin.index]
        columns[gate] = {
            "decisions": str(len(group)),
            "accepted": f"{group.accepted.mean():.1%}",
            "flips": f"{flips.sum()} ({flips.mean():.2%})",
            "flips, own history": f"{own_flips.sum()} ({own_flips.mean():.2%})",
            "error, mean": f"{error.mean():.2g}",
            "error, median size": f"{error.abs().median():.2g}",
            "error, 95 % below": f"{error.abs().quantile(0.95):.2g}",
            "margin, median size": f"{margin.abs().median():.2g}",
            "margin, spread": f"{margin.std():.2g}",
            "margins smaller than their error": (
                f"{(margin.abs() < error.abs()).mean():.2%}"
            ),
            "error of one V', median size": f"{group.psnr_error.abs().median():.2g}",
            "error of its change, median size": (
                f"{group.change_error.abs().median():.2g}"
            ),
        }
    return (
        pd.DataFrame(columns)
        .replace({"nan": "", "nan%": ""})
        .rename_axis("")
        .reset_index()
    )


if __name__ == "__main__":
    main()
