"""Opcode lists moved to a part of their image correct it as they did the whole."""

import struct

import numpy as np
import pytest
from dng_files import apply_gain_maps, gain_map, opcode_list, split_opcodes
from hypothesis import given
from hypothesis import strategies as st

from skadl.raw.active_area import Window
from skadl.raw.opcodes import move_opcodes

WHOLE = Window(40, 60, 0, 0, 40, 60)
PART = Window(40, 60, 5, 8, 30, 48)


def find_nothing(count):
    return np.empty((0, 2), int)


def move(number, data, window=PART, find_count=find_nothing):
    """The parameters of a lone opcode after its list was moved."""
    content, left_out = move_opcodes(opcode_list((number, data)), window, find_count)
    assert not left_out
    if not content:
        return None
    [(moved_number, moved)] = split_opcodes(content)
    assert moved_number == number
    return moved


def area(top=0, left=0, bottom=40, right=60, pitch=(1, 1)):
    return struct.pack(">8I", top, left, bottom, right, 0, 1, *pitch)


windows = st.builds(
    lambda top, left, height, width: Window(40, 60, top, left, height, width),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(8, 31),
    st.integers(8, 51),
)


@given(
    window=windows,
    origin=st.tuples(*[st.floats(-0.2, 0.2)] * 2),
    start=st.tuples(*[st.integers(0, 12)] * 2),
    pitch=st.tuples(*[st.integers(1, 3)] * 2),
    seed=st.integers(0, 999),
)
def test_gain_map__part__multiplies_as_in_the_whole(window, origin, start, pitch, seed):
    gains = np.random.default_rng(seed).uniform(1, 4, (4, 5))
    data = gain_map((*start, 38, 57), gains, origin=origin, pitch=pitch)
    before = apply_gain_maps(opcode_list((9, data)), (40, 60))
    rows = slice(window.top, window.top + window.height)
    columns = slice(window.left, window.left + window.width)
    content, left_out = move_opcodes(opcode_list((9, data)), window, find_nothing)
    after = np.ones((window.height, window.width))
    if content:
        after = apply_gain_maps(content, after.shape)
    assert not left_out
    np.testing.assert_allclose(after, before[rows, columns], rtol=1e-6)


def distort(kind, data, points, height, width):
    """Where WarpRectilinear takes pixels from, as the DNG specification says."""
    _, *terms = struct.unpack(">I8d", data)
    (*radial, t0, t1), (x, y) = terms[:6], terms[6:]
    centre = np.array([x * width, y * height])
    corner = np.maximum(centre, [width, height] - centre)
    unit = np.hypot(*corner)
    dx, dy = ((points - centre) / unit).T
    r2 = dx**2 + dy**2
    f = sum(k * r2**i for i, k in enumerate(radial))
    moved = np.stack(
        [
            f * dx + t0 * 2 * dx * dy + t1 * (r2 + 2 * dx**2),
            f * dy + t1 * 2 * dx * dy + t0 * (r2 + 2 * dy**2),
        ],
        axis=1,
    )
    return centre + unit * moved


@given(window=windows, seed=st.integers(0, 999))
def test_warp__part__takes_pixels_from_where_the_whole_did(window, seed):
    rng = np.random.default_rng(seed)
    terms = [1.0, *rng.uniform(-0.1, 0.1, 3), *rng.uniform(-0.01, 0.01, 2), 0.45, 0.55]
    data = struct.pack(">I8d", 1, *terms)
    points = rng.uniform((12, 10), (24, 16), (9, 2))
    before = distort(1, data, points, 40, 60)
    start = np.array([window.left, window.top])
    moved = move(1, data, window)
    centre = np.array(struct.unpack(">I8d", moved)[-2:])
    if ((centre > 0) & (centre < 1)).all():  # no list can say a centre outside
        after = distort(1, moved, points - start, window.height, window.width)
        np.testing.assert_allclose(after + start, before, atol=1e-9)


@given(window=windows, seed=st.integers(0, 999))
def test_vignette__part__brightens_as_the_whole_did(window, seed):
    rng = np.random.default_rng(seed)
    data = struct.pack(">7d", *rng.uniform(-0.5, 0.5, 5), 0.4, 0.5)

    def gain(data, points, height, width):
        *factors, x, y = struct.unpack(">7d", data)
        centre = np.array([x * width, y * height])
        unit = np.hypot(*np.maximum(centre, [width, height] - centre))
        r2 = ((points - centre) ** 2).sum(axis=1) / unit**2
        return 1 + sum(k * r2 ** (i + 1) for i, k in enumerate(factors))

    points = rng.uniform((12, 10), (24, 16), (9, 2))
    moved = move(3, data, window)
    if (
        0 < struct.unpack(">7d", moved)[-2] < 1
        and 0 < struct.unpack(">7d", moved)[-1] < 1
    ):
        start = np.array([window.left, window.top])
        after = gain(moved, points - start, window.height, window.width)
        np.testing.assert_allclose(after, gain(data, points, 40, 60), rtol=1e-9)


@pytest.mark.parametrize("number", [10, 12])
def test_per_row__part__keeps_the_numbers_of_its_rows(number):
    values = np.arange(20, dtype=">f4")  # of rows 1, 3, 5 ... 39
    data = area(top=1, pitch=(2, 1)) + struct.pack(">I", 20) + values.tobytes()
    moved = move(number, data)
    # The part begins at row 5, which is its row 0 and has the third number.
    assert struct.unpack_from(">4I", moved) == (0, 0, 30, 48)
    count = struct.unpack_from(">I", moved, 32)[0]
    assert np.frombuffer(moved, ">f4", offset=36).tolist() == [*range(2, 2 + count)]
    assert count == 15


def test_per_column__counts_multiplied__deltas_are_too():
    values = np.arange(60, dtype=">f4")
    data = area() + struct.pack(">I", 60) + values.tobytes()
    scaled = Window(40, 60, 0, 0, 40, 60, scale=4)
    assert np.frombuffer(move(11, data, scaled), ">f4", offset=36)[7] == 28
    assert np.frombuffer(move(13, data, scaled), ">f4", offset=36)[7] == 7


def test_table_and_polynomial__counts_multiplied__map_as_before():
    scaled = Window(40, 60, 0, 0, 40, 60, scale=4)
    table = np.minimum(np.arange(4096) * 2, 5000).astype(">u2")
    data = area() + struct.pack(">I", 4096) + table.tobytes()
    moved = np.frombuffer(move(7, data, scaled), ">u2", offset=36)
    assert moved[4 * 1000] == 4 * 2000 and moved[4 * 3000] == 4 * 5000
    data = area() + struct.pack(">I3d", 2, 0.01, 1.5, -0.5)
    c0, c1, c2 = struct.unpack_from(">3d", move(8, data, scaled), 36)
    x = 0.2
    assert c0 + c1 * 4 * x + c2 * (4 * x) ** 2 == pytest.approx(
        4 * (0.01 + 1.5 * x - 0.5 * x**2)
    )


def test_bad_pixels__part__are_the_same_photosites():
    points = [(4, 9), (5, 8), (34, 55), (35, 56)]  # first and last lie outside
    areas = [(0, 0, 7, 10), (0, 0, 5, 60)]
    data = struct.pack(">3I", 0, 4, 2)
    data += b"".join(struct.pack(">2I", *point) for point in points)
    data += b"".join(struct.pack(">4I", *corners) for corners in areas)
    numbers = struct.unpack(">3I4I4I", move(5, data))
    # An odd row is cut off, so the pattern begins at the green of the blue row.
    assert numbers == (2, 2, 1, 0, 0, 29, 47, 0, 0, 2, 2)


def test_bad_pixels_by_their_count__are_named_since_the_count_is_gone():
    data = struct.pack(">2I", 65535, 3)

    def find(count):
        assert count == 65535
        return np.array([(1, 2), (3, 4)])

    for window in (WHOLE, PART):
        content, left_out = move_opcodes(opcode_list((4, data)), window, find)
        phase = 3 if window is WHOLE else 1
        expected = struct.pack(">7I", phase, 2, 0, 1, 2, 3, 4)
        assert (split_opcodes(content), left_out) == ([(5, expected)], [])


def test_bounds__part__are_cut_to_it():
    assert struct.unpack(">4I", move(6, struct.pack(">4I", 2, 10, 30, 60))) == (
        0,
        2,
        25,
        48,
    )


def test_whole_image__list_stays_byte_for_byte():
    unknown = opcode_list(
        (77, b"what?"), (9, gain_map((0, 0, 40, 60), np.ones((2, 2))))
    )
    assert move_opcodes(unknown, WHOLE, find_nothing) == (unknown, [])


def test_part__opcode_outside_goes_and_unknown_is_named():
    outside = (9, gain_map((0, 0, 4, 60), np.ones((2, 2))))
    content = opcode_list(outside, (77, b"what?"), (6, struct.pack(">4I", 0, 0, 1, 1)))
    assert move_opcodes(content, PART, find_nothing) == (
        b"",
        ["number 77", "TrimBounds"],
    )


@pytest.mark.parametrize("seed", range(60))
def test_damaged_list__is_kept_in_part_or_left_out(seed):
    rng = np.random.default_rng(seed)
    content = bytearray(
        opcode_list(
            (9, gain_map((0, 0, 40, 60), np.ones((3, 3)))),
            (1, struct.pack(">I8d", 1, 1, 0, 0, 0, 0, 0, 0.5, 0.5)),
            (5, struct.pack(">5I", 0, 1, 0, 9, 9)),
            (12, area() + struct.pack(">I", 40) + bytes(160)),
        )
    )
    for at in rng.integers(len(content), size=1 + seed // 10):
        content[at] = rng.integers(256)
    moved, left_out = move_opcodes(bytes(content), PART, find_nothing)
    assert moved or left_out
    if moved:
        split_opcodes(moved)


@pytest.mark.parametrize("number", [np.nan, np.inf, 3e38])
def test_numbers_that_no_program_corrects_by__are_left_out_by_name(number):
    times_16 = Window(40, 60, 5, 8, 30, 48, 16)
    wide = struct.pack(">8d", *[float(number)] * 6, 0.5, 0.5)
    content = opcode_list(
        (10, area() + struct.pack(">I", 40) + struct.pack(">40f", *[number] * 40)),
        (8, area() + struct.pack(">I2d", 1, 0.0, float(number) * 1e270)),
        (1, struct.pack(">I", 1) + wide),
    )
    moved, left_out = move_opcodes(content, times_16, find_nothing)
    assert "DeltaPerRow" in left_out and "MapPolynomial" in left_out
    if np.isfinite(number):  # so large a distortion is a number all the same
        assert left_out == ["DeltaPerRow", "MapPolynomial"] and moved
    else:
        assert left_out[-1] == "WarpRectilinear" and not moved
