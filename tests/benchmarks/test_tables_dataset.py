"""The benchmark on pairs from disk: one sensor left out, on one machine or several."""

from __future__ import annotations

import builtins
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from dataset_files import write_mat73, write_raw
from distributed import LocalCluster
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.tables import cluster, execute
from benchmarks.tables.campaign import Campaign, reduced
from benchmarks.tables.cli import bench
from benchmarks.tables.dataset import DatasetSettings, check_targets, load_datasets
from benchmarks.tables.dataset_pairs import cut_window, shuffle_over_isos, take_pairs
from benchmarks.tables.measure import measure
from benchmarks.tables.options import DatasetOptions, command_line, move_to_datasets
from benchmarks.tables.real import load_bursts
from benchmarks.tables.run import Run
from benchmarks.tables.simulation import NO_POOL
from benchmarks.tables.tables import runs_of
from skadl import evaluate_pairs, make_pairs
from skadl.datasets import make_domain
from skadl.datasets.sidd.instances import PHONE_CFA
from skadl.raw.image import LazyRawImage
from skadl.raw.mosaic import unpack_mosaic

# Two scenes to train on and, by the rule for SIDD, two to test on.
INSTANCES = {
    "SonyA7S2": [f"{i:04d}_00{s}_GP_{iso:05d}_00160_5500_N" for i, s, iso in (
        (1, 1, 400), (2, 1, 800), (3, 4, 1600), (4, 2, 400), (5, 3, 1600))],
    "NikonD850": [f"{i:04d}_00{s}_IP_{iso:05d}_00160_5500_N" for i, s, iso in (
        (6, 1, 400), (7, 4, 800), (8, 4, 1600), (9, 2, 800), (10, 3, 400))],
}  # fmt: skip
WORDS = ["--reduced", "--targets", "GP", "--target-pairs", "3", "--set", "n_iter=4"]
TIMES = ["seconds", "cpu_seconds", "fit_mib", "seconds_per_megapixel"]


@pytest.fixture(scope="module")
def sidd(tmp_path_factory) -> Path:
    """SIDD of two phones in small, with real noise; one instance is missing."""
    root = tmp_path_factory.mktemp("sidd")
    for camera, names in INSTANCES.items():
        isos = [float(name[12:17]) for name in names]
        pairs = make_domain(
            camera, len(names), size=64, iso=isos, ratio=1, random_state=0
        )
        for name, pair in zip(names, pairs, strict=True):
            for role, image in (("NOISY", pair.noisy), ("GT", pair.clean)):
                mosaic = unpack_mosaic(image.normalised(), PHONE_CFA[name[9:11]])
                write_mat73(root / f"Data/{name}/{role}_RAW_010.MAT", mosaic)
    listed = [*sum(INSTANCES.values(), []), "0099_001_GP_00100_00160_5500_N"]
    (root / "Scene_Instances.txt").write_text("\n".join(listed))
    return root


def run_bench(*words):
    return CliRunner().invoke(bench, [*map(str, words)])


def bench_sidd(root, out, *words):
    return run_bench("--dataset", "sidd", "--root", root, *WORDS, "--out", out, *words)


@pytest.fixture(scope="module")
def finished(sidd, tmp_path_factory):
    """Two strategies, run in this process."""
    out = tmp_path_factory.mktemp("out")
    words = ["--strategies", "adl,target-only"]
    return out, words, bench_sidd(sidd, out, *words)


# from the command to the table


def test_bench__dataset__every_score_has_the_protocol(finished):
    out, _, outcome = finished
    assert outcome.exit_code == 0, outcome.output
    runs, images = (pd.read_csv(out / f"{name}.csv") for name in ("runs", "images"))
    assert set(runs.protocol) == set(images.protocol) == {"sidd"}
    assert set(runs.strategy) == {"adl", "target-only"}
    assert set(images.scene) == {"SIDD-002", "SIDD-003"}
    by_run = images.groupby("strategy").psnr.mean()
    np.testing.assert_allclose(
        runs.set_index("strategy").psnr,
        by_run[runs.strategy],
        atol=1e-4,  # four decimals are written
    )
    assert runs.ssim.between(0, 1).all()


def test_bench__dataset__the_table_says_scores_protocol_and_what_is_missing(finished):
    out, _, outcome = finished
    page = (out / "trainings.md").read_text(encoding="utf-8")
    assert "## 3 target pairs, protocol sidd" in page and "| noisy input |" in page
    assert "harmful" not in page and "nan" not in page
    for text in (outcome.stderr, page):
        assert "0099_001_GP_00100_00160_5500_N" in text


def test_load_bursts__files__are_pairs_of_sensors_and_scenes(tmp_path):
    rng = np.random.default_rng(0)
    facts = {"black_level": 60, "white_level": 1023, "pattern": "BGGR"}
    for name in ("imx296_rpigs_scene00", "imx296_rpigs_scene01", "seestar_m94_s1"):
        noisy = rng.integers(60, 90, (3, 16, 16)).astype(np.uint16)
        mean = noisy.mean(axis=0)
        np.savez(
            tmp_path / f"{name}.npz", noisy=noisy, clean=mean, n_averaged=3, **facts
        )
    pairs = load_bursts(tmp_path)
    named = {(pair.sensor, pair.scene, pair.ratio) for pair in pairs}
    assert named == {
        ("imx296", "imx296-rpigs-scene00", 16.0),
        ("imx296", "imx296-rpigs-scene01", 16.0),
        ("seestar", "seestar-m94", 1.0),
    }
    first, *others = (pair for pair in pairs if pair.sensor == "seestar")
    mean = np.mean([pair.noisy.mosaic for pair in others], axis=0)
    np.testing.assert_allclose(first.clean.mosaic, mean, rtol=1e-6)


def test_bench__dataset_again__goes_on(sidd, finished):
    out, words, _ = finished
    again = bench_sidd(sidd, out, *words)
    assert "trainings: 2 runs, 0 to do" in again.output
    more = bench_sidd(sidd, out, "--list", "--strategies", "adl,joint")
    assert "(1 of 2 runs done)" in more.stdout


def test_bench__workers_of_a_dask_cluster__give_the_same_numbers(
    sidd, finished, tmp_path, monkeypatch
):
    out, words, _ = finished

    def here(*_):
        raise AssertionError(f"measured in the process {os.getpid()} of the command")

    monkeypatch.setattr(execute, "measure", here)
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0"
    ) as local:
        address = local.scheduler_address
        outcome = bench_sidd(sidd, tmp_path / "out", *words, "--dask", address)
    assert outcome.exit_code == 0, outcome.output
    one, many = (
        pd.read_csv(folder / "runs.csv").sort_values("strategy", ignore_index=True)
        for folder in (out, tmp_path / "out")
    )
    pd.testing.assert_frame_equal(one.drop(columns=TIMES), many.drop(columns=TIMES))


def test_measure__dataset__scores_are_those_of_evaluate_pairs(sidd, tmp_path):
    settings = settings_of(sidd, tmp_path / "frames")
    run = Run("GP", 0, NO_POOL, "target-only", 3, settings.digest)
    measured = measure(run, settings)
    noisy = evaluate_pairs(None, settings.split("GP")[1], protocol="sidd")
    np.testing.assert_allclose(measured.images.noisy, [s.psnr for s in noisy.images])


def settings_of(root, frames) -> DatasetSettings:
    settings, _ = load_datasets(["sidd"], [root], frames)
    parameters = reduced(Campaign()).settings.parameters
    return replace(settings, size=32, source_pairs=5, parameters=parameters)


def test_command_line__said_again__is_the_same_campaign(sidd, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(
        execute,
        "run_campaign",
        lambda campaign, folder, tables, **how: said.append((campaign, how)) or [],
    )
    words = ["--test-scenes", "SIDD-002", "--size", "128", "--seeds", "4"]
    bench_sidd(sidd, tmp_path, *words)
    run_bench(*said[0][1]["command"].split()[3:])  # behind python -m MODULE
    (first, how), (second, how_again) = said
    assert how["command"] == how_again["command"]
    assert first.settings.size == 128 and first.settings.test_scenes == ("SIDD-002",)
    assert first.settings.digest == second.settings.digest
    assert (first.targets, first.seeds) == (second.targets, second.seeds)


# which pairs


def make_settings(scenes, frames=Path("frames"), **changes) -> DatasetSettings:
    """Pairs in memory of sensors A, B, ...: one for each of their scenes."""
    pairs = {}
    for number, (sensor, names) in enumerate(scenes.items()):
        rng = np.random.default_rng(number)
        mosaics = rng.integers(100, 900, (2, len(names), 40, 48), dtype=np.uint16)
        pairs[sensor] = make_pairs(
            *mosaics,
            sensor=sensor,
            iso=[100 * 2 ** (i % 3) for i in range(len(names))],
            cfa="RGGB",
            black_level=64,
            white_level=1023,
            scene=list(names),
        )
    return DatasetSettings(("folder",), (), pairs, {}, frames, **changes)


SCENE_LISTS = st.lists(st.integers(0, 6), min_size=1, max_size=12)


@given(scenes=st.fixed_dictionaries({"A": SCENE_LISTS, "B": SCENE_LISTS}))
def test_split__any_scenes__none_is_trained_and_tested_on(scenes):
    settings = make_settings(scenes)
    for target in scenes:
        training, test = settings.split(target)
        assert len(training) + len(test) == len(scenes[target])
        sources = settings.sources(target)
        assert target not in sources
        seen = {p.scene for pairs in (training, *sources.values()) for p in pairs}
        assert seen.isdisjoint({pair.scene for pair in test})
        assert bool(test) == (len(set(scenes[target])) > 1)


def test_split__named_scenes__go_before_the_rule():
    settings = make_settings({"A": "abcd", "B": "abcd"}, test_scenes=("a", "d"))
    training, test = settings.split("A")
    assert [pair.scene for pair in training] == ["b", "c"]
    assert [pair.scene for pair in test] == ["a", "d"]


def test_take_pairs__fewer_target_pairs__are_the_first_of_more(tmp_path):
    settings = make_settings({"A": range(12), "B": range(20, 30)}, tmp_path)

    def scenes(n_pairs, seed=0):
        data = take_pairs(Run("A", seed, "sensors", "adl", n_pairs, ""), settings)
        return [pair.scene for pair in data.target], data

    few, data = scenes(3)
    many, more = scenes(6)
    assert many[:3] == few and many != scenes(6, seed=1)[0]
    assert len({pair.iso for pair in data.target}) == 3
    assert data.test == more.test
    for one, other in zip(data.sources["B"], more.sources["B"], strict=True):
        np.testing.assert_array_equal(one.noisy.mosaic, other.noisy.mosaic)
    assert not take_pairs(Run("A", 0, NO_POOL, "adl", 3, ""), settings).sources


def test_take_pairs__fewer_sources_or_tests__are_what_is_asked_for(tmp_path):
    scenes = {"A": range(12), "B": range(20, 30)}
    settings = make_settings(scenes, tmp_path, source_pairs=4, test_pairs=3, size=16)
    data = take_pairs(Run("A", 0, "sensors", "adl", 3, ""), settings)
    assert len(data.sources["B"]) == 4 and len(data.test) == 3
    assert {pair.noisy.mosaic.shape for pair in data.sources["B"]} == {(16, 16)}
    assert {pair.noisy.mosaic.shape for pair in data.target} == {(40, 48)}


@given(isos=st.lists(st.sampled_from([100, 200, 400]), min_size=1, max_size=9))
def test_shuffle_over_isos__first_pairs__span_the_isos(isos):
    pairs = make_settings({"A": isos}).pairs["A"]
    pairs = [
        replace(p, noisy=replace(p.noisy, iso=iso))
        for p, iso in zip(pairs, isos, strict=True)
    ]
    shuffled = shuffle_over_isos(pairs, np.random.RandomState(0))
    assert sorted(map(id, shuffled)) == sorted(map(id, pairs))
    first = shuffled[: len(set(isos))]
    assert {pair.iso for pair in first} == set(isos)


@given(
    size=st.integers(2, 60), place=st.tuples(*[st.floats(0, 1, exclude_max=True)] * 2)
)
def test_cut_window__any_place__is_whole_cells_of_both_frames(size, place):
    pair = make_settings({"A": ["a"]}).pairs["A"][0]
    window = cut_window(pair, size, place)
    height, width = window.noisy.mosaic.shape
    assert (height, width) == (min(size, 40) // 2 * 2, min(size, 48) // 2 * 2)
    found = [
        (top, left)
        for top in range(0, 41 - height, 2)
        for left in range(0, 49 - width, 2)
        if np.array_equal(
            pair.noisy.mosaic[top : top + height, left : left + width],
            window.noisy.mosaic,
        )
    ]
    assert any(
        np.array_equal(
            pair.clean.mosaic[top : top + height, left : left + width],
            window.clean.mosaic,
        )
        for top, left in found
    )


def test_take_pairs__files__are_not_read(sidd, tmp_path, monkeypatch):
    settings = settings_of(sidd, tmp_path)

    def read(image):
        raise AssertionError(f"{image!r} was read")

    monkeypatch.setattr(LazyRawImage, "_read", read)
    data = take_pairs(Run("GP", 0, "sensors", "adl", 3, ""), settings)
    assert set(data.sources) == {"IP"}


def test_digest__moved_or_changed_data__is_the_same_or_another(sidd, tmp_path):
    moved = shutil.copytree(sidd, tmp_path / "moved")
    settings = settings_of(moved, tmp_path / "frames")
    assert settings.digest == settings_of(sidd, tmp_path / "others").digest
    assert replace(settings, size=16).digest != settings.digest
    shutil.rmtree(moved / "Data" / INSTANCES["NikonD850"][0])
    assert settings_of(moved, tmp_path).digest != settings.digest


# SID and ELD


@pytest.fixture(scope="module")
def low_light(tmp_path_factory):
    """SID's training and test scenes, and two cameras of ELD with four scenes."""
    root = tmp_path_factory.mktemp("low-light")
    raw = write_raw(root / "raw", iso=640).read_bytes()
    for scene in ("00001", "00002", "10185", "20188"):
        for path in (f"short/{scene}_00_0.1s.ARW", f"long/{scene}_00_10s.ARW"):
            path = root / "Sony" / path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw)
    for number in range(1, 17):
        row, position = divmod(number - 2, 5)
        is_reference = number in (1, 6, 11, 16)
        iso = 100 if is_reference else (800, 1600, 3200)[row]
        factor = 1 if is_reference else (1, 10, 100, 200)[position]
        path = root / "one.raw"
        write_raw(path, iso=iso, seconds=400 / iso / factor, seed=number)
        for camera, ending in (("SonyA7S2", "ARW"), ("NikonD850", "nef")):
            for scene in range(1, 5):
                folder = root / "ELD" / camera / f"scene-{scene}"
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, folder / f"IMG_{number:04d}.{ending}")
    return root


def test_load_datasets__eld__every_second_scene_is_tested_on(low_light, tmp_path):
    settings, gaps = load_datasets(["eld"], [low_light], tmp_path)
    assert settings.protocol == "eld"
    assert list(settings.pairs) == ["NikonD850", "SonyA7S2"]
    training, test = settings.split("NikonD850")
    assert {pair.scene for pair in training} == {"ELD-scene-1", "ELD-scene-3"}
    assert {pair.scene for pair in test} == {"ELD-scene-2", "ELD-scene-4"}
    (source,) = settings.sources("NikonD850").values()
    assert {pair.scene for pair in source} == {"ELD-scene-1", "ELD-scene-3"}
    assert "eld, CanonEOS70D: The folder is missing." in gaps


def test_load_datasets__sid__the_authors_splits_and_no_sensor_but_one(
    low_light, tmp_path
):
    settings, _ = load_datasets(["sid"], [low_light], tmp_path)
    training, test = settings.split("SonyA7S2")
    assert {pair.scene for pair in training} == {"SID-00001", "SID-00002"}
    assert {pair.scene for pair in test} == {"SID-10185", "SID-20188"}
    with pytest.raises(ValueError, match="all of one sensor, SonyA7S2.*--dataset"):
        check_targets(settings, ["SonyA7S2"], [2])


def test_load_datasets__sid_and_eld__the_second_only_adds_sources(low_light, tmp_path):
    settings, _ = load_datasets(["sid", "eld"], [low_light] * 2, tmp_path)
    assert settings.protocol == "sid" and list(settings.pairs) == ["SonyA7S2"]
    check_targets(settings, ["SonyA7S2"], [2])
    assert set(settings.sources("SonyA7S2")) == {"NikonD850"}
    assert len(settings.split("SonyA7S2")[0]) == 2  # ELD's own Sony is left out


def test_bench__a_sensor_with_too_few_pairs__is_a_source_only(sidd, tmp_path):
    shutil.copytree(sidd, tmp_path / "sidd")
    shutil.rmtree(tmp_path / "sidd" / "Data" / INSTANCES["SonyA7S2"][0])
    place = ["--dataset", "sidd", "--root", tmp_path / "sidd", "--out", tmp_path / "o"]
    what = ["trainings", *place, "--strategies", "adl", "--seeds", "0", "--list"]
    outcome = run_bench(*what, "--target-pairs", "2,3")
    assert outcome.exit_code == 0, outcome.output
    assert "(0 of 3 runs done)" in outcome.stdout  # GP and IP with 2, IP with 3
    assert "Missing: sensor 'GP' has 2 pairs" in outcome.stderr
    assert "with 3 target pairs it is a source only" in outcome.stderr
    asked = run_bench(*what, "--target-pairs", "3", "--targets", "GP,IP")
    assert asked.exit_code == 1 and "sensor 'GP' has 2 pairs" in asked.stderr
    none = run_bench(*what, "--target-pairs", "9")
    assert none.exit_code == 1 and "no sensor of sidd can be taken" in none.stderr


def test_command_line__sensors_left_out__are_not_named(sidd, tmp_path):
    campaign = move_to_datasets(
        replace(reduced(Campaign()), targets=(), target_pairs=(2, 3)),
        DatasetOptions(["sidd"], [sidd], None),
        tmp_path,
    )
    assert campaign.targets == ("GP", "IP") and not campaign.left_out
    words = command_line(campaign, ["trainings"], 1, 1)
    assert "--targets GP,IP" in words
    few = replace(campaign, left_out=frozenset({("GP", 3)}))
    assert "--targets" not in command_line(few, ["trainings"], 1, 1)
    left = {(run.target, run.target_pairs) for run in runs_of("trainings", few)}
    assert left == {("GP", 2), ("IP", 2), ("IP", 3)}


# what cannot be done


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--target-pairs", "4"], "'GP' has 3 pairs outside its test scenes, 4 are"),
        (["--targets", "S6"], "no sensor 'S6' to take as new; it has GP, IP"),
        (["--test-scenes", "SIDD-009"], "'SIDD-009', which is no scene"),
        (["--test-scenes", "SIDD-001,SIDD-002,SIDD-003,SIDD-004"], "'GP' has 0 pairs"),
    ],
)
def test_bench__too_little_data__one_sentence_with_a_next_step(
    sidd, tmp_path, words, hint
):
    outcome = bench_sidd(sidd, tmp_path / "none", *words)
    assert outcome.exit_code == 1, outcome.output
    error = outcome.stderr.splitlines()[-1]
    assert error.startswith("Error: ") and hint in error
    assert not (tmp_path / "none").exists()


def test_bench__one_phone__says_what_to_add(sidd, tmp_path):
    for name in INSTANCES["SonyA7S2"]:
        shutil.copytree(sidd / "Data" / name, tmp_path / "Data" / name)
    outcome = bench_sidd(tmp_path, tmp_path / "out")
    assert outcome.exit_code == 1
    assert "all of one sensor, GP" in outcome.stderr


def test_bench__no_folder_there__one_sentence(tmp_path):
    outcome = bench_sidd(tmp_path / "nowhere", tmp_path / "out")
    assert outcome.exit_code == 1
    assert outcome.stderr.startswith("Error: there is no folder")
    assert "--root" in outcome.stderr


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--dataset", "kodak", "--root", "."], "sid, eld, sidd, folder"),
        (["--dataset", "eld"], "1 --dataset and 0 --root"),
        (["--root", "."], "0 --dataset and 1 --root"),
        (["--dataset", "eld", "--root", ".", "--pools", "harm"], "leave it out"),
        (["--test-scenes", "a"], "--dataset as well"),
    ],
)
def test_bench__wrong_words_for_a_dataset__exit_code_2(words, hint):
    outcome = run_bench(*words)
    assert outcome.exit_code == 2, outcome.output
    assert hint in " ".join(outcome.output.split())


def test_bench__table_of_simulated_cameras__is_not_known_on_a_dataset(sidd, tmp_path):
    outcome = bench_sidd(sidd, tmp_path / "out", "bars")
    assert outcome.exit_code == 2
    assert "known tables are table1" in " ".join(outcome.output.split())


def test_bench__without_dask__says_how_to_get_it(sidd, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "distributed")
    genuine = builtins.__import__

    def without_dask(name, *rest, **options):
        if name == "distributed":
            raise ImportError("No module named 'distributed'")
        return genuine(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without_dask)
    outcome = bench_sidd(sidd, tmp_path / "none", "--dask", "tcp://localhost:1")
    assert outcome.exit_code == 1
    assert 'pip install "skadl[dask]"' in outcome.stderr.splitlines()[-1]
    assert not (tmp_path / "none").exists()


def test_bench__nobody_at_the_address__one_sentence(sidd, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_SECONDS_TO_CONNECT", 0.2)
    outcome = bench_sidd(sidd, tmp_path / "none", "--dask", "tcp://127.0.0.1:1")
    assert outcome.exit_code == 1
    assert "no dask scheduler answers" in outcome.stderr.splitlines()[-1]


def test_on_cluster__workers_of_several_threads__are_refused():
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"
        ) as local,
        pytest.raises(RuntimeError, match="several threads.*--nthreads 1"),
        cluster.on_cluster(local.scheduler_address),
    ):
        pass
