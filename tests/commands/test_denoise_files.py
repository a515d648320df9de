"""Many files denoised: which are found, where they go, and who survives a death."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from skadl.commands import denoise_files as files
from skadl.commands.denoise_files import (
    BatchOptions,
    FileResult,
    denoise_files,
    find_raw_files,
    plan_outputs,
)
from skadl.support.text import printable_line


def touch(folder, *names):
    for name in names:
        (folder / name).touch()
    return [folder / name for name in names]


def test_find_raw_files__each_once_in_the_order_given(tmp_path):
    b, a, text = touch(tmp_path, "b.NEF", "a.cr2", "c.txt")
    inside = tmp_path / "inside"
    inside.mkdir()
    touch(inside, "d.dng")
    found, empty = find_raw_files([b, tmp_path, text, tmp_path / "gone"])
    assert found == [b, a, text, tmp_path / "gone"]
    assert empty == []


def test_find_raw_files__folder_without_any__is_told(tmp_path):
    touch(tmp_path, "c.txt", ".a.dng")
    (tmp_path / "folder.dng").mkdir()
    assert find_raw_files([tmp_path]) == ([], [tmp_path])


def test_plan_outputs__every_case(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "b.dng").touch()
    a, b, other_a = touch(tmp_path, "a.nef", "b.nef", "A.cr2")
    for replaces in (False, True):
        plan = plan_outputs([a, b, other_a], out, "dng", replaces)
        assert [task.source for task in plan] == [a, b, other_a]
        assert [task.output for task in plan] == [
            out / "a.dng",
            out / "b.dng",
            out / "A.dng",
        ]
        assert [task.is_kept for task in plan] == [False, not replaces, False]
        assert [bool(task.error) for task in plan] == [False, False, True]


def test_plan_outputs__result_onto_a_later_input_by_a_hard_link__is_refused(tmp_path):
    nef, dng = touch(tmp_path, "a.nef", "x.dng")
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.dng").hardlink_to(dng)
    plan = plan_outputs([nef, dng], out, "dng", True)
    assert "would replace a file" in plan[0].error
    assert plan[1].error is None


def test_denoise_files__worker_dies__the_rest_is_told_and_the_done_stays(monkeypatch):
    plan = [
        FileResult(Path("done.nef"), Path("done.dng")),
        FileResult(Path("deadly.nef"), Path("deadly.dng")),
        FileResult(Path("kept.nef"), Path("kept.dng"), is_kept=True),
        FileResult(Path("later.nef"), Path("later.dng")),
    ]

    class DyingParallel:
        def __init__(self, **options):
            pass

        def __call__(self, jobs):
            yield plan[0]
            raise BrokenProcessPool("killed")

    monkeypatch.setattr(files, "Parallel", DyingParallel)
    results = list(denoise_files(None, plan, BatchOptions(), n_jobs=2))
    assert [result.source for result in results] == [task.source for task in plan]
    assert results[0] is plan[0] and results[2] is plan[2]
    for result in (results[1], results[3]):
        assert result.error.startswith(f"{result.source}: not done: a worker died")


def test_denoise_files__nothing_to_do__does_nothing():
    plan = [FileResult(Path("a.nef"), error="a.nef: no.")]
    assert list(denoise_files(None, plan, BatchOptions())) == plan
    assert list(denoise_files(None, [], BatchOptions(), n_jobs=2)) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [("a\nb\t c", "a b c"), ("\x1b[2J", "\ufffd[2J"), ("Käse \udcff", "Käse \ufffd")],
)
def test_one_line__is_safe_to_show(text, line):
    assert printable_line(text) == line
