"""Calibration files: what goes in comes out, and nothing else is believed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from skadl import FixedPattern, SensorInfo, SensorTable, load_sensors, save_sensors
from skadl.noise.fixed_pattern import PatternAtIso
from skadl.noise.sensors import with_calibration
from skadl.support.digest import UNSEALED, seal


def pattern(seed=0, shape=(8, 12), **more):
    rng = np.random.default_rng(seed)
    return PatternAtIso(
        rng.normal(size=shape[0]), rng.normal(size=shape[1]), error=0.25, **more
    )


def table():
    rng = np.random.default_rng(1)
    rich = pattern(
        shading=rng.normal(size=(4, 2, 3)),
        pixels=rng.normal(size=(8, 12)),
        hot=np.array([3, 90]),
    )
    info = SensorInfo(
        "GRBG",
        (64, 65, 66, 64),
        4095,
        gain={100: 0.2},
        read_noise={100: 1.5, 800: 4.0},
        plane_gain={100: (1.1, 1.0, 1.0, 0.9)},
        fixed_pattern=FixedPattern({100: rich, 800: pattern(2)}),
        notes=("a note",),
    )
    return SensorTable({"A": info, "B": SensorInfo("RGGB", 0, 255)})


def test_load_sensors__saved_sensors__are_the_same(tmp_path):
    path = save_sensors(tmp_path / "a.safetensors", table())
    found = load_sensors(path)
    assert found.names == ("A", "B")
    before, after = table().get("A"), found.get("A")
    for name in ("cfa", "black_level", "white_level", "notes"):
        assert getattr(after, name) == getattr(before, name)
    for name in ("gain", "read_noise", "plane_gain"):
        assert dict(getattr(after, name)) == dict(getattr(before, name))
    for iso, entry in before.fixed_pattern.by_iso.items():
        other = after.fixed_pattern.by_iso[iso]
        np.testing.assert_array_equal(other.counts("GRBG"), entry.counts("GRBG"))
        np.testing.assert_array_equal(other.hot, entry.hot)
        assert other.error == entry.error
    assert found.get("B").fixed_pattern is None


def test_save_sensors__twice__gives_the_same_bytes(tmp_path):
    first = save_sensors(tmp_path / "a", table()).read_bytes()
    assert save_sensors(tmp_path / "b", table()).read_bytes() == first


def test_save_sensors__no_folder__leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError, match="create it first"):
        save_sensors(tmp_path / "none" / "a", table())
    with pytest.raises(IsADirectoryError, match="is a folder"):
        save_sensors(tmp_path, table())
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=60)
@given(st.data())
def test_load_sensors__damaged_file__is_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "a"
    content = bytearray(save_sensors(path, table()).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[place:]
    else:
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a calibration file"):
        load_sensors(path)


def test_load_sensors__file_of_before_the_digest__is_read(tmp_path):
    path = save_sensors(tmp_path / "a", table())

    def make_old(description):
        del description["digest"]
        description["format_version"] = 1

    rewritten(path, make_old)
    assert load_sensors(path).names == table().names
    rewritten(path, lambda description: description.update(format_version=2))
    with pytest.raises(ValueError, match="digest cannot be read"):
        load_sensors(path)


def rewritten(path, change):
    """Write the file anew with a changed description."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    text = json.loads(data[8 : 8 + length])["__metadata__"]["skadl"]
    description = json.loads(text)
    change(description)
    if "digest" in description:
        description["digest"] = UNSEALED
    arrays = safetensors.numpy.load(data)
    text = json.dumps(description)
    data = safetensors.numpy.save(arrays, metadata={"skadl": text})
    path.write_bytes(seal(data) if "digest" in description else data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format="skadl model"), "its format is 'skadl model'"),
        (lambda d: d.update(format_version=99), "format_version must be 1 to 2"),
        (lambda d: d["sensors"]["A"].update(x=1), "unknown name 'x'"),
        (lambda d: d["sensors"]["A"].pop("cfa"), "lacks 'cfa'"),
        (
            lambda d: d["sensors"]["A"]["fixed_pattern"].update(shape=[8, 13]),
            "cannot be",
        ),
        (
            lambda d: d["sensors"]["A"]["fixed_pattern"]["by_iso"][1].update(iso=100),
            "an ISO twice",
        ),
        (
            lambda d: d["sensors"]["A"]["fixed_pattern"]["by_iso"][0].update(n_hot=-1),
            "n_hot",
        ),
    ],
)
def test_load_sensors__description_that_cannot_be__is_refused(
    tmp_path, change, message
):
    path = save_sensors(tmp_path / "a", table())
    rewritten(path, change)
    with pytest.raises(ValueError, match=message):
        load_sensors(path)


@pytest.mark.parametrize("content", [b"", b"abc", b"\x89PNG....", b"\0" * 100])
def test_load_sensors__another_file__is_refused(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError, match="skadl calibrate"):
        load_sensors(tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_sensors(tmp_path / "b")


def test_with_calibration__what_it_leaves_open__stays_as_it_was():
    darks_only = SensorInfo(
        "GRBG",
        64,
        4095,
        row_noise={100: 2.0},
        fixed_pattern=FixedPattern({100: pattern()}),
    )
    known = SensorInfo("GRBG", 64, 4095, gain={100: 0.3}, read_noise={100: 2.0})
    both = with_calibration(
        SensorTable({"A": known}), SensorTable({"A": darks_only, "C": darks_only})
    )
    assert both.get("A").gain == known.gain
    assert both.get("A").fixed_pattern is darks_only.fixed_pattern
    assert both.names == ("A", "C")
