"""The benchmarks at toy size: they run, and they count what they say they count."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

from skadl import ADLDenoiser
from skadl.gates import Trial, Verdict

FOLDER = Path(__file__).parents[1] / "benchmarks"
SMALL_NETWORK = {"base_channels": 4, "n_levels": 2, "patch_size": 16}


@pytest.fixture
def benchmark(monkeypatch):
    """A function that imports a benchmark by name."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


@pytest.fixture
def run_benchmark(benchmark, tmp_path):
    """A function that runs a benchmark into `tmp_path` and returns what it printed."""

    def run(name: str, *arguments: object) -> str:
        words = [*map(str, arguments), "--folder", str(tmp_path)]
        result = CliRunner().invoke(benchmark(name).main, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return run


# step.py


@pytest.mark.parametrize("size", [(2, 2), (3, 3), (4, 4)])
def test_plain_twin__any_size__is_the_same_function(benchmark, size):
    step = benchmark("step")
    batch, _ = step.prepare_batches(8, 2)
    network = step.draw_network(batch.metadata.shape[1], *size)
    step.check_twins(network, step.plain_twin(network), batch)


def test_check_twins__one_weight_differs__is_noticed(benchmark):
    step = benchmark("step")
    batch, _ = step.prepare_batches(8, 2)
    network = step.draw_network(batch.metadata.shape[1], 2, 2)
    plain = step.plain_twin(network)
    with torch.no_grad():
        plain.betas[-1][0].bias[0] += 1
    with pytest.raises(AssertionError, match="networks differ"):
        step.check_twins(network, plain, batch)


def test_step__toy_size__times_every_part(run_benchmark, tmp_path):
    arguments = ["--network", "2/2", "--side", 8, "--batch-size", 2]
    output = run_benchmark("step", *arguments, "--rounds", 2, "--iterations", 2)
    timings = pd.read_csv(tmp_path / "step.csv")
    assert (timings.ms >= 0).all()
    assert (timings.groupby("what")["round"].nunique() == 2).all()
    assert {"step, plain", "step, auto", "bookkeeping, queue"} <= set(timings.what)
    assert "--network 2/2 --side 8 --batch-size 2" in output
    assert (tmp_path / "step.md").read_text(encoding="utf-8") in output


def test_iteration_clock__known_times__are_split_into_parts(benchmark, monkeypatch):
    step = benchmark("step")
    now = 0.0

    def spend(seconds):
        nonlocal now
        now += seconds

    monkeypatch.setattr(step.time, "perf_counter", lambda: now)
    clock = step.IterationClock()
    take_step, evaluate = clock.timed_step(spend), clock.timed("evaluate", spend)
    for _ in range(3):
        take_step(10)
        evaluate(3)
        spend(0.5)
        evaluate(1)
    expected = {"step": 10, "evaluate": 4, "cut": 0, "rest": 0.5}
    assert clock.iterations == [expected] * 2


def test_tabulate_steps__known_times__gives_their_ratios(benchmark):
    times = {"step, plain": [8, 9], "step, float32": [4, 4], "step, auto": [2, 3]}
    rows = [(what, i, ms) for what, both in times.items() for i, ms in enumerate(both)]
    timings = pd.DataFrame(rows, columns=["what", "round", "ms"])
    table = benchmark("step_tables").tabulate_steps(
        timings.assign(network="2/2", side=8)
    )
    assert table["speed-up, auto"].item().startswith("3.50 ")
    assert table["speed-up, float32"].item().startswith("2.12 ")


# precision.py


@pytest.mark.parametrize("gate", ["queue", "paired", "evidence"])
def test_decide_twice__watching__changes_no_decision(benchmark, gate):
    precision = benchmark("precision")
    target, sources = precision.simulate(5, 48, seed=0)
    parameters = dict(n_pretrain_iter=3, n_iter=8, n_finetune_iter=0, random_state=0)
    parameters |= SMALL_NETWORK | dict(gate=gate, batch_size=4)
    watched = precision.decide_twice(ADLDenoiser(**parameters), target, sources)
    report = ADLDenoiser(**parameters).fit(target, sources).selection_report_
    frame = report.to_frame()
    judged = frame[frame.reason != "residual is not noise"]
    assert watched.accepted.tolist() == judged.accepted.tolist()
    assert watched.score.tolist() == judged.score.tolist()
    assert (watched.psnr_error[watched.is_measured] != 0).any()
    assert watched.psnr_error.abs().max() < 0.1


def test_shadow__disagreement__is_written_down_and_not_heeded(benchmark):
    class AboveThirty:
        def seed(self, psnr):
            pass

        def judge(self, trial):
            return Verdict(trial.after.mean() > 30, trial.after.mean(), 30.0, "")

    gate = AboveThirty()
    shadow = benchmark("precision").Shadow(
        AboveThirty.seed, AboveThirty.judge, evaluate=None
    )
    shadow._coarse.append(np.array([29.0]))
    shadow.seeding()(gate, np.array([31.0]))
    verdict = shadow.judging()(gate, Trial("A", None, np.array([31.0])))
    assert verdict.accepted
    (row,) = shadow.rows
    assert row["accepted"] and not row["accepted_in_bfloat16"]
    assert row["error"] == row["psnr_error"] == -2


def test_precision__toy_size__tabulates_each_gate(run_benchmark, tmp_path):
    sizes = ["--pairs", 5, "--size", 48, "--patch-size", 16]
    sizes += ["--base-channels", 4, "--n-levels", 2]
    output = run_benchmark("precision", "--pretrain", 2, "--iterations", 6, *sizes)
    decisions = pd.read_csv(tmp_path / "precision.csv")
    assert (decisions[decisions.gate != "evidence"].gate.value_counts() == 6).all()
    assert "|  | queue | paired | evidence |" in output


# targets.py

TOY_TARGETS = ["--target-pairs", 4, "--source-pairs", 3, "--test-pairs", 3]
TOY_TARGETS += ["--size", 48, "--set", "batch_size=4", "--set", "n_pretrain_iter=2"]
TOY_TARGETS += ["--set", "n_iter=4", "--set", "n_finetune_iter=2"]
TOY_TARGETS += [f"--set={name}={value}" for name, value in SMALL_NETWORK.items()]


def test_targets__toy_size__same_steps_same_images_and_resumable(
    run_benchmark, tmp_path
):
    arguments = ["--targets", "SonyA7S2", "--seeds", 0, *TOY_TARGETS]
    output = run_benchmark("targets", *arguments)
    runs = pd.read_csv(tmp_path / "targets.csv")
    images = pd.read_csv(tmp_path / "targets_images.csv")
    assert "0 runs are there, 5 to go" in output
    assert len(runs) == 5 and set(runs.n_steps) == {8} and runs.noisy.nunique() == 1
    assert len(images) == 3 * 5
    gains = (images.psnr - images.noisy).groupby([images.pool, images.method])
    worst = runs.set_index(["pool", "method"]).worst_gain
    pd.testing.assert_series_equal(
        gains.min(), worst.sort_index(), check_names=False, atol=1e-3
    )
    assert "1 runs are there, 0 to go" in run_benchmark(
        "targets", *arguments, "--methods", "target-only"
    )
    # Interrupted before the last run was written:
    lines = (tmp_path / "targets.csv").read_text().splitlines(keepends=True)
    (tmp_path / "targets.csv").write_text("".join(lines[:-1]))
    assert "4 runs are there, 1 to go" in run_benchmark("targets", *arguments)
    again = pd.read_csv(tmp_path / "targets.csv")
    columns = [name for name in runs if name != "seconds"]
    pd.testing.assert_frame_equal(again[columns], runs[columns])


def test_targets__other_parameters__are_other_runs(benchmark):
    targets = benchmark("targets")
    default = targets.resolve_parameters([])
    changed = targets.resolve_parameters(["n_iter=7", "gate=queue"])
    assert (changed["n_iter"], changed["gate"]) == (7, "queue")
    assert default == {**changed, "n_iter": default["n_iter"], "gate": default["gate"]}
    assert targets.digest(default) != targets.digest(changed)


def test_make_estimator__every_method__takes_as_many_steps(benchmark):
    targets = benchmark("targets")
    parameters = targets.resolve_parameters([])
    lengths = []
    for method in targets.METHODS:
        run = targets.Run("SonyA7S2", 0, "clean", method, "")
        estimator = targets.make_estimator(run, parameters)
        start, finetune = estimator.n_pretrain_iter, estimator.n_finetune_iter
        lengths.append((start + estimator.n_iter + finetune, finetune))
    assert len(set(lengths)) == 1


def test_describe_bars__known_runs__says_met_or_missed(benchmark):
    tables = benchmark("target_tables")
    rows = [
        (target, 0, pool, method, psnr, -0.01)
        for target, base in (("A", 30.0), ("B", 40.0))
        for pool, method, psnr in (
            ("none", "target-only", base),
            ("clean", "adl", base + 0.2),
            ("harm", "adl", base + (0.2 if target == "A" else -0.1)),
        )
    ]
    names = ["target", "seed", "pool", "method", "psnr", "worst_gain"]
    clean, harm = tables.describe_bars(pd.DataFrame(rows, columns=names)).splitlines()
    assert "+0.200 dB on average" in clean and ": met." in clean
    assert "+0.050 dB on average" in harm and "-0.100 dB on B" in harm
    assert ": missed." in harm
