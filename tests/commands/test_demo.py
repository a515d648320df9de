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
from skadl.commands.demo.page import (
    describe_gains,
    describe_pictures,
    describe_selection,
    picture_file,
    summarise,
)
from skadl.commands.demo.run import (
    HARMFUL_DOMAIN,
    N_SOURCE_CAMERAS,
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
    n_iter=6,
    n_finetune_iter=1,
    duration="a second",
    steps={"patch_size": 32, "batch_size": 2},
)


@pytest.fixture(scope="module")
def result():
    return run_demo("OppoReno10x", SMALLEST, seed=3)


@pytest.fixture(scope="module")
def folder(result, tmp_path_factory):
    return write_folder(result, tmp_path_factory.mktemp("demo") / "new" / "results")


@pytest.mark.parametrize("name", SIZES)
def test_trainings__every_size__are_equally_long_and_from_the_start(name):
    plain, adl = (t.estimator.get_params() for t in make_trainings(SIZES[name], 5))
    shared = ["start", "n_iter", "n_finetune_iter", "random_state"]
    assert [plain[key] for key in shared] == [adl[key] for key in shared]
    assert (adl["start"], adl["random_state"]) == ("universal", 5)


def test_simulate__sources__are_other_cameras_then_the_harmful_set(result):
    *cameras, harmful = result.data.sources.domains
    assert len(cameras) == N_SOURCE_CAMERAS
    assert harmful == HARMFUL_DOMAIN
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
    assert len(sentences) == 2 + len(make_trainings(SMALLEST))


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
    assert "5.50 dB above the noisy input" in sentence
    assert "by ADL, it is 1.50 dB below that" in sentence
    assert "it is level with ADL" in sentence


def test_describe_gains__too_little_training__claims_nothing(result):
    tiny = replace(result, budget=SIZES["tiny"])
    assert "dB" not in describe_gains(tiny)
    assert "too little" in describe_gains(tiny)


def test_describe_selection__rates__are_those_of_the_report(result):
    rows = {row.domain: row for row in result.report.by_domain()}
    *cameras, harmful = (rows[name] for name in result.data.sources.domains)
    taken = sum(r.accepted for r in cameras) / max(sum(r.offered for r in cameras), 1)
    said = re.findall(r"(\d+) %", describe_selection(result))
    assert [int(value) for value in said] == [
        round(100 * rate) for rate in (taken, harmful.rate)
    ]


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
    adapted = result.denoised["ADL"]
    for name, image in [("noisy", shown.noisy), ("denoised", adapted)]:
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
    pictures = [path for path in folder.glob("*.png")]
    assert len(pictures) == 6
    for path in pictures:
        assert imread(path)[..., :3].std() > 0.05


def test_write_folder__pictures__have_a_caption_and_a_pixel_for_each_2x2_sites(
    folder, result
):
    page = (folder / "report.html").read_text()
    for name, caption in describe_pictures(result).items():
        assert f'src="{picture_file(name)}" alt="{caption}"' in page
        assert imread(folder / picture_file(name)).shape[:2] == (32, 48)


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
