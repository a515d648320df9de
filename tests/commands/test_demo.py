"""The demonstration without its command: what is compared, and what is written."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.image import imread

from skadl import DataSelectionReport, Score, psnr, read_raw
from skadl.commands.demo.folder import FILES, check_folder, write_folder
from skadl.commands.demo.page import describe_gains, describe_selection, summarise
from skadl.commands.demo.run import (
    HARMFUL_DOMAINS,
    Row,
    make_trainings,
    run_demo,
    simulate,
)
from skadl.commands.demo.sizes import SIZES, Budget
from skadl.datasets import camera_names

SMALLEST = Budget(
    n_target_pairs=4,
    n_source_pairs=2,
    n_test_pairs=3,
    side=64,
    shown=(64, 96),
    n_pretrain_iter=2,
    n_iter=12,
    n_finetune_iter=2,
    duration="a second",
    network={
        "base_channels": 2,
        "n_levels": 2,
        "mlp_width": 4,
        "patch_size": 16,
        "batch_size": 2,
    },
)


@pytest.fixture(scope="module")
def result():
    return run_demo("OppoReno10x", SMALLEST, seed=3)


@pytest.fixture(scope="module")
def folder(result, tmp_path_factory):
    return write_folder(result, tmp_path_factory.mktemp("demo") / "new" / "results")


@pytest.mark.parametrize("name", SIZES)
def test_trainings__every_size__take_equally_many_steps(name):
    budget = SIZES[name]
    totals = [
        training.parameters["n_pretrain_iter"] + training.parameters["n_iter"]
        for training in make_trainings(budget)
    ]
    assert totals == [budget.n_pretrain_iter + budget.n_iter] * 3
    assert not any("n_finetune_iter" in t.parameters for t in make_trainings(budget))


def test_simulate__sources__are_all_other_cameras_then_the_harmful_sets(result):
    domains = result.data.sources.domains
    others = [name for name in camera_names() if name != "OppoReno10x"]
    assert list(domains) == [*others, *HARMFUL_DOMAINS]
    assert {pair.sensor for pair in result.data.target_pairs} == {"OppoReno10x"}
    assert all(pair.sensor != "OppoReno10x" for _, pair in result.data.sources.pairs())


def test_simulate__test_scenes__are_in_no_training_pair(result):
    trained_on = {pair.scene for pair in result.data.target_pairs}
    trained_on |= {pair.scene for _, pair in result.data.sources.pairs()}
    tested = {pair.scene for pair in [*result.data.test_pairs, result.data.shown]}
    assert tested.isdisjoint(trained_on)


@pytest.mark.parametrize("target", camera_names())
def test_simulate__iso__no_test_image_lies_outside_what_was_trained_on(target):
    data = simulate(target, SMALLEST, seed=0)
    trained_on = [pair.iso for pair in data.target_pairs]
    for pair in [*data.test_pairs, data.shown]:
        assert min(trained_on) <= pair.iso <= max(trained_on)


def test_run_demo__same_seed__same_scores(result):
    again = run_demo("OppoReno10x", SMALLEST, seed=3)
    for first, second in zip(result.rows, again.rows, strict=True):
        assert first.score == second.score
    assert result.report.equals(again.report)


def test_run_demo__noisy_score__is_psnr_of_the_test_images(result):
    clipped = [
        (np.clip(p.noisy.normalised(), 0, 1), np.clip(p.clean.normalised(), 0, 1))
        for p in result.data.test_pairs
    ]
    scored = [image.psnr for image in result.rows[0].score.images]
    assert scored == pytest.approx([psnr(*pair) for pair in clipped])


def test_run_demo__report__is_that_of_adl_over_all_sources(result):
    assert result.rows[-1].name == "ADL"
    n_iters = {stage.name: stage.n_iter for stage in result.report.stages}
    assert n_iters["adaptation"] == SMALLEST.n_iter
    assert set(result.data.sources.domains) <= set(result.report.domains)


def test_run_demo__announce__one_sentence_for_each_training():
    sentences = []
    run_demo("IMX686", SMALLEST, announce=sentences.append)
    assert len(sentences) == 1 + len(make_trainings(SMALLEST))


def test_run_demo__unknown_camera__says_what_is_known():
    with pytest.raises(ValueError, match="IMX686"):
        run_demo("Kodak", SMALLEST)


def with_psnr(name, *values):
    images = tuple(Score(value, 0.5, "skadl") for value in values)
    score = Score(float(np.mean(values)), 0.5, "skadl", len(values), images)
    return Row(name, score)


def test_row__worst_gain__is_the_smallest_difference():
    noisy = with_psnr("noisy", 20.0, 30.0)
    assert with_psnr("better", 25.0, 29.5).worst_gain(noisy) == -0.5


def test_describe_gains__better_worse_and_equal__are_said_as_such(result):
    psnrs = (30.0, 35.5, 34.0, 34.0)
    rows = tuple(
        with_psnr(row.name, value)
        for row, value in zip(result.rows, psnrs, strict=True)
    )
    sentence = describe_gains(replace(result, rows=rows))
    assert "4.00 dB above the noisy input" in sentence
    assert "1.50 dB below training on the new sensor alone" in sentence
    assert "level with training on all sources" in sentence


def test_describe_selection__rates__are_those_of_the_report(result):
    rows = {row.domain: row for row in result.report.by_domain()}
    cameras = [rows[name] for name in result.data.sources.domains]
    cameras = [row for row in cameras if row.domain not in HARMFUL_DOMAINS]
    taken = sum(r.accepted for r in cameras) / max(sum(r.offered for r in cameras), 1)
    wrong_noise, wrong_truth = (rows[name].rate for name in HARMFUL_DOMAINS)
    said = re.findall(r"(\d+) %", describe_selection(result))
    expected = [taken, wrong_truth, wrong_noise]
    assert [int(value) for value in said] == [round(100 * rate) for rate in expected]


def test_summarise__text__fits_a_terminal_and_names_all(result):
    text = summarise(result)
    assert max(map(len, text.splitlines())) <= 80
    for name in [*(row.name for row in result.rows), *result.report.domains]:
        assert name in text


def test_write_folder__files__are_those_that_are_listed(folder):
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert [path.name for path in folder.parent.iterdir()] == ["results"]


def test_write_folder__dngs__hold_the_shown_picture_at_normal_brightness(
    folder, result
):
    shown = result.data.shown
    for name, image in [("noisy", shown.noisy), ("denoised", result.denoised)]:
        read = read_raw(folder / f"{name}.dng")
        assert (read.cfa, read.sensor, read.iso) == (image.cfa, image.sensor, image.iso)
        # The light factor is in the counts now, and they are whole numbers.
        expected = np.clip(image.normalised(), -64 / 959, 1)
        assert np.abs(read.normalised() - expected).max() <= 0.51 / 959


def test_write_folder__numbers__agree_with_the_result(folder, result):
    numbers = json.loads((folder / "results.json").read_text())
    for written, row in zip(numbers["scores"], result.rows, strict=True):
        assert written["mean_psnr_db"] == pytest.approx(row.score.psnr, abs=1e-3)
    with (folder / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == SMALLEST.n_test_pairs
    mean = np.mean([float(row["ADL: PSNR (dB)"]) for row in rows])
    assert mean == pytest.approx(result.rows[-1].score.psnr, abs=1e-3)
    assert DataSelectionReport.load(folder / "report.npz").equals(result.report)


def test_write_folder__pictures__are_not_blank(folder):
    for name in ("before_after.png", "acceptance.png"):
        assert imread(folder / name)[..., :3].std() > 0.05


def test_write_folder__page__links_only_to_files_that_are_there(folder):
    class Links(HTMLParser):
        found: list[str] = []

        def handle_starttag(self, tag, attributes):
            facts = dict(attributes)
            self.found += [facts[key] for key in ("src", "href") if key in facts]

    page = (folder / "report.html").read_text()
    Links().feed(page)
    assert set(Links.found) == set(FILES) - {"report.html"}
    assert "{" not in page.split("</style>")[1]


def test_write_folder__existing_folder__keeps_what_is_not_ours(result, tmp_path):
    (tmp_path / "holiday.jpg").write_text("precious")
    (tmp_path / "results.csv").write_text("old")
    write_folder(result, tmp_path)
    assert (tmp_path / "holiday.jpg").read_text() == "precious"
    assert (tmp_path / "results.csv").read_text() != "old"
    assert len(list(tmp_path.iterdir())) == len(FILES) + 1


def test_write_folder__failure__leaves_nothing_behind(result, tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr("skadl.commands.demo.folder.to_html", fail)
    with pytest.raises(OSError, match="disk full"):
        write_folder(result, tmp_path / "results")
    assert list(tmp_path.iterdir()) == []


def test_check_folder__missing_empty_or_earlier_demo__is_accepted(folder, tmp_path):
    assert check_folder(tmp_path) == tmp_path.resolve()
    assert check_folder(tmp_path / "a" / "b") == (tmp_path / "a" / "b").resolve()
    assert not (tmp_path / "a" / "b").exists()
    assert check_folder(folder) == folder


@pytest.mark.parametrize("content", ["{}", "[]", "no json", '{"made_by": "me"}'])
def test_check_folder__other_files__is_refused_unless_forced(content, tmp_path):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(ValueError, match="holds other files"):
        check_folder(tmp_path)
    assert check_folder(tmp_path, force=True) == tmp_path.resolve()
