"""The text for a bug report: it says what runs, and nothing about who runs it."""

from __future__ import annotations

import json
import platform
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch

import skadl
from skadl.support.versions import EXTRAS, REQUIRED, collect_versions

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
DEVELOPERS = {"test", "lint", "docs"}


@pytest.fixture
def without(monkeypatch):
    """A function that hides the metadata of a package."""
    version = metadata.version

    def hide(package: str) -> None:
        def find(name):
            if name == package:
                raise metadata.PackageNotFoundError(name)
            return version(name)

        monkeypatch.setattr(metadata, "version", find)

    return hide


def package_names(requirements: list[str]) -> tuple[str, ...]:
    return tuple(re.split("[<>=;]", each)[0].strip() for each in requirements)


def test_lists__are_those_of_the_project_file():
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    assert {*REQUIRED, "torch"} == set(package_names(project["dependencies"]))
    extras = project["optional-dependencies"]
    assert EXTRAS.keys() == extras.keys() - DEVELOPERS
    for extra, packages in EXTRAS.items():
        assert packages == package_names(extras[extra])


def test_collect_versions__says_what_runs_here():
    facts = json.loads(json.dumps(collect_versions()))
    assert facts["system"]["skadl"] == skadl.__version__
    assert facts["system"]["python"].split()[1] == platform.python_version()
    assert facts["system"]["processors"] >= 1
    assert facts["packages"]["numpy"] == np.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", facts["packages"]["LibRaw"])
    assert facts["torch"]["version"] == torch.__version__
    assert facts["torch"]["threads"] == torch.get_num_threads()
    assert all(facts["packages"].values())


def test_collect_versions__two_gpus__are_named(monkeypatch):
    names = ["NVIDIA A", "NVIDIA B"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **how: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
    monkeypatch.setattr(torch.cuda, "get_device_name", names.__getitem__)
    facts = collect_versions()["torch"]
    assert facts["gpus"] == names
    assert (facts["device"], facts["precision"]) == ("cuda", "bfloat16")


@pytest.mark.parametrize("amx", [False, True])
def test_collect_versions__amx__is_told_by_torch(amx, monkeypatch):
    def capabilities():
        return {"amx_bf16": amx, "avx512_bf16": amx}

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", capabilities, raising=False)
    facts = collect_versions()["torch"]
    assert ("AMX" in facts["instructions"]) == amx
    assert facts["precision"] == ("bfloat16" if amx else "float32")


def test_collect_versions__older_torch__says_what_it_can(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    facts = collect_versions()["torch"]
    assert facts["instructions"] == [torch.backends.cpu.get_cpu_capability()]


def test_show_versions__missing_extra__is_named(without, capsys):
    without("pandas")
    assert collect_versions()["extras"]["frame"] == {"pandas": None}
    skadl.show_versions()
    lines = capsys.readouterr().out.splitlines()
    assert "         frame: pandas not installed" in lines
    (bench,) = (line for line in lines if line.startswith("         bench: "))
    assert bench.endswith(", pandas not installed")


def test_show_versions__prints_every_fact_and_nothing_private(capsys, monkeypatch):
    monkeypatch.setenv("SKADL_SECRET", "a-word-to-keep")
    skadl.show_versions()
    printed = capsys.readouterr().out
    for facts in collect_versions().values():
        for name, value in facts.items():
            assert f"{name}: " in printed
            if isinstance(value, str | int):
                assert str(value) in printed
    assert "a-word-to-keep" not in printed
    for private in (Path.home(), Path(skadl.__file__).parent, sys.executable):
        assert str(private) not in printed
