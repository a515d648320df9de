"""Model files: what comes back, what is refused, and what a stranger can do."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
import pickle
import re
from dataclasses import fields
from functools import cache
from pathlib import Path

import joblib
import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from tiny_fits import assert_same_fit, source_pool, target_pairs, tiny_denoiser

import skadl
from skadl import ADLDenoiser, SensorInfo, SensorTable
from skadl.adaptation.gates import QueueGate
from skadl.estimators.model_files.reader import (
    FORMAT_VERSION,
    REFUSALS,
    looks_like_model_file,
    read_model_file,
    unpack,
)

EVERY_FACT = SensorInfo(
    "GBRG",
    (60, 64.5, 66, 70),
    1023,
    gain={100: 0.1, 1600: 1.6},
    read_noise={100: 1.0, 1600: 4.0},
    black_offset={100: (0.1, -0.2, 0.3, 0)},
    iso_range=(100, 1600),
    row_noise={100: 0.0, 1600: 0.3},
    gain_error={100: 0.05},
    read_noise_error={1600: 0.7},
    notes=("the lens cap was off", "36 mm ± 1"),
)
BRIEF = dict(
    n_pretrain_iter=1,
    n_iter=2,
    n_finetune_iter=1,
    start="random",
    base_channels=2,
    mlp_width=4,
    learning_rate=np.float64(0.05),
)


def _fit(sources=True, **changes) -> ADLDenoiser:
    pool = source_pool() if sources else None
    meta = SensorTable({"spare": EVERY_FACT})
    return tiny_denoiser(**{**BRIEF, **changes}).fit(target_pairs(), pool, meta)


@cache
def _fitted(kind: str) -> ADLDenoiser:
    """A fit that tests only look at."""
    if kind == "target only":
        return _fit(sources=False, conditioning="sensor_iso_noise")
    return _fit(conditioning=kind)


def _copy(**changes) -> ADLDenoiser:
    """A fit that a test may change, some parameters changed already."""
    return copy.deepcopy(_fitted("noise")).set_params(**changes)


@pytest.fixture(scope="module", params=["noise", "sensor_iso", "target only"])
def model(request) -> ADLDenoiser:
    return _fitted(request.param)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> bytes:
    """The bytes of a small model file."""
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    _fitted("noise").save(path)
    return path.read_bytes()


def _split(data: bytes) -> tuple[dict, dict, bytes]:
    """Description, entries of the tensors, and their data."""
    stop = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:stop])
    return json.loads(header.pop("__metadata__")["skadl"]), header, data[stop:]


def _join(description, entries: dict, body: bytes) -> bytes:
    text = description if isinstance(description, str) else json.dumps(description)
    header = json.dumps({"__metadata__": {"skadl": text}, **entries}).encode()
    return _sealed(len(header).to_bytes(8, "little") + header + body)


def _sealed(data: bytes) -> bytes:
    """Put the digest of the rest into a file that has a place for one."""
    place = re.search(rb'\\"digest\\": \\"([0-9a-f]{64})', data)
    if place is None:
        return data
    before, behind = data[: place.start(1)], data[place.end(1) :]
    found = hashlib.blake2b(before + b"0" * 64 + behind, digest_size=32)
    return before + found.hexdigest().encode() + behind


def _unpack(data: bytes):
    return unpack(io.BytesIO(data), len(data))


# What comes back


def test_load__after_save__predicts_and_scores_bit_for_bit_the_same(model, path):
    model.save(path)
    again = skadl.load(path)
    image = target_pairs()[0].noisy
    np.testing.assert_array_equal(
        again.predict(image).mosaic, model.predict(image).mosaic
    )
    pairs = target_pairs()[1:2]
    assert again.score(pairs) == model.score(pairs)


def test_load__after_save__all_that_a_fit_leaves_behind_is_there(model, path):
    model.save(path)
    again = skadl.load(path)
    assert vars(again).keys() == vars(model).keys()
    assert_same_fit(again, model)
    assert again.get_params() == model.get_params()
    assert again.n_iter_ == model.n_iter_
    assert again.device_ == model.device_
    assert again.conditioning_ == model.conditioning_
    assert not again.module_.training
    assert again.sensors_.names == model.sensors_.names
    for name, info in model.sensors_.items():
        for field in fields(SensorInfo):
            got = getattr(again.sensors_.get(name), field.name)
            assert got == getattr(info, field.name), field.name
    assert EVERY_FACT.notes == again.sensors_.get("spare").notes


def test_save__of_the_loaded_model__gives_the_same_bytes(model, path):
    model.save(path)
    first = path.read_bytes()
    skadl.load(path).save(path)
    assert path.read_bytes() == first
    copy.deepcopy(model).save(path)
    assert path.read_bytes() == first


def test_load__clone_and_refit__as_before(path):
    model = _fitted("noise")
    model.save(path)
    again = skadl.load(path)
    assert not hasattr(clone(again), "module_")
    assert clone(again).get_params() == model.get_params()
    again.fit(target_pairs(), source_pool(), SensorTable({"spare": EVERY_FACT}))
    assert_same_fit(again, model)


def test_load__leaves_torchs_random_state_alone(path):
    _fitted("noise").save(path)
    before = torch.get_rng_state()
    skadl.load(path)
    assert torch.equal(torch.get_rng_state(), before)


def test_save__for_other_programs__weights_under_their_names(path):
    model = _fitted("noise")
    model.save(path)
    arrays = safetensors.numpy.load_file(path)
    for name, tensor in model.module_.state_dict().items():
        np.testing.assert_array_equal(arrays[f"network.{name}"], tensor.numpy())


def test_save__parameters_that_json_has_not__come_back_as_their_plain_kin(path):
    model = _copy(val_fraction=[0.3, 0.5], device=torch.device("cpu"))
    model.save(path)
    again = skadl.load(path)
    assert (again.val_fraction, again.device) == ((0.3, 0.5), "cpu")
    assert type(again.learning_rate) is float


def test_save__random_state_instance__warns_and_is_none_afterwards(path):
    model = _copy(random_state=np.random.RandomState(3))
    with pytest.warns(UserWarning, match="RandomState.*give an int"):
        model.save(path)
    again = skadl.load(path)
    assert again.random_state is None
    assert isinstance(model.random_state, np.random.RandomState)
    assert_same_fit(again, model)


def test_save__gate_of_ones_own__warns_and_is_the_default_afterwards(path):
    model = _copy(gate=QueueGate)
    with pytest.warns(UserWarning, match=r"set_params\(gate=...\)"):
        model.save(path)
    again = skadl.load(path)
    assert again.gate == ADLDenoiser().gate and model.gate is QueueGate
    assert_same_fit(again, model)


def test_pickle_and_joblib__still_work_after_load(path):
    _fitted("noise").save(path)
    again = skadl.load(path)
    assert_same_fit(pickle.loads(pickle.dumps(again)), again)
    joblib.dump(again, path.with_suffix(".joblib"))
    assert_same_fit(joblib.load(path.with_suffix(".joblib")), again)


# Devices


def test_load__fitted_on_a_device_that_is_gone__is_on_the_cpu(path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    model = _copy(device="cuda:7")
    model.device_ = torch.device("cuda:7")
    model.save(path)
    again = skadl.load(path)
    assert (again.device, again.device_) == ("cuda:7", torch.device("cpu"))
    assert_same_fit(again, model)


def test_load__device_asked_for_is_not_there__says_so(path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    _fitted("noise").save(path)
    with pytest.raises(ValueError, match="'cuda' is not available"):
        skadl.load(path, device="cuda")
    assert skadl.load(path, device=torch.device("cpu")).device_.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_load__fitted_on_a_gpu__goes_to_either(path):
    model = _fit(device="auto")
    assert model.device_.type == "cuda"
    model.save(path)
    assert skadl.load(path).device_ == model.device_
    on_cpu = skadl.load(path, device="cpu")
    assert {p.device.type for p in on_cpu.module_.parameters()} == {"cpu"}
    assert on_cpu.score(target_pairs()) == pytest.approx(
        model.score(target_pairs()), abs=0.1
    )


# What cannot be saved, and where


def test_save__not_fitted__is_refused_and_writes_nothing(path):
    with pytest.raises(NotFittedError):
        tiny_denoiser().save(path)
    assert not path.exists()


def test_save__subclass__is_refused(path):
    class Own(ADLDenoiser):
        pass

    model = _copy()
    model.__class__ = Own
    with pytest.raises(TypeError, match="got Own.*joblib"):
        model.save(path)


@pytest.mark.parametrize("spoil", ["weight", "parameter"])
def test_save__what_no_file_could_hold__is_refused_and_writes_nothing(spoil, path):
    model = _copy()
    if spoil == "weight":
        with torch.no_grad():
            model.module_.head.weight[0] = torch.nan
    else:
        model.set_params(verbose=object())
    with pytest.raises(ValueError, match="cannot be saved: .*joblib"):
        model.save(path)
    assert list(path.parent.iterdir()) == []


def test_save__no_such_folder__one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder .* create it first"):
        _fitted("noise").save(tmp_path / "nowhere" / "model.safetensors")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        _fitted("noise").save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_save__disk_fails__the_older_file_stays_and_nothing_else(path, monkeypatch):
    path.write_bytes(b"older")

    def fail(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(PermissionError, match="cannot write .*Permission denied"):
        _fitted("noise").save(path)
    assert path.read_bytes() == b"older"
    assert list(path.parent.iterdir()) == [path]


# Files that are something else


class _Trap:
    def __reduce__(self):
        return (os.mkdir, ("sprung",))


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"", "does not begin like"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(100), "a JPEG picture"),
        (b"II*\0\x08\0\0\0" + bytes(100), "a TIFF or RAW file"),
        (pickle.dumps(_Trap()), "a pickle.*trust"),
        (b"PK\x03\x04" + bytes(100), "a zip archive"),
        (b"A letter to a friend, and no model at all.", "does not begin like"),
        (safetensors.numpy.save({"x": np.ones(3)}), "without skadl's description"),
        (bytes(100), "not a model file"),
        (b"\x02" + bytes(7) + b"{}" + bytes(9), "without skadl's description"),
    ],
)
def test_load__another_file__one_sentence_with_the_next_step(
    data, hint, path, monkeypatch
):
    monkeypatch.chdir(path.parent)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=hint) as refused:
        skadl.load(path)
    assert "Give a file that ADLDenoiser.save wrote" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert list(path.parent.iterdir()) == [path]  # nothing in it was run


def test_load__no_such_file_or_a_folder__says_so(tmp_path):
    for missing in (tmp_path / "nothing", tmp_path):
        with pytest.raises(FileNotFoundError, match="there is no file"):
            skadl.load(missing)


def test_load__cut_anywhere_or_longer__is_refused(saved):
    header = 8 + int.from_bytes(saved[:8], "little")
    for length in {*range(0, header, 97), *range(header - 3, len(saved), 211)}:
        with pytest.raises(REFUSALS):
            _unpack(saved[:length])
    for data in (saved[:-1], saved + b"\0"):
        with pytest.raises(ValueError, match="cut off|too long"):
            _unpack(data)


def test_load__one_flipped_bit__is_damaged(saved, path):
    header = 8 + int.from_bytes(saved[:8], "little")
    rng = np.random.default_rng(0)
    for position in (
        *rng.integers(0, 8, 4),
        *rng.integers(8, header, 30),
        *rng.integers(header, len(saved), 10),
        *range(saved.index(b"digest"), saved.index(b"digest") + 80, 7),
    ):
        damaged = bytearray(saved)
        damaged[position] ^= 1 << rng.integers(0, 8)
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            skadl.load(path)


def test_load__digest__is_that_of_the_rest(saved):
    assert _sealed(saved) == saved


@pytest.mark.parametrize(("version", "loads"), [(3, True), (FORMAT_VERSION, False)])
def test_load__no_digest__only_in_older_formats(version, loads, saved):
    description, entries, body = _split(saved)
    del description["digest"]
    description["format_version"] = version
    if loads:
        _unpack(_join(description, entries, body))
    else:
        with pytest.raises(ValueError, match="lacks 'digest'"):
            _unpack(_join(description, entries, body))


def test_load__from_a_newer_skadl__says_to_upgrade(saved, path):
    description, entries, body = _split(saved)
    description |= {"format_version": FORMAT_VERSION + 1, "skadl_version": "9.1"}
    description["more"] = "of it"
    path.write_bytes(_join(description, entries, body))
    newer = rf"skadl '9.1' in format {FORMAT_VERSION + 1}.*Upgrade skadl"
    with pytest.raises(ValueError, match=newer):
        skadl.load(path)


def test_load__parameter_that_is_not_in_the_file__has_its_default(saved, path):
    description, entries, body = _split(saved)
    del description["parameters"]["queue_size"]
    path.write_bytes(_join(description, entries, body))
    assert skadl.load(path).queue_size == ADLDenoiser().queue_size


def test_load__noise_alone__needs_no_sensor_by_name(saved, path):
    description, entries, body = _split(saved)
    description["conditioning"]["sensors"] = []
    path.write_bytes(_join(description, entries, body))
    assert skadl.load(path).conditioning_.sensors == ()


@pytest.mark.parametrize(("version", "start"), [(2, "random"), (3, "universal")])
def test_load__before_starts__began_at_random(version, start, saved, path):
    description, entries, body = _split(saved)
    description["format_version"] = version
    del description["parameters"]["start"]
    path.write_bytes(_join(description, entries, body))
    assert skadl.load(path).start == start


# Files that lie


def _set(*keys_and_value):
    *keys, last, value = keys_and_value

    def change(description, entries):
        record = {"entries": entries, **description}
        for key in keys:
            record = record[key]
        if record.get("format"):
            record = description
        record[last] = value

    return change


HEAD = "network.head.weight"
LIES = {
    "huge network": _set("network", "base_channels", 60_000),
    "deep network": _set("network", "n_levels", 9),
    "wide MLPs": _set("network", "mlp_width", 2**16),
    "no channels": _set("network", "base_channels", 0),
    "channels as text": _set("network", "base_channels", "2"),
    "channels as truth": _set("network", "base_channels", True),
    "another network": _set("network", "n_levels", 3),
    "other facts": _set("network", "n_metadata", 4),
    "huge tensor": _set("entries", HEAD, "shape", [2**40, 2**40]),
    "negative shape": _set("entries", HEAD, "shape", [-4, -2, 1, 1]),
    "other dtype": _set("entries", HEAD, "dtype", "F64"),
    "no dtype": _set("entries", HEAD, {}),
    "huge report": _set("entries", "report.pair_id", "shape", [2**62]),
    "wrapping report": _set("entries", "report.pair_id", "shape", [2**64 + 1]),
    "unknown tensor": _set("entries", "network.more", {"dtype": "F32", "shape": [0]}),
    "offsets that overlap": _set("entries", HEAD, "data_offsets", [0, 32]),
    "unknown parameter": _set("parameters", "hook", "os.system"),
    "wrong parameter": _set("parameters", "gate", "open"),
    "wrong fractions": _set("parameters", "val_fraction", [0.5, None]),
    "unknown conditioning": _set("conditioning", "kind", "weather"),
    "sensor twice": _set("conditioning", "sensors", ["spare", "spare"]),
    "sensor without facts": _set("conditioning", "sensors", ["Kodak"]),
    "no sensors to tell apart": _set(
        "conditioning", {"kind": "sensor_iso", "sensors": []}
    ),
    "unknown fact": _set("sensors", "spare", "colour", "red"),
    "wrong mosaic": _set("sensors", "spare", "cfa", "XTRANS"),
    "wrong level": _set("sensors", "spare", "black_level", "dark"),
    "three levels": _set("sensors", "spare", "black_level", [1, 2, 3]),
    "wrong range": _set("sensors", "spare", "iso_range", [1600, 100]),
    "negative gain": _set("sensors", "spare", "gain", {"100": -1}),
    "gain at no ISO": _set("sensors", "spare", "gain", {"low": 1}),
    "notes that are none": _set("sensors", "spare", "notes", [7]),
    "one stage of two": _set("report", "stages", [["pre-training", 1]]),
    "endless stage": _set("report", "stages", [["pre-training", 2**41, None]]),
    "fewer domains": _set("report", "domains", []),
    "domain twice": _set("report", "domains", ["near"] * 3),
    "negative length": _set("n_iter", -1),
    "fractional length": _set("n_iter", 1.5),
    "old format": _set("format_version", 0),
    "other format": _set("format", "skadl dream"),
    "writer unknown": _set("skadl_version", None),
    "a record less": _set("report", None),
}


@pytest.mark.parametrize("lie", LIES)
def test_load__a_file_that_lies__is_refused_in_one_short_sentence(lie, saved, path):
    description, entries, body = _split(saved)
    LIES[lie](description, entries)
    path.write_bytes(_join(description, entries, body))
    with pytest.raises(ValueError, match="cannot|must|is|has|lacks") as refused:
        skadl.load(path)
    assert len(str(refused.value)) < 600 and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"n_iter": 4', '"n_iter": 1e999'),
        ('"n_iter": 4', '"n_iter": NaN'),
        ('"n_iter": 4', f'"n_iter": {"9" * 5000}'),
        ('"n_iter": 4', '"n_iter": 4, "n_iter": 4'),
        ('"n_iter": 4', f'"n_iter": {"[" * 20_000}{"]" * 20_000}'),
        ('"n_iter": 4', '"n_iter": 4, "report": "\\ud800"'),
        ("36 mm", "\\udfff"),
        ("{", ""),
    ],
)
def test_load__description_that_is_no_plain_json__is_refused(old, new, saved, path):
    description, entries, body = _split(saved)
    text = json.dumps(description)
    assert old in text
    position = text.rindex(old) if old != "{" else 0
    text = text[:position] + new + text[position + len(old) :]
    path.write_bytes(_join(text, entries, body))
    with pytest.raises(ValueError, match="that can be loaded"):
        skadl.load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("network.head.bias", b"\0\0\xc0\x7f"),  # NaN
        ("network.head.bias", b"\0\0\x80\x7f"),  # infinity
        ("report.is_accepted", b"\x02"),
        ("report.iteration", b"\xff" * 8),
        ("report.offsets", b"\x07" + bytes(7)),
        ("report.score", b"\xff" * 6 + b"\xef\x7f"),  # the largest double
        ("report.domain_code", b"\xff"),
        ("report.iso_levels", b"\xff" * 8),
    ],
)
def test_load__values_that_cannot_be__are_refused(name, value, saved):
    description, entries, body = _split(saved)
    start = entries[name]["data_offsets"][0]
    body = body[:start] + value + body[start + len(value) :]
    with pytest.raises(ValueError):
        _unpack(_join(description, entries, body))


def test_looks_like_model_file__by_name_or_by_beginning(tmp_path, saved):
    for name, data, expected in (
        ("model", saved, True),
        ("broken.safetensors", b"", True),
        ("photo.dng", b"II*\0\x08\0\0\0{", False),
        ("empty", b"", False),
    ):
        (tmp_path / name).write_bytes(data)
        assert looks_like_model_file(tmp_path / name) is expected


# Mutations: whatever the bytes, a model or one of the errors that load passes on

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-1, 0, 1, 2, 3, 255, 2**31, 2**63, 10**18]),
    st.sampled_from([0.0, -0.5, 1e-320, 0.5, 1e300, -1e308]),
    st.sampled_from(["", "x", "cpu", "cuda:99", "RGGB", "noise", "near", "\x1b[2J"]),
    st.sampled_from(
        [[], {}, [[]], [1, 2], ["near"], {"100": 1}, {"x": {}}, [0, 2**40]]
    ),
)


def _load_or_refuse(data: bytes, folder: Path) -> None:
    """What is loaded must be sound: it can be saved, and loads again."""
    path = folder / "mutated.safetensors"
    path.write_bytes(data)
    try:
        model = skadl.load(path, device="cpu")
    except ValueError as error:
        assert len(str(error)) < 600
    else:
        model.selection_report_.summary()
        model.save(path)
        read_model_file(path)
    assert list(folder.iterdir()) == [path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("mutated")


@settings(max_examples=200)
@given(draw=st.data())
def test_load__mutated_bytes__a_sound_model_or_a_sentence(draw, saved, folder):
    data = bytearray(saved)
    header = 8 + int.from_bytes(saved[:8], "little")
    anywhere = st.integers(0, len(saved) - 1) | st.integers(0, header)
    for _ in range(draw.draw(st.integers(1, 4))):
        position = draw.draw(anywhere)
        length = draw.draw(st.integers(0, 3))
        data[position : position + length] = draw.draw(st.binary(max_size=3))
    _load_or_refuse(bytes(data), folder)


@settings(max_examples=200)
@given(draw=st.data())
def test_load__mutated_facts__a_sound_model_or_a_sentence(draw, saved, folder):
    description, entries, body = _split(saved)
    place = {"description": description, "entries": entries}
    key = draw.draw(st.sampled_from(["description"] * 3 + ["entries"]))
    while isinstance(place[key], (dict, list)) and place[key]:
        inside = place[key]
        keys = list(inside) if isinstance(inside, dict) else range(len(inside))
        if draw.draw(st.integers(0, 5)) == 0:
            break
        place, key = inside, draw.draw(st.sampled_from(list(keys)))
    if place.keys() != {"description", "entries"} if isinstance(place, dict) else True:
        place[key] = draw.draw(JUNK)
    _load_or_refuse(_join(description, entries, body), folder)
