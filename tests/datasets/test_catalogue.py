"""The catalogue of public datasets, its command, and what the loaders return."""

from __future__ import annotations

import ast
import inspect
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from dataset_files import write_raw
from sklearn.model_selection import GroupKFold

from skadl import SourcePool, datasets, make_pairs, open_raw
from skadl.commands import main as cli
from skadl.data.folders.matching import Problem
from skadl.datasets import DATASETS, DatasetPairs, Missing
from skadl.datasets.catalogue import Comparison
from skadl.evaluation.protocols import get_protocol
from skadl.raw.pair import RawPair


def loaded_of(sensors, scenes, problems=()):
    frames = np.zeros((len(sensors), 4, 4), np.uint16)
    facts = dict(iso=100, cfa="RGGB", black_level=0, white_level=1023)
    pairs = make_pairs(frames, frames, sensor=sensors, scene=scenes, **facts)
    return DatasetPairs(Path("set"), tuple(pairs), problems)


# The catalogue


@pytest.mark.parametrize("entry", DATASETS, ids=lambda entry: entry.name)
def test_catalogue__each_entry__says_where_licence_size_layout_reader_source(entry):
    assert all(address.startswith("https://") for address in entry.obtain)
    assert entry.licence and entry.size and entry.layout and entry.source
    reader = entry.reader.removeprefix("skadl.datasets.").partition("(")[0]
    assert reader in datasets.__all__
    assert entry.load_reader() is getattr(datasets, reader)


@pytest.mark.parametrize("entry", [e for e in DATASETS if e.comparison])
def test_catalogue__comparison__names_what_is_there(entry):
    get_protocol(entry.comparison.protocol)
    options = inspect.signature(entry.load_reader()).parameters
    for part in entry.comparison.parts:
        assert part.keys() <= options.keys()


def test_comparison__test_scenes__are_every_second_or_begin_as_told():
    plain = Comparison("x", "skadl")
    assert plain.choose_test(["a", "b", "c", "d"]) == ["b", "d"]
    some = Comparison("x", "skadl", test_scenes=("SID-1", "SID-2"))
    assert some.choose_test(["SID-00001", "SID-10003", "SID-20201"]) == [
        "SID-10003",
        "SID-20201",
    ]


def test_face__every_name__is_what_type_checkers_see():
    tree = ast.parse(Path(datasets.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname: node.module for node in block.body for alias in node.names}
    readers = {entry.reader_name for entry in DATASETS}
    for name, home in seen.items():
        assert getattr(datasets, name) is getattr(sys.modules[home], name)
    assert {*datasets.__all__} == seen.keys() | readers | {"DATASETS", "DatasetFacts"}


def test_face__unknown_name__is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'load_sod'"):
        datasets.load_sod  # noqa: B018


def test_face__names_of_cameras_and_datasets__load_nothing_heavy():
    code = (
        "import sys; from skadl.datasets import DATASETS, camera_names; "
        "camera_names(); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert not {b"numpy", b"scipy", b"sklearn", b"torch"} & {*done.stdout.split()}


def test_datasets_command__text__names_every_dataset_address_and_licence():
    outcome = CliRunner().invoke(cli.main, ["datasets"])
    assert outcome.exit_code == 0
    for entry in DATASETS:
        assert entry.name in outcome.output
        assert entry.licence in outcome.output
        assert entry.obtain[0] in outcome.output
    assert "pip install 'skadl[sidd]'" in outcome.output


def test_datasets_command__json__is_the_catalogue_and_nothing_else():
    outcome = CliRunner().invoke(cli.main, ["datasets", "--json"])
    assert outcome.exit_code == 0
    listed = json.loads(outcome.output)["datasets"]
    assert listed == [entry.to_dict() for entry in DATASETS]


# What a loader returns


def test_dataset_pairs__is_a_sequence_that_splitters_take():
    loaded = loaded_of(["A"] * 6, ["x", "y", "z"] * 2)
    assert len(loaded) == 6 and loaded[-1] is list(loaded)[5]
    assert loaded[1:3] == (loaded[1], loaded[2])
    for train, test in GroupKFold(3).split(loaded, groups=loaded.groups):
        shown = {loaded[index].scene for index in test}
        assert len(shown) == 1 and shown.isdisjoint(loaded[i].scene for i in train)


def test_dataset_pairs__by_sensor__is_what_a_source_pool_takes():
    loaded = loaded_of(["B", "A", "B"], "s")
    groups = loaded.by_sensor()
    assert list(groups) == ["B", "A"]
    assert [len(members) for members in groups.values()] == [2, 1]
    assert SourcePool(groups).domains == groups


def test_dataset_pairs__missing__is_the_part_that_is_not_there():
    problems = Missing(Path("set/a"), "gone."), Problem(Path("set/b"), "broken.")
    loaded = loaded_of(["A"], "s", problems)
    assert loaded.missing == problems[:1] and loaded.problems == problems
    assert "2 problems" in repr(loaded)
    assert "left out: a: gone." in loaded.summary()


def test_dataset_pairs__pickles():
    loaded = loaded_of(["A"], "s", (Missing(Path("a"), "gone."),))
    again = pickle.loads(pickle.dumps(loaded))
    assert again.problems == loaded.problems and again.groups == ["s"]


def test_verified__reads_all_once_and_lists_what_cannot_be_read(tmp_path):
    good, clean = (write_raw(tmp_path / name) for name in ("a.dng", "b.dng"))
    cut = write_raw(tmp_path / "cut.dng")
    cut.write_bytes(cut.read_bytes()[:700])
    facts = dict(sensor="A", iso=100)

    def pair(path):
        return RawPair(open_raw(path, **facts), open_raw(clean, **facts), path.stem)

    pairs = pair(good), pair(cut), pair(tmp_path / "no.dng")
    loaded = DatasetPairs(tmp_path, pairs)
    verified = loaded.verified()
    assert verified.groups == ["a"]
    assert [found.path.name for found in verified.problems] == ["cut.dng", "no.dng"]


def test_verified__frames_of_two_sizes__are_no_pair():
    small, large = (np.zeros((side, 4), np.uint16) for side in (4, 6))
    facts = dict(iso=1, cfa="RGGB", black_level=0, white_level=9, sensor="A")
    pairs = tuple(make_pairs([small], [large], **facts))
    (found,) = DatasetPairs(Path("set"), pairs).verified().problems
    assert found.path == Path("set") and "4x4 and 6x4" in found.reason
