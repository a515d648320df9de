"""Black levels that vary, copies, and stacks beside their frames."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_folders import make_burst, make_scenes, write_scenes, write_shot

from skadl import RawImage, check_pairs, load_pairs
from skadl.data.folders.masters import find_masters, take_sample

TIME = 1 / 160


@pytest.fixture(scope="module")
def clean_frame():
    return replace(make_scenes(1)[0].clean, iso=1600)


def with_black(frame, black):
    """The same frame from a camera that measures another black level: one or four."""
    shift = np.asarray(black, float) - frame.black_level
    moved = frame.mosaic + np.tile(np.broadcast_to(shift, 4).reshape(2, 2), (32, 32))
    return replace(frame, mosaic=moved, black_level=black)


def reasons(loaded):
    return {problem.path.name: problem.reason for problem in loaded.problems}


def clean_error(pair, clean):
    return pair.clean.normalised() - clean.normalised()


# Black levels


@pytest.mark.parametrize(
    "blacks",
    [
        (512, 513, 512, 511, 512, 513),  # a tag that follows the temperature
        (512, 540, 520, 512, 500, 530),
        # Masked pixels of each colour.
        ((512, 511, 512, 512), (511, 512, 513, 512), 512, 513, 512, 512),
    ],
)
def test_burst__black_level_varies__is_one_burst_above_each_black(
    tmp_path, clean_frame, blacks
):
    frames = make_burst(clean_frame, 6)
    for index, (frame, black) in enumerate(zip(frames, blacks, strict=True)):
        write_shot(tmp_path / f"{index}.dng", with_black(frame, black), TIME)
    loaded = load_pairs(tmp_path)
    assert len(loaded) == 6 and not loaded.problems
    stack = np.stack([frame.packed() - 512.0 for frame in frames])
    for index, pair in enumerate(loaded):
        others = np.delete(stack, index, axis=0).mean(axis=0)
        counts = pair.clean.normalised() * pair.noisy.span
        assert np.median(np.abs(counts - others)) < 0.3
        assert abs((counts - others).mean()) < 0.3  # outliers are left out
        noisy = pair.noisy.normalised() * pair.noisy.span
        np.testing.assert_allclose(noisy, stack[index], atol=0.01)


def test_clean_folder__black_level_varies__all_frames_are_averaged(
    tmp_path, clean_frame
):
    frames = make_burst(clean_frame, 7)
    write_shot(tmp_path / "noisy" / "x.dng", frames[0], TIME)
    for index, frame in enumerate(frames[1:]):
        shot = with_black(frame, 512 + index % 2)
        write_shot(tmp_path / "clean" / "x" / f"{index}.dng", shot, TIME)
    loaded = load_pairs(tmp_path)
    assert len(loaded) == 1 and loaded[0].ratio == 1 and not loaded.problems
    one = np.var(frames[0].normalised() - clean_frame.normalised())
    assert np.var(clean_error(loaded[0], clean_frame)) < one / 4


def test_burst__other_bit_depth__is_another_burst_at_the_same_light(
    tmp_path, clean_frame
):
    for index, frame in enumerate(make_burst(clean_frame, 5)):
        write_shot(tmp_path / f"{index}.dng", frame, TIME)
    (other,) = make_burst(clean_frame, 1, seed=1)
    coarse = replace(
        other,
        mosaic=np.rint(other.mosaic / 4),
        black_level=other.black_level / 4,
        white_level=other.white_level // 4,
    )
    write_shot(tmp_path / "coarse.dng", coarse, TIME)
    loaded = load_pairs(tmp_path)
    assert [pair.noisy.path.name for pair in loaded] == ["coarse.dng"]
    assert loaded[0].ratio == 1
    brightness = [f.normalised().mean() for f in (loaded[0].noisy, loaded[0].clean)]
    assert brightness[0] == pytest.approx(brightness[1], rel=0.02)


# Copies


def test_burst__copies_and_links__count_once(tmp_path, clean_frame):
    for index, frame in enumerate(make_burst(clean_frame, 4)):
        write_shot(tmp_path / f"{index}.dng", frame, TIME)
    shutil.copy(tmp_path / "1.dng", tmp_path / "9.dng")
    os.symlink(tmp_path / "2.dng", tmp_path / "8.dng")
    loaded = load_pairs(tmp_path)
    assert [pair.noisy.path.name for pair in loaded] == [f"{i}.dng" for i in range(4)]
    assert reasons(loaded).keys() == {"8.dng", "9.dng"}
    assert "is a copy of 1.dng" in reasons(loaded)["9.dng"]


def test_burst__copies_alone__are_no_clean_frame(tmp_path, clean_frame):
    (frame,) = make_burst(clean_frame, 1)
    for index in range(5):
        write_shot(tmp_path / f"{index}.dng", frame, TIME)
    with pytest.raises(ValueError, match="is a copy of 0.dng"):
        load_pairs(tmp_path)


@pytest.mark.parametrize("n_copies", [1, 3])
def test_clean_folder__copies_of_the_noisy_frame__are_refused(tmp_path, n_copies):
    for index, pair in enumerate(make_scenes(2)):
        write_shot(tmp_path / "noisy" / f"{index}.dng", pair.noisy, TIME)
        write_shot(tmp_path / "clean" / f"{index}" / "a.dng", pair.clean, TIME)
    shutil.rmtree(tmp_path / "clean" / "0")
    (tmp_path / "clean" / "0").mkdir()
    for index in range(n_copies):
        shutil.copy(tmp_path / "noisy/0.dng", tmp_path / f"clean/0/copy{index}.dng")
    loaded = load_pairs(tmp_path, ratio=8)
    assert [pair.scene for pair in loaded] == ["1"]
    assert "noisy and clean frame are the same" in reasons(loaded)["0.dng"]


def test_clean_folder__holds_the_noisy_frame_too__its_noise_is_taken_out(
    tmp_path, clean_frame
):
    frames = make_burst(clean_frame, 4)
    write_shot(tmp_path / "noisy" / "x.dng", frames[0], TIME)
    for index, frame in enumerate(frames):
        write_shot(tmp_path / "clean" / "x" / f"{index}.dng", frame, TIME)
    (pair,) = load_pairs(tmp_path)
    noise = frames[0].normalised() - clean_frame.normalised()
    rest = clean_error(pair, clean_frame)
    assert abs(np.corrcoef(noise.ravel(), rest.ravel())[0, 1]) < 0.06


# Stacks


def stack_of(frames):
    return frames[0].with_mosaic(np.mean([f.mosaic for f in frames], axis=0))


@pytest.mark.parametrize("name", ["a.dng", "Stacked_x.dng"])
@pytest.mark.parametrize("n_frames", [2, 5])
def test_scene__stack_beside_its_frames__is_the_clean_frame(
    tmp_path, clean_frame, name, n_frames
):
    frames = make_burst(clean_frame, n_frames)
    for index, frame in enumerate(frames):
        write_shot(tmp_path / f"f{index}.dng", frame, TIME)
    more = make_burst(clean_frame, 8, seed=1)
    write_shot(tmp_path / name, stack_of(frames + more), TIME)
    loaded = load_pairs(tmp_path)
    assert [p.noisy.path.name for p in loaded] == [f"f{i}.dng" for i in range(n_frames)]
    assert {p.clean.path.name for p in loaded} == {name}
    assert {p.ratio for p in loaded} == {1.0} and not loaded.problems
    assert name in loaded.notes[0] and "stack" in loaded.summary()
    assert loaded.facts()["notes"] == list(loaded.notes)


def test_two_folders__stack_beside_frames__is_used_alone(tmp_path, clean_frame):
    frames = make_burst(clean_frame, 8)
    stack = stack_of(frames[2:])
    for place, members in (("noisy", frames[:2]), ("clean", frames[2:5])):
        for index, frame in enumerate([*members, stack]):
            write_shot(tmp_path / place / "x" / f"{index}.dng", frame, TIME)
    loaded = load_pairs(tmp_path)
    assert [p.noisy.path.name for p in loaded] == ["0.dng", "1.dng"]
    assert {p.clean.path.name for p in loaded} == {"3.dng"}
    assert "it is no noisy frame" in reasons(loaded)["2.dng"]


def test_scene__longer_exposure_beside_a_stack__what_got_more_light_is_clean(
    tmp_path, clean_frame
):
    frames = make_burst(clean_frame, 3, iso=1600)
    for index, frame in enumerate([*frames, stack_of(frames)]):
        write_shot(tmp_path / f"{index}.dng", frame, TIME)
    write_shot(tmp_path / "long.dng", replace(clean_frame, iso=100), 16 * TIME)
    loaded = load_pairs(tmp_path)
    assert [p.noisy.path.name for p in loaded] == ["0.dng", "1.dng", "2.dng"]
    assert {p.clean.path.name for p in loaded} == {"long.dng"}


def exposures(n_frames, detail, noise, drift, seed):
    """Frames of one scene whose light changes by `drift` from one to the next."""
    rng = np.random.default_rng(seed)
    rows = np.mgrid[:96, :96][0]
    scene = 2500 + detail * rng.standard_normal((96, 96)) + 400 * np.sin(rows / 20)
    light = 1 + drift * np.arange(n_frames)[:, None, None]
    return np.rint(512 + light * scene + rng.normal(0, noise, (n_frames, 96, 96)))


def sample(mosaic):
    return take_sample(RawImage(mosaic, "RGGB", 512, 16383, "cam", 100))


@given(
    st.integers(2, 9),
    st.sampled_from([0, 20, 200]),
    st.sampled_from([1, 5, 30]),
    st.sampled_from([0, 0.002, 0.01]),
    st.integers(0, 99),
)
def test_find_masters__only_the_stack(n_frames, detail, noise, drift, seed):
    frames = exposures(n_frames, detail, noise, drift, seed)
    samples = [sample(frame) for frame in frames]
    names = ["meadow", "haystack", "x_mean", *map(str, range(9))]
    assert find_masters(samples, ["f"] * n_frames) == []
    assert find_masters(samples, names[:n_frames]) == []
    stack = exposures(9, detail, noise, 0, seed).mean(axis=0)
    assert find_masters([*samples, sample(stack)], ["f"] * (n_frames + 1)) == [n_frames]


@pytest.mark.parametrize("name, is_found", [("master_x", True), ("f", False)])
def test_find_masters__mean_of_two__needs_its_name(name, is_found):
    frames = exposures(5, 20, 10, 0, 0)
    samples = [sample(frame) for frame in (*frames[:3], frames[3:].mean(axis=0))]
    assert find_masters(samples, ["a", "b", "c", name]) == [3] * is_found


# Links and tables


def test_load_pairs__linked_scenes__are_followed_once_and_circles_end(tmp_path):
    write_scenes(tmp_path / "disk", 2)
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("scene0", "scene1"):
        os.symlink(tmp_path / "disk" / name, folder / name)
    os.symlink(tmp_path / "disk" / "scene1", folder / "scene1_again")
    os.symlink(tmp_path / "disk", tmp_path / "disk" / "scene0" / "round")
    os.symlink(tmp_path, folder / "up")
    os.symlink("gone.dng", folder / "lost.dng")
    loaded = load_pairs(folder)
    assert [pair.scene for pair in loaded] == ["scene0", "scene1"]
    assert reasons(loaded).keys() == {"up", "round", "lost.dng"}
    assert "a folder that holds it" in reasons(loaded)["up"]
    assert "not there" in reasons(loaded)["lost.dng"]


def test_load_pairs__linked_role_folders_and_files__are_read(tmp_path):
    (pair,) = make_scenes(1)
    write_shot(tmp_path / "disk" / "n.dng", pair.noisy, 1 / 1280)
    write_shot(tmp_path / "disk" / "c" / "x.dng", replace(pair.clean, iso=100), 0.1)
    (tmp_path / "data" / "noisy").mkdir(parents=True)
    os.symlink(tmp_path / "disk" / "n.dng", tmp_path / "data" / "noisy" / "x.dng")
    os.symlink(tmp_path / "disk" / "c", tmp_path / "data" / "clean")
    assert [p.ratio for p in load_pairs(tmp_path / "data")] == [8]


TABLE = "noisy;clean;iso;ratio;;\r\nnight\\n.dng;night\\c.dng;3200;2,5;;\r\n"


@pytest.mark.parametrize(
    "content",
    [
        TABLE.encode("utf-8-sig"),
        ("sep=;\r\n" + TABLE).encode(),
        TABLE.replace("\r\n", "\r").encode(),
        TABLE.replace(";", "\t").encode("utf-16"),
        b"\xfe\xff" + TABLE.encode("utf-16-be"),
        TABLE.replace("2,5", "2.5").replace(";", ",").encode(),
    ],
    ids=["BOM", "sep=", "old Mac", "Unicode text", "big-endian", "commas"],
)
def test_load_pairs__table_of_a_spreadsheet__is_read(tmp_path, content):
    (pair,) = make_scenes(1)
    write_shot(tmp_path / "night" / "n.dng", pair.noisy)
    write_shot(tmp_path / "night" / "c.dng", pair.clean)
    (tmp_path / "PAIRS.CSV").write_bytes(content)
    (found,) = load_pairs(tmp_path)
    assert (found.iso, found.ratio) == (3200, 2.5)


@pytest.mark.parametrize(
    "name, content, hint",
    [
        ("pairs.csv", "noisy,clean\nä,b\n".encode("cp1252"), "line 2 is not in UTF-8"),
        ("pairs.csv", "noisy,clean\na,b\n".encode("utf-16-le"), "zero bytes"),
        ("pairs.csv", b"noisy,clean\nC:\\a.dng,b\n", "path of Windows"),
        ("pairs.csv", b"noisy;clean;iso\na;b;1.600,0\n", "iso must be"),
        ("pairs.xlsx", b"PK\3\4", "save it in your spreadsheet as pairs.csv"),
    ],
)
def test_load_pairs__table_that_cannot_be_read__says_its_own_reason(
    tmp_path, name, content, hint
):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=hint):
        load_pairs(tmp_path)
    with pytest.raises(ValueError, match=hint):
        load_pairs(tmp_path / name)


def test_check_pairs__burst_with_varying_black__is_good(tmp_path, clean_frame):
    for index, frame in enumerate(make_burst(clean_frame, 5)):
        write_shot(tmp_path / f"{index}.dng", with_black(frame, 510 + index), TIME)
    assert check_pairs(load_pairs(tmp_path)).bad == ()
