"""``skadl check`` on folders of DNG files: table, exit code, JSON and pictures."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from skadl import write_dng
from skadl.commands import main as cli
from skadl.datasets import make_domain
from skadl.raw.mosaic import pack_mosaic, unpack_mosaic


@pytest.fixture(scope="module")
def pairs():
    made = make_domain("NikonD850", 3, size=96, iso=400, ratio=10, random_state=0)
    return [replace(p, clean=rounded(p.clean, p.clean.mosaic)) for p in made]


def rounded(image, counts):
    return image.with_mosaic(np.rint(counts).astype(np.uint16))


def write(folder, pairs):
    for index, pair in enumerate(pairs):
        for name in ("noisy", "clean"):
            (folder / name).mkdir(parents=True, exist_ok=True)
            write_dng(folder / name / f"{index}.dng", getattr(pair, name))


def with_shifted(pairs):
    first = pairs[0]
    planes = np.roll(pack_mosaic(first.clean.mosaic, first.clean.cfa), 2, axis=2)
    moved = rounded(first.clean, unpack_mosaic(planes, first.clean.cfa))
    return [replace(first, clean=moved), *pairs[1:]]


def run(folder, *arguments):
    return CliRunner().invoke(
        cli.main, ["check", str(folder), "--ratio", "10", *arguments]
    )


def test_check__good_pairs__ends_with_0_and_a_table(pairs, tmp_path):
    write(tmp_path, pairs)
    outcome = run(tmp_path)
    assert outcome.exit_code == 0, outcome.output
    assert "3 pairs: 3 good, 0 doubtful, 0 bad" in outcome.stdout
    assert outcome.stderr == ""
    assert "--pictures" not in outcome.stdout


def test_check__shifted_pair__says_how_to_see_it(pairs, tmp_path):
    write(tmp_path / "my pairs", with_shifted(pairs))
    outcome = run(tmp_path / "my pairs", "--no-denoiser")
    assert "To see them, add: --pictures pictures" in outcome.stdout


def test_check__shifted_pair__ends_with_1_and_is_drawn(pairs, tmp_path):
    write(tmp_path / "in", with_shifted(pairs))
    outcome = run(tmp_path / "in", "--json", "--pictures", str(tmp_path / "out"))
    assert outcome.exit_code == 1, outcome.output
    facts = json.loads(outcome.stdout)
    assert [pair["verdict"] for pair in facts["pairs"]] == ["bad", "good", "good"]
    (picture,) = (tmp_path / "out").iterdir()
    assert facts["pictures"] == [str(picture)]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_check__damaged_file__is_listed_and_ends_with_1(pairs, tmp_path):
    write(tmp_path, pairs)
    (tmp_path / "noisy" / "2.dng").write_bytes(b"II*\0 cut off")
    outcome = run(tmp_path)
    assert outcome.exit_code == 1
    assert "2.dng" in outcome.stdout
    assert "2 pairs: 2 good" in outcome.stdout
    problems = json.loads(run(tmp_path, "--json").stdout)["problems"]
    assert any("2.dng" in problem["path"] for problem in problems)


def test_check__iso_range__names_what_is_missing(pairs, tmp_path):
    write(tmp_path, pairs)
    outcome = run(tmp_path, "--iso-range", "100", "6400")
    assert outcome.exit_code == 0
    assert "Add pairs near ISO 100" in outcome.stdout
    outcome = run(tmp_path, "--iso-range", "6400", "100")
    assert outcome.exit_code == 1
    assert outcome.stderr.startswith("Error: iso_range") and outcome.stdout == ""


def test_check__empty_folder__is_one_line_on_stderr(tmp_path):
    outcome = run(tmp_path, "--json")
    assert outcome.exit_code == 1
    assert outcome.stdout == ""
    assert outcome.stderr.startswith("Error: ")
    assert outcome.stderr.count("\n") == 1


def test_check__no_folder__is_a_usage_error(tmp_path):
    assert run(tmp_path / "nowhere").exit_code == 2


def test_check__pictures_where_a_file_is__says_so(pairs, tmp_path):
    write(tmp_path / "in", with_shifted(pairs))
    (tmp_path / "out").write_text("precious")
    outcome = run(tmp_path / "in", "--pictures", str(tmp_path / "out"))
    assert outcome.exit_code != 0
    assert (tmp_path / "out").read_text() == "precious"


def test_check__levels_given__go_before_the_files(pairs, tmp_path):
    write(tmp_path, pairs)
    white = f"{pairs[0].noisy.white_level:g}"
    levels = ["--black-level", "600,600,600,600", "--white-level", white]
    outcome = run(tmp_path, "--no-denoiser", *levels)
    assert "off its black level" in outcome.stdout or "black level" in outcome.stdout
    assert run(tmp_path, "--no-denoiser").exit_code == 0
    refused = run(tmp_path, "--white-level", "10")
    assert refused.exit_code == 1 and "white level 10" in refused.stderr


def test_check__without_the_denoiser__says_the_same_of_good_and_shifted(
    pairs, tmp_path
):
    write(tmp_path, with_shifted(pairs))
    for option in ("--denoiser", "--no-denoiser"):
        facts = json.loads(run(tmp_path, "--json", option).stdout)
        assert [pair["verdict"] for pair in facts["pairs"]] == ["bad", "good", "good"]
        assert facts["notes"] == []
