"""Devices and precisions by name."""

from __future__ import annotations

import pytest
import torch

from skadl.support.device import (
    PRECISIONS,
    is_available,
    resolve_device,
    resolve_precision,
)

CPU = torch.device("cpu")


def test_resolve_device__auto__is_the_gpu_where_there_is_one(monkeypatch):
    for available, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=available: found)
        assert resolve_device("auto") == torch.device(expected)


@pytest.mark.parametrize("name", ["cpu", CPU])
def test_resolve_device__cpu__is_always_there(name):
    assert resolve_device(name) == CPU and is_available(CPU)


@pytest.mark.parametrize("name", ["gpu", "", "cpu:x", 3.5, None])
def test_resolve_device__unknown_name__lists_what_to_use(name):
    with pytest.raises(ValueError, match="use 'auto', 'cpu' or 'cuda'"):
        resolve_device(name)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:1"])
def test_resolve_device__no_gpu__says_what_to_use(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=f"'{name}' is not available.*device='auto'"):
        resolve_device(name)


def test_resolve_device__gpu_beyond_the_last__is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(ValueError, match="'cuda:1' is not available"):
        resolve_device("cuda:1")


def test_resolve_device__a_device_that_cannot_compute__is_refused():
    with pytest.raises(ValueError, match="'meta' is not available"):
        resolve_device("meta")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_resolve_precision__every_name__is_float32_or_bfloat16(precision, device):
    dtype = resolve_precision(precision, device)
    expected = {"float32": {None}, "bfloat16": {torch.bfloat16}}
    assert dtype in expected.get(precision, {None, torch.bfloat16})


@pytest.mark.parametrize("has_it", [False, True])
def test_resolve_precision__auto_on_cpu__follows_the_instruction_set(
    has_it, monkeypatch
):
    def capabilities():
        return {"avx512_bf16": has_it}

    monkeypatch.setattr(torch.cpu, "get_capabilities", capabilities, raising=False)
    expected = torch.bfloat16 if has_it else None
    assert resolve_precision("auto", CPU) == expected


def test_resolve_precision__auto_on_an_older_torch__is_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert resolve_precision("auto", CPU) is None
