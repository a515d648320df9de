"""The benchmarks at toy size: they run, and they count what they say they count."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest
import torch
from click import ClickException
from click.testing import CliRunner

from skadl import ADLDenoiser, load_pairs, read_raw
from skadl.adaptation.gates import Trial, Verdict
from skadl.datasets import SPOILED_KINDS
from skadl.screening.screen import FAULTS

SMALL_NETWORK = {"start": "random", "base_channels": 4, "n_levels": 2, "patch_size": 16}


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
    step = benchmark("speed.step")
    batch, _ = step.prepare_batches(8, 2)
    network = step.draw_network(batch.metadata.shape[1], *size)
    step.check_twins(network, step.plain_twin(network), batch)


def test_check_twins__one_weight_differs__is_noticed(benchmark):
    step = benchmark("speed.step")
    batch, _ = step.prepare_batches(8, 2)
    network = step.draw_network(batch.metadata.shape[1], 2, 2)
    plain = step.plain_twin(network)
    with torch.no_grad():
        plain.betas[-1][0].bias[0] += 1
    with pytest.raises(AssertionError, match="networks differ"):
        step.check_twins(network, plain, batch)


def test_step__toy_size__times_every_part(run_benchmark, tmp_path):
    arguments = ["--network", "2/2", "--side", 8, "--batch-size", 2]
    output = run_benchmark("speed.step", *arguments, "--rounds", 2, "--iterations", 2)
    timings = pd.read_csv(tmp_path / "step.csv")
    assert (timings.ms >= 0).all()
    assert (timings.groupby("what")["round"].nunique() == 2).all()
    assert {"step, plain", "step, auto", "bookkeeping, queue"} <= set(timings.what)
    assert "--network 2/2 --side 8 --batch-size 2" in output
    assert (tmp_path / "step.md").read_text(encoding="utf-8") in output


def test_iteration_clock__known_times__are_split_into_parts(benchmark, monkeypatch):
    step = benchmark("speed.step")
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
    table = benchmark("speed.step_tables").tabulate_steps(
        timings.assign(network="2/2", side=8)
    )
    assert table["speed-up, auto"].item().startswith("3.50 ")
    assert table["speed-up, float32"].item().startswith("2.12 ")


# screening.py


def test_screening__toy_size__finds_what_was_planted(run_benchmark, tmp_path):
    arguments = ["--cameras", "SonyA7S2", "--seeds", 0, "--sizes", 96, "--pairs", 10]
    output = run_benchmark("pairs.screening", *arguments)
    found = pd.read_csv(tmp_path / "screening.csv")
    assert (found.n_spoiled + found.n_left == 10).all()
    honest, spoiled = found[found.n_spoiled == 0], found[found.n_spoiled > 0]
    assert len(honest) == 1 and not found.n_false.any()
    assert len(spoiled) == len(SPOILED_KINDS) + 1
    assert (spoiled.auc >= 0.95).all()
    assert (tmp_path / "screening.md").read_text(encoding="utf-8") in output


# precision.py


@pytest.mark.parametrize("gate", ["queue", "paired", "evidence"])
def test_decide_twice__watching__changes_no_decision(benchmark, gate):
    precision = benchmark("speed.precision")
    target, sources = precision.simulate(5, 48, seed=0)
    parameters = dict(n_pretrain_iter=3, n_iter=8, n_finetune_iter=0, random_state=0)
    parameters |= SMALL_NETWORK | dict(gate=gate, batch_size=4)
    watched = precision.decide_twice(ADLDenoiser(**parameters), target, sources)
    report = ADLDenoiser(**parameters).fit(target, sources).selection_report_
    frame = report.to_frame()
    judged = frame[~frame.reason.isin([fault.reason for fault in FAULTS.values()])]
    assert watched.accepted.tolist() == judged.accepted.tolist()
    assert watched.score.tolist() == judged.score.tolist()
    assert (watched.psnr_error[watched.is_measured] != 0).any()
    assert watched.psnr_error.abs().max() < 0.1


def test_shadow__disagreement__is_written_down_and_not_heeded(benchmark):
    class AboveThirty:
        def start(self, psnr):
            pass

        def judge(self, trial):
            return Verdict(trial.after.mean() > 30, trial.after.mean(), 30.0, "")

    gate = AboveThirty()
    shadow = benchmark("speed.precision").Shadow(
        AboveThirty.start, AboveThirty.judge, evaluate=None
    )
    shadow._coarse.append(np.array([29.0]))
    shadow.starting()(gate, np.array([31.0]))
    verdict = shadow.judging()(gate, Trial("A", None, np.array([31.0])))
    assert verdict.accepted
    (row,) = shadow.rows
    assert row["accepted"] and not row["accepted_in_bfloat16"]
    assert row["error"] == row["psnr_error"] == -2


def test_precision__toy_size__tabulates_each_gate(run_benchmark, tmp_path):
    sizes = ["--pairs", 5, "--size", 48, "--patch-size", 16]
    sizes += ["--base-channels", 4, "--n-levels", 2]
    output = run_benchmark(
        "speed.precision", "--pretrain", 2, "--iterations", 6, *sizes
    )
    decisions = pd.read_csv(tmp_path / "precision.csv")
    assert (decisions[decisions.gate != "evidence"].gate.value_counts() == 6).all()
    assert "|  | queue | paired | evidence |" in output


def test_engines__all_compute_the_same_network(run_benchmark, tmp_path, benchmark):
    for needed in ("onnx", "onnxruntime", "openvino"):
        pytest.importorskip(needed)
    module = benchmark("speed.engines")
    network = module.random_network(4, 2)
    tile = np.random.default_rng(0).uniform(0, 1, (1, 4, 32, 48)).astype(np.float32)
    engines = module.prepare_engines(network)
    wanted = engines[module.REFERENCE](tile)
    assert np.abs(wanted - tile).max() > 0.05
    for name, run in engines.items():
        tolerance = 1e-5 if name.endswith(("32", "f32")) else 0.03
        np.testing.assert_allclose(run(tile), wanted, atol=tolerance, err_msg=name)


# frame.py


def test_measure_one__toy_frame__tells_time_memory_and_work(benchmark, monkeypatch):
    contestants = benchmark("speed.frame_contestants")
    monkeypatch.setattr(contestants, "PLAIN_SIDE", 32)
    network = contestants.FrameNetwork  # which is timed by what replaces its method
    monkeypatch.setattr(network, "removed", network.removed)
    predict, network = contestants.measure_one("predict, 2/2, float32", 0.01, 1)
    (plain,) = contestants.measure_one("plain, 2/2, float32", 0.01, 1)
    assert predict["s/MP"] >= network["s/MP"] > 0 < plain["s/MP"]
    assert predict["GFLOP/MP"] == network["GFLOP/MP"] == plain["GFLOP/MP"] > 0
    assert min(row["MiB"] for row in (predict, network, plain)) > 10


def test_count_gflop__known_network__by_hand(benchmark):
    contestants = benchmark("speed.frame_contestants")
    # Convolutions of 3x3 at 4 -> 2 -> 2; 2 -> 4 -> 4 and up at a quarter of the
    # pixels; 4 -> 2 -> 2; and the last of 1x1. A packed pixel is four of the mosaic.
    products = 9 * (4 * 2 + 2 * 2) + (9 * (2 * 4 + 4 * 4) + 4 * 2 * 4) / 4
    products += 9 * (4 * 2 + 2 * 2) + 2 * 4
    model = contestants.draw_model("2/2", "float32")
    expected = 2 * products / 4 * 1e6 / 1e9
    assert contestants.count_gflop(model) == pytest.approx(expected, rel=1e-3)


def test_frame__known_times__are_held_against_bars_and_peaks(benchmark):
    frame = benchmark("speed.frame")
    rows = {
        "predict, pyramid_unet 16/4, int8": (0.03, 0.06, 18.0),
        "network, pyramid_unet 16/4, bfloat16": (0.03, 0.06, 18.0),
    }
    best = pd.DataFrame(rows, index=["s/MP", "CPU s/MP", "GFLOP/MP"]).T
    best["MiB"] = 512.0
    peaks = pd.DataFrame({"GFLOP/s": 900.0, "CPU GFLOP/s": 600.0}, index=["bfloat16"])
    in_8_bits, row = frame.tabulate(best, peaks).to_dict("records")
    assert row["of the peak"] == "50 %"  # 18 / 0.06 = 300
    assert in_8_bits["of the peak"] == ""
    bars = frame.tabulate_bars(best).set_index("bar").measured
    assert bars["predict, pyramid_unet 16/4, int8: s/MP"] == "0.0300"
    assert bars["predict, pyramid_unet 16/4, int8: GiB"] == "0.50"


# paircheck.py


def test_paircheck__toy_size__gross_defects_are_found(run_benchmark, tmp_path):
    arguments = ["--cameras", "SonyA7S2", "--seeds", 0, "--sizes", 64, "--pairs", 8]
    output = run_benchmark("pairs.paircheck", *arguments)
    found = pd.read_csv(tmp_path / "paircheck.csv")
    assert len(found[found.kind == "none"]) == 8
    moved = found[(found.kind == "misaligned (pixels)") & (found.strength == 10)]
    assert len(moved) and (moved.verdict != "good").all()
    assert (tmp_path / "paircheck.md").read_text(encoding="utf-8") in output


# store.py


def test_store__toy_size__every_contestant_takes_its_turns(benchmark, tmp_path):
    store = benchmark("speed.store")
    timings = store.time_iterations(2, 1, 128, 4, tmp_path)
    assert set(timings.sources) == {"memory", *store.STORES}
    assert (timings.groupby("sources")["round"].nunique() == 2).all()
    assert (timings[["ms", "cpu_ms"]] > 0).all(axis=None)


def test_tabulate_rates__known_times__relative_to_memory(benchmark):
    store = benchmark("speed.store")
    names = ["memory", *store.STORES]
    rows = [
        (name, i, ms, 2 * ms)
        for name, ms in zip(names, (10, 20, 40), strict=True)
        for i in range(3)
    ]
    timings = pd.DataFrame(rows, columns=["sources", "round", "ms", "cpu_ms"])
    rates = store.tabulate_rates(timings)["rate by time"].tolist()
    assert [rate.split()[0] for rate in rates] == ["1.000", "0.500", "0.250"]


# witness.py


def test_witness__toy_size__judges_every_pair_of_every_pool(run_benchmark, tmp_path):
    arguments = ["--cameras", "NikonD850", "--seeds", 0, "--size", 64, "--pairs", 3]
    output = run_benchmark("pairs.witness", *arguments)
    rows = pd.read_csv(tmp_path / "witness.csv")
    assert len(rows) == 9 * 3 * 3  # kinds, shares, pairs
    harmful = rows.groupby(["kind", "share"]).is_harmful.sum()
    assert set(harmful) == {1, 2, 3}
    assert "clean frame of another pair" in output


# kills.py


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kills__a_few__all_end_as_if_undisturbed(benchmark, tmp_path):
    kills = benchmark("robustness.kills")
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = kills.kill_fits(tmp_path, 3, np.random.default_rng(0))
    finally:
        torch.set_num_threads(n_threads)
    assert len(found) == 3 and (found.outcome == kills.SAME).all()
    assert kills.tabulate(found).iloc[-1].tolist() == ["all", 3, 3, 0]


# threads.py, gpu.py


def test_threads__known_times__gain_and_share_of_the_peak(benchmark):
    threads = benchmark("speed.threads")
    rows = [
        ("unet:2/2", precision, n, 0, ms, ms)
        for precision, n, ms in [
            ("float32", 1, 40.0),
            ("float32", 2, 25.0),
            (threads.PLAIN, 1, 90.0),
            (threads.PLAIN, 2, 50.0),
        ]
    ]
    columns = ["network", "precision", "threads", "round", "ms", "cpu_ms"]
    timings = pd.DataFrame(rows, columns=columns).assign(gflop=2.0)
    timings["peak"] = timings.threads.map({1: 100.0, 2: 160.0})
    table = threads.tabulate(timings)
    ours = table.iloc[0]
    assert ours["gain of threads"] == "1.60"
    assert ours["gain over the plain loop"] == "2.00"
    assert ours["of the peak, 1 threads"] == "50%"
    assert ours["of the peak, 2 threads"] == "50%"


def test_threads__toy_size__every_contestant_takes_its_turns(benchmark):
    threads = benchmark("speed.threads")
    contestants = [threads.Contestant("unet:2/2", threads.PLAIN, 1)]
    timings = threads.take_turns(contestants, 8, 2, rounds=2, steps=2)
    assert len(timings) == 2 * 2
    assert (timings.ms > 0).all()


def test_gpu__toy_size_on_a_cpu__measures_every_part(run_benchmark, tmp_path):
    words = "--device cpu --network unet:2/2 --network pyramid_unet:2/2 --side 16"
    words += " --batch-size 2 --steps 2 --iterations 2 --megapixels 0.01 --matrix 64"
    output = run_benchmark("speed.gpu", *words.split(), "--no-compile", "--no-tests")
    timings = pd.read_csv(tmp_path / "gpu.csv")
    assert (timings[["step", "no waiting", "gflop", "of the peak"]] > 0).all(axis=None)
    assert timings.graph.isna().all()
    assert "validation, evidence" in output and "MP/s" in output


# times.py


def test_times__files__are_read_by_the_commands(benchmark, tmp_path):
    times = benchmark("speed.times")
    times.write_pairs(tmp_path / "pairs", 2, 64)
    pairs = load_pairs(tmp_path / "pairs", iso=times.ISO, ratio=1)
    assert [pair.noisy.mosaic.shape for pair in pairs] == [(64, 64)] * 2
    times.write_photographs(tmp_path / "photographs", 1, 0.3)
    (path,) = (tmp_path / "photographs").iterdir()
    assert read_raw(path, iso=times.ISO).mosaic.size == pytest.approx(3e5, rel=0.2)


def test_times__a_command__takes_processor_time_and_may_fail(benchmark):
    times = benchmark("speed.times")
    assert times.run("version", ["--version"])["processor"] > 0
    with pytest.raises(ClickException, match="nonsense"):
        times.run("nonsense", ["nonsense"])
