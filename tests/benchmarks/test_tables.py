"""The benchmark's tables: what they ask for, how they read, and the command."""

from __future__ import annotations

import importlib.util
import re
import shlex
import zlib
from dataclasses import asdict, astuple, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from benchmarks.tables import execute, options, requirements
from benchmarks.tables.campaign import Campaign, reduced
from benchmarks.tables.cli import bench
from benchmarks.tables.comparisons import (
    compare_ablations,
    compare_additions,
    compare_cost,
    compare_methods,
    compare_pools,
    lead_on_images,
    over_targets,
    paired_lead,
)
from benchmarks.tables.detection import areas, judged_pairs
from benchmarks.tables.execute import run_campaign
from benchmarks.tables.log import KEY, Results, RunLog
from benchmarks.tables.measure import Measured
from benchmarks.tables.methods import EVERY_STRATEGY, WITHOUT_SOURCES
from benchmarks.tables.simulation import NO_POOL, POOLS, ROUGH_POOL
from benchmarks.tables.sizes import compare_sizes
from benchmarks.tables.tables import TABLES, runs_of, runs_to_read
from skadl.adaptation.report import DataSelectionReport, DecisionRecorder

SMALL = replace(reduced(Campaign()), targets=("A", "B"), seeds=(0, 1))
NO_RESULTS = Results(*(pd.DataFrame(columns=list(KEY)) for _ in range(3)))


def make_runs(psnr, targets=("A", "B"), seeds=(0, 1), size=6) -> pd.DataFrame:
    """One row for each run; PSNR from a function of target, seed, pool, strategy."""
    rows = []
    for (strategy, pool), value in psnr.items():
        for target in targets:
            for seed in seeds:
                base = {"A": 30.0, "B": 40.0}[target] + 0.1 * seed
                rows.append(
                    make_summary(target, seed, pool, strategy, size, base + value)
                )
    return pd.DataFrame(rows)


def make_summary(target, seed, pool, strategy, size, psnr, settings="digest"):
    key = (target, seed, pool, strategy, size, settings)
    kinds = ("useful", "renoised", "harmful1", "harmful2", "planted")
    return {
        **dict(zip(KEY, key, strict=True)),
        "n_steps": 20,
        "noisy": 28.0,
        "psnr": psnr,
        "ssim": 0.9,
        "protocol": "skadl",
        "gain": psnr - 28.0,
        "worst_gain": -0.01,
        "n_worse": 0,
        **{f"offered_{kind}": 100 for kind in kinds},
        **{f"accepted_{kind}": 100 if kind == "useful" else 2 for kind in kinds},
        "device": "cpu",
        "seconds": 12.0 if strategy == "adl" else 10.0,
        "cpu_seconds": 13.0 if strategy == "adl" else 10.0,
        "fit_mib": 300.0,
        "seconds_per_megapixel": 0.5,
        "n_test": 2,
    }


@pytest.fixture
def fake_measure(monkeypatch):
    """Replace training by known figures; returns the runs that were asked for."""
    asked = []

    def measure(run, settings, n_threads=1):
        asked.append(run)
        rng = np.random.default_rng(zlib.crc32(str(run).encode()))
        summary = make_summary(*astuple(run)[:5], 30 + rng.normal(), run.settings)
        key = dict(zip(KEY, astuple(run), strict=True))
        images = pd.DataFrame({"image": [0, 1], "psnr": summary["psnr"]}).assign(**key)
        pairs = pd.DataFrame(
            {
                "domain": ["A", "A", "harmful1"],
                "pair": [0, 1, 0],
                "iso": [100, 1600, 100],
                "kind": ["useful", "useful", "harmful1"],
                "offered": [2, 3, 4],
                "accepted": [2, 3, 0],
                "margin": [0.1, 0.2, -0.1],
                "oddness": np.nan,
            }
        )
        pairs = pairs.head(3 if run.pool in ("harm", "planted") else 0).assign(**key)
        report = DataSelectionReport(DecisionRecorder(["A"]).finish())
        return Measured(run, summary, images, pairs, report)

    monkeypatch.setattr(execute, "measure", measure)
    return asked


# tables


@pytest.mark.parametrize("name", TABLES)
def test_table__runs__are_of_known_strategies_and_pools_and_each_once(name):
    runs = runs_of(name, Campaign())
    assert len(set(runs)) == len(runs)
    assert {run.strategy for run in runs} <= set(EVERY_STRATEGY)
    assert {run.pool for run in runs} <= {*POOLS, NO_POOL}
    for run in runs:
        assert (run.pool == NO_POOL) == (run.strategy in WITHOUT_SOURCES)
    assert set(runs) <= set(runs_to_read(name, Campaign()))


def test_table3__each_strategy__is_alone_and_with_every_addition():
    runs = runs_of("table3", Campaign())
    assert {run.pool for run in runs} == {ROUGH_POOL}
    for base in ("ADL-start", "FineTuning-start", "adl", "FineTuning"):
        for addition in ("", "-shot-augmented", "-dark-shading", "-pmn"):
            assert any(run.strategy == base + addition for run in runs)


@pytest.mark.parametrize("name", TABLES)
def test_table__no_run_done__says_so(name):
    (text,) = TABLES[name].read(NO_RESULTS).values()
    assert "None" in text


def test_requirements__read__all_runs_but_those_of_the_curve():
    read = runs_to_read("bars", Campaign())
    assert {run.target_pairs for run in read} == {6, 20}
    assert set(runs_of("table1", Campaign())) <= set(read)


def test_tables__imports__nothing_that_lies_above():
    for path in Path(execute.__file__).parent.glob("*.py"):
        others = re.findall(r"^from benchmarks\.(\w+)", path.read_text("utf-8"), re.M)
        assert set(others) <= {"tables", "real_pairs", "result_files"}, path


# comparisons


def test_over_targets__a_seed_lacks_a_target__the_mean_does_not_jump():
    runs = make_runs({("adl", "harm"): 0.0})
    assert over_targets(runs) == "35.05 ± 0.07"
    assert over_targets(runs.iloc[:-1]).startswith("35.0")  # without 40.1


def test_paired_lead__known_runs__pairs_target_and_seed():
    runs = make_runs(
        {("adl", "harm"): 0.3, ("adl", "clean"): 0.5, ("target-only", NO_POOL): 0.0}
    )
    lead = paired_lead(runs, "adl", "target-only", pool="harm")
    assert len(lead) == 4 and np.allclose(lead.lead, 0.3)
    lead = paired_lead(runs, "adl", "adl", pool="harm", second_pool="clean")
    assert len(lead) == 4 and np.allclose(lead.lead, -0.2)
    assert paired_lead(runs, "adl", "joint", pool="harm").empty


def test_lead_on_images__fewer_images__are_compared_on_these_alone():
    runs = make_runs({("ADL-start", "clean"): 3.0, ("BM3D", NO_POOL): 1.0})
    rows = []
    for row in runs.to_dict("records"):
        for image in (0, 1) if row["strategy"] == "ADL-start" else (1,):
            psnr = row["psnr"] + 10 * image  # another image is another PSNR
            rows.append(
                {**{key: row[key] for key in KEY}, "image": image, "psnr": psnr}
            )
    images = pd.DataFrame(rows)
    assert lead_on_images(images, "ADL-start", "BM3D") == "+2.00 ± 0.00 (+2.00)"
    assert lead_on_images(images, "ADL-start", "ADL-start") == ""
    page = compare_methods(Results(runs, images, NO_RESULTS.selection))
    table = page["6 target pairs, pool clean"].set_index("method")
    assert table.loc["BM3D", "lead of ADL-start"] == "+2.00 ± 0.00 (+2.00)"
    assert table.loc["ADL-start", "PSNR"] == "38.05 ± 0.07"
    assert (table.SSIM == "0.9000 ± 0.0000").all()


def test_compare_methods__some_targets_lack__no_mean_of_the_others():
    runs = make_runs({("ADL-start", "clean"): 3.0, ("LED", "clean"): 1.0})
    runs = runs[(runs.strategy != "LED") | (runs.target == "A")]
    page = compare_methods(Results(runs, runs.assign(image=0), NO_RESULTS.selection))
    table = page["6 target pairs, pool clean"].set_index("method")
    assert table.loc["LED", ["PSNR", "SSIM", "B"]].tolist() == ["", "", ""]
    assert table.loc["LED", "A"] == "31.05 ± 0.07"
    assert table.loc["LED", "lead of ADL-start"] == "+2.00 ± 0.00 (+2.00)"


def test_compare_additions__known_runs__say_what_each_adds_to_its_strategy():
    psnr = {
        ("ADL-start", "rough"): 1.0,
        ("FineTuning", "rough"): 0.2,
        ("ADL-start-dark-shading", "rough"): 1.5,
        ("FineTuning-dark-shading", "rough"): 0.1,
    }
    runs = make_runs(psnr)
    page = compare_additions(Results(runs, runs.assign(image=0), NO_RESULTS.selection))
    table = page["6 target pairs"]
    assert table.strategy.tolist() == [*["ADL-start"] * 2, *["FineTuning"] * 2]
    assert table["with"].tolist() == ["", "dark-shading"] * 2
    assert table.added.tolist()[::2] == ["", ""]
    assert table.added.iloc[1] == "+0.50 ± 0.00 (+0.50)"
    assert table.added.iloc[3].startswith("-0.10")


def test_compare_ablations__known_runs__say_what_is_lost():
    psnr = {("adl", "harm"): 1.0, ("sensor-iso", "harm"): 0.4, ("no-iso", "harm"): 0.3}
    sections = compare_ablations(replace(NO_RESULTS, runs=make_runs(psnr)))
    lost = sections["6 target pairs"].set_index("what is off").lost
    assert lost["noise conditioning (`sensor-iso`)"].startswith("+0.60")
    assert lost["ISO (`no-iso`)"].startswith("+0.10")
    assert lost["adl"] == ""


def test_compare_pools__known_runs__one_column_a_pool():
    psnr = {("adl", "clean"): 1.0, ("adl", "harm1"): 0.9}
    sections = compare_pools(replace(NO_RESULTS, runs=make_runs(psnr)))
    (row,) = sections["6 target pairs, mean of targets"].to_dict("records")
    assert row["Base"].startswith("36.05") and row["Base + Harmful2"] == ""
    assert row["Base + Harmful1"].startswith("35.95")


def test_compare_cost__known_times__gives_their_ratio():
    psnr = {("adl", "harm"): 1.0, ("no-gate", "harm"): 1.0}
    table = compare_cost(replace(NO_RESULTS, runs=make_runs(psnr)))["Extra time"]
    assert table["cpu seconds"].item() == "+30% (+30% to +30%)"
    assert table["seconds"].item().startswith("+20%")


def test_areas__known_scores__are_known_areas():
    pairs = pd.DataFrame(
        {
            **dict(zip(KEY, ("A", 0, "planted", "adl", 6, "digest"), strict=True)),
            "domain": "B",
            "pair": range(4),
            "kind": ["useful", "useful", "black truth", "iso times 4"],
            "offered": [4, 4, 4, 0],
            "accepted": [4, 2, 2, 0],
            "margin": 0.0,
            "oddness": [0.1, 0.2, 0.9, 0.8],
        }
    )
    judged = judged_pairs(pairs)
    # The pair that was never offered counts for its severity only.
    assert areas(judged, "accepted").auc.item() == 0.75
    assert areas(judged, "margin").auc.item() == 0.5
    assert areas(judged, "severity").auc.item() == 1.0
    assert areas(judged, "severity").found.item() == 1.0
    assert areas(judged[judged.kind == "useful"], "severity").empty


# requirements


def test_list_requirements__known_runs__are_met_or_missed():
    psnr = {
        ("adl", "harm"): 2.0,
        ("adl", "clean"): 2.1,
        ("target-only", NO_POOL): 0.5,
        ("fine-tune", "harm"): 0.6,
        ("fine-tune", "clean"): 1.65,
        ("oracle-noise", "harm"): 2.05,
        ("no-gate", "harm"): 1.9,
    }
    runs = make_runs(psnr)
    runs.loc[(runs.strategy == "fine-tune") & (runs.target == "B"), "psnr"] += 1.6
    found = {
        b.name: b
        for b in requirements.list_requirements(replace(NO_RESULTS, runs=runs), 6)
    }
    worst = "Against the best simple alternative, worst target"
    expected = {
        "Harmful pool against the same training without it": (-0.1, "missed"),
        "Misaligned and black batches accepted": (0.02, "met"),
        "Useful batches accepted": (1.0, "met"),
        "ROC AUC, harmful pairs in good domains": (None, "not measured"),
        "Over target-only, pool harm": (1.5, "met"),
        "Over sources, then fine-tune, pool harm": (0.6, "missed"),
        f"{worst}, pool harm": (-0.2, "missed"),
        "Against the true noise model, pool harm": (-0.05, "met"),
        "Against the true noise model, pool clean": (None, "not measured"),
        "Gain of the worst test image": (-0.01, "met"),
        "Default over itself with ADL (selection of batches) off": (0.1, "met"),
        "Default over itself with pre-training off": (None, "not measured"),
        "Extra time of the selection": (0.3, "met"),
    }
    for name, (reached, verdict) in expected.items():
        assert found[name].verdict == verdict, name
        if reached is not None:
            assert found[name].reached == pytest.approx(reached), name


def test_check_requirements__many_pairs__gains_over_simple_trainings_are_not_asked():
    results = replace(NO_RESULTS, runs=make_runs({("adl", "harm"): 1.0}, size=20))
    table = requirements.check_requirements(results)["Reached"]
    assert not table.bar.str.startswith("Over target-only").any()
    assert set(table["target pairs"]) == {20}


# runs


def test_run_campaign__every_table__is_written_and_no_run_done_twice(
    fake_measure, tmp_path
):
    pages = run_campaign(SMALL, tmp_path, command="python -m benchmarks.tables")
    assert [page.stem for page in pages] == list(TABLES)
    assert len(fake_measure) == len(set(fake_measure))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert SMALL.settings.digest in text and "`python -m benchmarks.tables`" in text
        assert "nan" not in text.replace("severity", "")
    done = len(fake_measure)
    run_campaign(SMALL, tmp_path)
    assert len(fake_measure) == done
    assert (tmp_path / "heatmap-A-6.png").exists()


def test_run_campaign__interrupted__goes_on_where_it_was(
    fake_measure, monkeypatch, tmp_path
):
    whole = execute.measure

    def until_interrupted(run, settings, n_threads=1):
        if len(fake_measure) == 5:
            raise KeyboardInterrupt
        return whole(run, settings, n_threads)

    monkeypatch.setattr(execute, "measure", until_interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_campaign(SMALL, tmp_path, ["table5"])
    first = list(fake_measure)
    monkeypatch.setattr(execute, "measure", whole)
    run_campaign(SMALL, tmp_path, ["table5"])
    assert sorted(map(astuple, fake_measure)) == sorted(
        map(astuple, runs_of("table5", SMALL))
    )
    assert len(first) == 5


def test_run_log__taken_from_another__has_the_runs_of_both(fake_measure, tmp_path):
    first, second, whole = (RunLog(tmp_path / name) for name in ("a", "b", "all"))
    run_campaign(SMALL, first.folder, ["table5"])
    run_campaign(SMALL, second.folder, ["cost"])
    run_campaign(SMALL, whole.folder, ["table5", "cost"])
    n_lacking = len(second.finished() - first.finished())
    assert first.take(second) == n_lacking
    assert first.take(second) == 0
    assert first.finished() == whole.finished()
    for name in ("runs", "images", "selection"):
        own, same = (getattr(log, name)() for log in (first, whole))
        order = [c for c in own if c in (*KEY, "image", "domain", "pair")]
        own, same = (t.sort_values(order, ignore_index=True) for t in (own, same))
        pd.testing.assert_frame_equal(own, same)
    reports = [
        sorted(p.name for p in log.folder.glob("reports/*")) for log in (first, whole)
    ]
    assert reports[0] == reports[1]
    assert first.settings() == whole.settings()


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("settings.json", "{", "is damaged"),
        ("runs.csv", "target,seed\nA,0\n", "is damaged"),
        ("runs.csv", None, "is damaged"),  # a line of the last run that broke off
        ("images.csv", "", "without their test images"),
    ],
)
def test_run_log__taken_from_a_damaged_one__is_refused(
    name, content, hint, fake_measure, tmp_path
):
    damaged, own = RunLog(tmp_path / "a"), RunLog(tmp_path / "b")
    run_campaign(replace(SMALL, seeds=(0,)), damaged.folder, ["cost"])
    file = damaged.folder / name
    if content is None:
        content = file.read_text("utf-8") + "A,1,har\n"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=hint):
        own.take(damaged)
    assert not own.folder.exists()


def test_run_campaign__only_writes__does_no_run(fake_measure, tmp_path):
    run_campaign(replace(SMALL, seeds=(0,)), tmp_path, ["table5"])
    n_done = len(fake_measure)
    (page,) = run_campaign(
        replace(SMALL, seeds=(0, 1)), tmp_path, ["table5"], only_writes=True
    )
    assert len(fake_measure) == n_done
    assert f"{n_done} of {2 * n_done}" in page.read_text("utf-8")


def test_run_campaign__figure_3__is_drawn(fake_measure, tmp_path):
    campaign = replace(SMALL, curve_pairs=(2, 6))
    (page,) = run_campaign(campaign, tmp_path, ["figure3"])
    assert "(figure3.png)" in page.read_text("utf-8")
    assert (tmp_path / "figure3.png").stat().st_size > 1000


def test_compare_sizes__some_targets_lack__no_mean_of_the_others():
    parts = [make_runs({("ADL-start", "harm"): 1.0}, size=size) for size in (2, 5)]
    runs = pd.concat(parts, ignore_index=True)
    runs = runs[(runs.target_pairs == 2) | (runs.target == "A")]
    page = compare_sizes(replace(NO_RESULTS, runs=runs))
    (mean,) = page["PSNR, mean of targets"].to_dict("records")
    assert mean == {"strategy": "ADL-start", "2": "36.05 ± 0.07", "5": ""}
    by_target = page["PSNR by target"].set_index("target")
    assert by_target.loc["A", "5"] == "31.05 ± 0.07"


def test_run_campaign__a_run_fails__others_are_done_and_it_is_said(
    fake_measure, monkeypatch, tmp_path
):
    whole = execute.measure

    def failing(run, settings, n_threads=1):
        if (run.strategy, run.target, run.seed) == ("adl", "A", 0):
            raise FloatingPointError("diverged")
        return whole(run, settings, n_threads)

    monkeypatch.setattr(execute, "measure", failing)
    with pytest.raises(RuntimeError, match="3 runs failed.*adl on A.*diverged"):
        run_campaign(SMALL, tmp_path, ["table5"])
    assert "21 of 24" in (tmp_path / "table5.md").read_text(encoding="utf-8")
    assert len(fake_measure) == 21


# the command


def run_command(*words):
    return CliRunner().invoke(bench, [*map(str, words)])


def test_bench__reduced__trains_and_goes_on(tmp_path):
    words = ["table5", "bars", "--reduced", "--targets", "Pixel4a", "--out", tmp_path]
    words += ["--set", "n_iter=3", "--size", 48]
    outcome = run_command(*words)
    assert outcome.exit_code == 0, outcome.output
    assert "table5: 6 runs, 6 to do" in outcome.output
    runs = pd.read_csv(tmp_path / "runs.csv")
    assert set(runs.n_steps) == {11} and set(runs.target) == {"Pixel4a"}
    assert "--set n_iter=3" in (tmp_path / "table5.md").read_text(encoding="utf-8")
    again = run_command(*words)
    assert "table5: 6 runs, 0 to do" in again.output
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "runs.csv"), runs)
    listed = run_command("table5", *words[2:], "--list")
    assert "(6 of 6 runs done)" in listed.output


def test_bench__list__knows_what_is_committed(tmp_path, monkeypatch):
    runs = runs_of("table5", reduced(Campaign()))[:2]
    known = tmp_path / "results" / "known"
    known.mkdir(parents=True)
    pd.DataFrame(map(asdict, runs)).to_csv(known / "runs.csv", index=False)
    monkeypatch.setattr(options, "COMMITTED", known.parent)
    listed = run_command("table5", "--reduced", "--out", tmp_path / "none", "--list")
    assert "runs done; 2 are committed" in " ".join(listed.output.split())


@pytest.mark.parametrize("words", [[], ["--dataset", "simulated"]])
def test_bench__list__names_every_table_and_does_nothing(words, tmp_path):
    outcome = run_command("--list", *words, "--out", tmp_path / "none")
    assert outcome.exit_code == 0
    for name in TABLES:
        assert f"{name} " in outcome.output
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["table9"], "known tables are table1"),
        (["--targets", "Kodak"], "CanonEOS70D"),
        (["--seeds", "one"], "--seeds takes integers"),
        (["--target-pairs", "1"], "from 2"),
        (["--set", "n_iter"], "name=value"),
        (["--set", "n_itr=4"], "n_iter"),
        (["--set", "n_iter=-4"], "n_iter"),
        (["--jobs", "0"], "--jobs"),
    ],
)
def test_bench__wrong_word__exit_code_2_and_what_is_possible(words, hint, tmp_path):
    outcome = run_command(*words, "--out", tmp_path / "none")
    assert outcome.exit_code == 2, outcome.output
    assert hint in " ".join(outcome.output.split())
    assert "Traceback" not in outcome.output
    assert not (tmp_path / "none").exists()


def test_bench__folder_that_cannot_be_made__one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    outcome = run_command("table5", "--reduced", "--out", tmp_path / "file" / "folder")
    assert outcome.exit_code == 1
    assert outcome.output.strip().startswith("Error: cannot write to the folder")


def test_bench__without_pandas__says_how_to_get_it(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "pandas" else find_spec(name, *rest),
    )
    outcome = run_command("--list")
    assert outcome.exit_code == 1
    assert 'pip install -e ".[bench]"' in outcome.output
    assert "Traceback" not in outcome.output


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--reduced"],
        ["--targets", "Pixel4a", "--seeds", "3,4", "--size", "64"],
        ["--reduced", "--set", "gate=queue", "--set", "val_fraction=(0.1, 0.3)"],
    ],
)
def test_command_line__said_again__is_the_same_campaign(words, monkeypatch):
    said = []
    monkeypatch.setattr(
        execute,
        "run_campaign",
        lambda campaign, folder, tables, **how: said.append((campaign, how)) or [],
    )
    run_command("table1", *words)
    run_command(*shlex.split(said[0][1]["command"])[3:])
    assert said[0] == said[1]
