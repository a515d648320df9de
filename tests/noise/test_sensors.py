"""Sensor facts: noise between and beyond the known ISOs, and the table of them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skadl.noise.iso_table import IsoTable
from skadl.noise.sensors import SensorInfo, SensorTable
from skadl.raw.image import RawImage
from skadl.raw.pair import RawPair

positive = st.floats(1e-3, 1e5)
tables = st.dictionaries(st.integers(50, 102400), positive, min_size=1, max_size=5)


def sensor_info(gain, read_noise=None):
    return SensorInfo("RGGB", 64, 1023, gain=gain, read_noise=read_noise or gain)


def pair(sensor="S", iso=100, cfa="RGGB"):
    image = RawImage(np.zeros((2, 2)), cfa, 64, 1023, sensor, iso)
    return RawPair(image, image)


def test_iso_table__is_a_sorted_mapping_that_nobody_changes():
    table = IsoTable("gain", {400: 4, 100.0: 1.0})
    assert table == {100.0: 1.0, 400.0: 4.0} and list(table) == [100.0, 400.0]
    assert repr(table) == "{100.0: 1.0, 400.0: 4.0}"
    assert pickle.loads(pickle.dumps(table)) == table
    with pytest.raises(TypeError):
        table[800] = 8.0


@given(tables, st.floats(20, 2e5))
def test_iso_table__between_and_beyond__stays_within_what_was_given(table, iso):
    figures = IsoTable("gain", table)
    low, high = min(table.values()), max(table.values())
    for value in (figures.at(iso), figures.power_law_at(iso)):
        assert low * (1 - 1e-9) <= value <= high * (1 + 1e-9)


@given(tables)
def test_noise_at__known_iso__is_what_was_given(table):
    info = sensor_info(table)
    for iso, value in table.items():
        gain, read_variance = info.noise_at(iso)
        assert gain == pytest.approx(value)
        assert read_variance == pytest.approx(value**2)


@given(positive, positive, st.floats(0, 1))
def test_noise_at__between_two__is_a_power_law(low, high, share):
    info = sensor_info({100: low, 6400: high})
    gain, _ = info.noise_at(100 * 64**share)
    assert gain == pytest.approx(low ** (1 - share) * high**share)


@given(tables, st.floats(1.01, 16))
def test_noise_at__beyond_the_known__follows_iso_in_proportion(table, factor):
    info = sensor_info(table)
    for edge, iso in ((min(table), min(table) / factor), (max(table),) * 2):
        iso = iso if iso < edge else edge * factor
        gain, read_variance = info.noise_at(iso)
        assert gain == pytest.approx(table[edge] * iso / edge)
        assert read_variance == pytest.approx((table[edge] * iso / edge) ** 2)


def test_noise_at__order_of_the_table__does_not_matter():
    forward, backward = {100: 1.0, 400: 4.0, 1600: 9.0}, {1600: 9.0, 400: 4.0, 100: 1.0}
    for iso in (50, 200, 800, 3200):
        assert sensor_info(forward).noise_at(iso) == sensor_info(backward).noise_at(iso)


@pytest.mark.parametrize("iso", [0, -100, np.nan, np.inf, "high"])
def test_noise_at__bad_iso__is_refused(iso):
    with pytest.raises(ValueError, match="iso must be a positive finite number"):
        sensor_info({100: 1.0}).noise_at(iso)


def test_noise_at__unknown_noise__says_what_to_give():
    info = SensorInfo("RGGB", 64, 1023)
    assert not info.knows_noise
    with pytest.raises(ValueError, match="give SensorInfo gain and read_noise"):
        info.noise_at(100)


@given(
    st.dictionaries(st.integers(50, 102400), st.tuples(*[st.floats(-9, 9)] * 4)),
    st.integers(50, 102400),
)
def test_offset_at__any_table__passes_through_and_stays_within_what_was_given(
    table, iso
):
    info = SensorInfo("RGGB", 64, 1023, black_offset=table or None)
    for known, planes in table.items():
        np.testing.assert_allclose(info.offset_at(known), planes)
    planes = np.array(list(table.values()) or [(0.0,) * 4])
    offset = info.offset_at(iso)
    assert (offset >= planes.min(axis=0) - 1e-9).all()
    assert (offset <= planes.max(axis=0) + 1e-9).all()


@pytest.mark.parametrize("black", [64, (60, 64, 66, 66)])
def test_span__is_white_minus_mean_black__of_sensor_and_image_alike(black):
    assert SensorInfo("RGGB", black, 1064).span == 1000
    assert RawImage(np.zeros((2, 2)), "BGGR", black, 1064, "S", 100).span == 1000


def test_info__measured_tables__survive_a_pickle_and_are_read_only():
    info = SensorInfo(
        "RGGB",
        64,
        1023,
        gain={100: 1.0},
        read_noise={100: 2.0},
        black_offset={400: [1, 2, 3, 4], 100: np.zeros(4)},
        row_noise={100: 0.0},
        gain_error={100: 0.02},
        read_noise_error={100: 0.1},
        notes=["first", "second"],
    )
    assert list(info.black_offset) == [100, 400] and info.notes == ("first", "second")
    copy = pickle.loads(pickle.dumps(info))
    assert copy.__dict__ == info.__dict__
    for table in (copy.black_offset, copy.row_noise, copy.gain_error):
        with pytest.raises(TypeError):
            table[200] = 1.0


def test_info__tables__are_read_only_and_copied():
    given_table = {100: 1.0}
    info = sensor_info(given_table)
    given_table[200] = 5.0
    assert dict(info.gain) == {100: 1.0}
    with pytest.raises(TypeError):
        info.gain[100] = 2.0


def test_info__pickled__knows_the_same_and_stays_read_only():
    info = sensor_info({100: 1.0, 800: 5.0}, {100: 2.0, 800: 7.0})
    copy = pickle.loads(pickle.dumps(info))
    assert copy.noise_at(300) == info.noise_at(300)
    with pytest.raises(TypeError):
        copy.gain[100] = 2.0
    bare = pickle.loads(pickle.dumps(SensorInfo("RGGB", 64, 1023)))
    assert bare.gain is None and bare.white_level == 1023


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (dict(cfa="GRGB"), "is not known; use one of RGGB"),
        (dict(white_level=64), "must lie above black_level"),
        (dict(white_level=np.nan), "must lie above black_level"),
        (dict(gain={100: 1}), "give both or none"),
        (dict(gain={}, read_noise={}), "at least one ISO"),
        (dict(gain=[1], read_noise=[1]), "at least one ISO"),
        (dict(gain={100: 0}, read_noise={100: 1}), "gain at ISO 100"),
        (dict(gain={100: 1}, read_noise={100: np.nan}), "read_noise at ISO 100"),
        (dict(gain={-1: 1}, read_noise={100: 1}), "ISO must be a positive"),
        (dict(black_offset={}), "black_offset must map at least one ISO"),
        (dict(black_offset=(1, 2, 3, 4)), "black_offset must map at least one ISO"),
        (dict(black_offset={100: 3.0}), "black_offset at ISO 100 must be four finite"),
        (dict(black_offset={100: (1, 2, 3)}), "four finite numbers, for R, Gr, Gb"),
        (dict(black_offset={100: (1, 2, 3, np.nan)}), "four finite numbers"),
        (dict(black_offset={100: "RGGB"}), "four finite numbers"),
        (dict(black_offset={0: (1, 2, 3, 4)}), "ISO must be a positive"),
        (dict(row_noise={100: -1.0}), "row_noise at ISO 100 must be a finite number"),
        (dict(row_noise={100: None}), "row_noise at ISO 100 must be a finite number"),
        (dict(gain_error={100: np.inf}), "gain_error at ISO 100 must be a finite"),
    ],
)
def test_info__bad_fact__is_named(facts, message):
    with pytest.raises(ValueError, match=message):
        SensorInfo(**(dict(cfa="RGGB", black_level=64, white_level=1023) | facts))


def test_table__unknown_name__lists_the_known_ones():
    table = SensorTable({"A7S2": sensor_info({1: 1}), "D850": sensor_info({1: 1})})
    with pytest.raises(ValueError, match=r"'IMX600'.*\['A7S2', 'D850'\].*passed to"):
        table.get("IMX600")


def test_table__for_scikit_learn__has_no_length_and_no_index():
    table = SensorTable({"A": sensor_info({1: 1})})
    for name in ("__len__", "__getitem__", "shape", "__array__", "__iter__"):
        assert not hasattr(table, name)


def test_table__updated__leaves_the_first_alone():
    first, second = sensor_info({1: 1}), sensor_info({1: 2})
    table = SensorTable({"A": first})
    changed = table.updated({"A": second, "B": first})
    assert table.get("A") is first and "B" not in table
    assert changed.get("A") is second and changed.names == ("A", "B")


@pytest.mark.parametrize("sensors", [[1], {"A": 1}, {1: SensorInfo("RGGB", 0, 1)}])
def test_table__not_names_to_infos__is_a_type_error(sensors):
    with pytest.raises(TypeError, match="SensorTable"):
        SensorTable(sensors)


def test_table__from_pairs__spans_the_isos_of_each_sensor():
    pairs = [pair("A", 400), pair("B", 100, "BGGR"), pair("A", 100), pair("A", 1600)]
    table = SensorTable.from_pairs(pairs)
    assert table.names == ("A", "B")
    assert table.get("A").iso_range == (100, 1600)
    assert table.get("B").iso_range == (100, 100)
    assert table.get("B").cfa == "BGGR" and table.get("B").white_level == 1023


def test_table__pickled__holds_the_same_sensors():
    table = SensorTable({"A": sensor_info({100: 1.0})})
    copy = pickle.loads(pickle.dumps(table))
    assert copy.names == ("A",)
    assert copy.get("A").noise_at(200) == pytest.approx((2.0, 4.0))
