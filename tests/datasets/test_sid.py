"""SID on disk: names, lists, splits, ratios, levels, and what is missing."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_files import counts, write_raw

from skadl import RawImage, write_dng
from skadl.datasets import Missing, load_sid
from skadl.datasets.sid import HALVES, INDOOR_SCENES, MISALIGNED

# Scene, long exposure, short exposures with the length of their bursts.
SCENES = {
    "00001": ("10", {"0.04": 2, "0.1": 3}),
    "00002": ("30", {"0.1": 2}),
    "10034": ("10", {"0.1": 2}),
    "10045": ("10", {"0.1": 1}),
    "10172": ("30", {"0.1": 1}),
    "10185": ("10", {"0.033": 2, "0.04": 2, "0.1": 2}),
    "10199": ("10", {"0.04": 1}),
    "20188": ("10", {"0.033": 1, "0.04": 1, "0.1": 1}),
    "20210": ("10", {"0.1": 2}),
}
SPLIT_OF = {"0": "train", "1": "test", "2": "val"}
ISO = 640


def short_names(scene):
    times = SCENES[scene][1]
    return [f"{scene}_{i:02d}_{t}s.ARW" for t, n in times.items() for i in range(n)]


def write_lists(folder, iso=ISO):
    """The authors' lists, row by row as in their repository."""
    rows = {split: [] for split in SPLIT_OF.values()}
    for scene, (long, _) in SCENES.items():
        for short in short_names(scene):
            paths = f"./Sony/short/{short} ./Sony/long/{scene}_00_{long}s.ARW"
            rows[SPLIT_OF[scene[0]]].append(f"{paths} ISO{iso} F8\n")
    for split, lines in rows.items():
        (folder / f"Sony_{split}_list.txt").write_text("".join(lines))


@pytest.fixture
def root(tmp_path):
    """SID in small: every short and long frame of SCENES."""
    raw = write_raw(tmp_path / "raw", iso=ISO).read_bytes()
    for scene, (long, _) in SCENES.items():
        for path in [
            *(tmp_path / "Sony/short" / name for name in short_names(scene)),
            tmp_path / "Sony/long" / f"{scene}_00_{long}s.ARW",
        ]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw)
    return tmp_path


def names(loaded):
    return [pair.noisy.path.name for pair in loaded]


# Splits and exclusions


@pytest.mark.parametrize(
    ("split", "scenes"),
    [
        ("train", ["00001", "00002"]),
        ("val", ["20188", "20210"]),
        ("test", ["10185", "10199"]),
        ("eval", ["10185", "10199", "20188", "20210"]),
        ("indoor", ["10185", "20188", "20210"]),
    ],
)
@pytest.mark.parametrize("with_lists", [False, True])
def test_load_sid__split__is_the_first_digit_of_the_name(
    root, split, scenes, with_lists
):
    if with_lists:
        write_lists(root)
    loaded = load_sid(root, split=split)
    assert names(loaded) == sorted(names(loaded), key=by_scene_time_burst)
    assert set(loaded.groups) == {f"SID-{scene}" for scene in scenes}
    assert len(loaded) == sum(sum(SCENES[s][1].values()) for s in scenes)


def by_scene_time_burst(name):
    scene, burst, seconds = name.removesuffix("s.ARW").split("_")
    return scene, float(seconds), int(burst)


def test_load_sid__misaligned_scenes__are_left_out_unless_asked_for(root):
    assert MISALIGNED == {"10034", "10045", "10172"}
    groups = load_sid(root, split="test", exclude_misaligned=False).groups
    kept = load_sid(root, split="test").groups
    assert set(groups) - set(kept) == {f"SID-{scene}" for scene in MISALIGNED}


def test_load_sid__first_of_burst__is_number_00_at_each_ratio(root):
    loaded = load_sid(root, split="indoor", burst="first")
    assert all(name[6:8] == "00" for name in names(loaded))
    ratios = {}
    for pair in loaded:
        ratios.setdefault(pair.scene, []).append(pair.ratio)
    assert ratios["SID-10185"] == ratios["SID-20188"] == [300, 250, 100]


def test_indoor_scenes__are_those_of_45_pairs_at_three_ratios():
    assert len(INDOOR_SCENES) == 15  # and 3 ratios: 45 pairs
    assert sum(scene[0] == "2" for scene in INDOOR_SCENES) == 5
    assert INDOOR_SCENES.isdisjoint(MISALIGNED)


def test_published_numbers_of_pairs():
    assert HALVES["Sony"].n_pairs == {"train": 1865, "val": 234, "test": 598}
    assert sum(HALVES["Fuji"].n_pairs.values()) == 2397


# Facts of a pair


def test_load_sid__ratio__is_that_of_the_times_but_300_at_most(root):
    loaded = load_sid(root, split="eval")
    by_time = {
        name.split("_")[2]: pair.ratio
        for name, pair in zip(names(loaded), loaded, strict=True)
    }
    assert by_time == {"0.033s.ARW": 300, "0.04s.ARW": 250, "0.1s.ARW": 100}
    thirty = [pair.ratio for pair in load_sid(root) if pair.scene == "SID-00002"]
    assert thirty == [300, 300]


def test_load_sid__all_short_frames_of_a_scene__share_its_long_one(root):
    for pair in load_sid(root, split="eval"):
        scene = pair.scene.removeprefix("SID-")
        assert pair.clean.path.name == f"{scene}_00_{SCENES[scene][0]}s.ARW"
        assert pair.clean.ratio == 1


@pytest.mark.parametrize("with_lists", [False, True])
def test_load_sid__iso__is_that_of_the_list_or_of_the_long_frame(root, with_lists):
    if with_lists:
        write_lists(root, iso=6400)
    expected = 6400 if with_lists else ISO
    loaded = load_sid(root, split="val")
    assert {(p.noisy.iso, p.clean.iso) for p in loaded} == {(expected, expected)}


def test_load_sid__sensor__is_the_name_that_eld_has_for_it_too(root):
    assert list(load_sid(root).by_sensor()) == ["SonyA7S2"]


@pytest.mark.parametrize(("levels", "black"), [("file", 500), ("fixed", 512)])
def test_load_sid__levels__are_the_files_or_the_fields(root, levels, black):
    noisy = load_sid(root, levels=levels)[0].noisy
    assert noisy.black_level == black
    assert noisy.white_level == (16000 if levels == "file" else 16383)


def test_load_sid__normalised__follows_the_field_but_does_not_clip(root):
    pair = load_sid(root, levels="fixed")[0]
    mosaic = counts().astype(float)
    planes = [mosaic[y::2, x::2] for y, x in ((0, 0), (0, 1), (1, 0), (1, 1))]
    expected = pair.ratio * (np.stack(planes) - 512) / (16383 - 512)
    np.testing.assert_allclose(pair.noisy.normalised(), expected, rtol=1e-5, atol=1e-5)
    assert expected.min() < 0 and expected.max() > 1


def test_load_sid__is_lazy__a_frame_is_read_when_it_is_asked_for(root):
    write_lists(root)
    pair = load_sid(root)[0]
    assert (pair.sensor, pair.iso, pair.ratio) == ("SonyA7S2", ISO, 250)
    pair.noisy.path.write_bytes(b"no RAW file")
    with pytest.raises(ValueError, match="damaged, incomplete or not a RAW file"):
        pair.noisy.mosaic  # noqa: B018


def test_load_sid__root__may_be_the_folder_sony_itself(root):
    assert names(load_sid(root / "Sony")) == names(load_sid(root))


# What is missing


def test_load_sid__with_lists__names_every_missing_file_scene_by_scene(root):
    write_lists(root)
    assert load_sid(root, split="eval").problems == ()
    (root / "Sony/short/10185_01_0.04s.ARW").unlink()
    (root / "Sony/short/10185_00_0.1s.ARW").unlink()
    (root / "Sony/long/20210_00_10s.ARW").unlink()
    loaded = load_sid(root, split="eval")
    assert [found.path.name for found in loaded.missing] == [
        "10185_00_10s.ARW",
        "20210_00_10s.ARW",
    ]
    first, second = (found.reason for found in loaded.missing)
    assert first == (
        "Short frames: 10185_01_0.04s.ARW is missing. 10185_00_0.1s.ARW is missing."
    )
    assert second == "20210_00_10s.ARW is missing. It is the long frame of 2 pairs."
    assert "left out: long/20210_00_10s.ARW: is missing." in loaded.summary()
    assert "SID-20210" not in loaded.groups and len(loaded) == 4 + 1 + 3


def test_load_sid__without_lists__tells_lone_frames_and_the_number_of_pairs(root):
    (root / "Sony/long/00001_00_10s.ARW").unlink()
    (root / "Sony/short/00002_00_0.1s.ARW").unlink()
    (root / "Sony/short/00002_01_0.1s.ARW").unlink()
    loaded = load_sid(root)
    assert len(loaded) == 0
    assert [found.path.name for found in loaded.problems] == [
        "00001_00_0.04s.ARW",
        "00002_00_30s.ARW",
        "Sony",
    ]
    assert "no long frame" in loaded.problems[0].reason
    assert "no short frames" in loaded.problems[1].reason
    assert "0 of the 1865 pairs" in loaded.problems[2].reason
    assert "Sony_train_list.txt" in loaded.problems[2].reason


def test_load_sid__empty_file__is_unreadable_and_the_rest_stays(root):
    write_lists(root)
    (root / "Sony/short/00001_00_0.1s.ARW").write_bytes(b"")
    loaded = load_sid(root)
    (found,) = loaded.problems
    assert "00001_00_0.1s.ARW is empty" in found.reason
    assert loaded.missing == () and len(loaded) == 6


def test_load_sid__long_frame_without_iso__is_a_problem_of_its_scene(root):
    (root / "Sony/long/00001_00_10s.ARW").write_bytes(b"cut off in its header")
    loaded = load_sid(root)
    (found,) = (f for f in loaded.problems if not isinstance(f, Missing))
    assert found.path.name == "00001_00_10s.ARW"
    assert "does not say its ISO" in found.reason
    assert set(loaded.groups) == {"SID-00002"}


def test_load_sid__other_files_between__are_passed_over(root):
    before = names(load_sid(root))
    (root / "Sony/short/Thumbs.db").write_bytes(b"x")
    (root / "Sony/short/00001_00_0.1s.ARW.part").write_bytes(b"x")
    assert names(load_sid(root)) == before


@pytest.mark.parametrize(
    "row",
    [
        "./Sony/short/00001_00_0.04s.ARW",
        "./Sony/short/00001_00_0.04s.ARW ./Sony/long/00002_00_10s.ARW ISO200 F8",
        "a.ARW b.ARW ISO200 F8",
    ],
)
def test_load_sid__damaged_list__is_refused_with_its_line(root, row):
    write_lists(root)
    path = root / "Sony_train_list.txt"
    path.write_text(path.read_text() + row)
    with pytest.raises(ValueError, match=r"Sony_train_list.txt, line 8 is '"):
        load_sid(root)


@pytest.fixture
def fuji(tmp_path):
    """Two scenes of the other camera; their frames are DNGs under its names."""
    mosaic = np.random.default_rng(0).integers(1100, 9000, (36, 48), np.uint16)
    image = RawImage(mosaic, "XTRANS-GBG", 1020, 16000, "FUJIFILM X-T2", ISO)
    raw = write_dng(tmp_path / "x.dng", image).read_bytes()
    for name in (
        "short/00001_00_0.1s.RAF",
        "short/00001_01_0.033s.RAF",
        "long/00001_00_10s.RAF",
        "short/10019_00_0.1s.RAF",
        "long/10019_00_10s.RAF",
    ):
        path = tmp_path / "Fuji" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    return tmp_path


def test_load_sid__fuji__gives_x_trans_pairs_of_its_own_scenes(fuji):
    loaded = load_sid(fuji, camera="Fuji", levels="fixed")
    assert names(loaded) == ["00001_01_0.033s.RAF", "00001_00_0.1s.RAF"]
    assert [pair.ratio for pair in loaded] == [300, 100]
    assert set(loaded.groups) == {"SID-Fuji-00001"}
    noisy = loaded[0].noisy
    assert (noisy.cfa, noisy.sensor) == ("XTRANS-GBG", "FujiXT2")
    assert (noisy.black_level, noisy.white_level) == (1024, 16383)
    assert "2 of the 1655 pairs" in str(loaded.problems[0])
    with pytest.raises(ValueError, match="split of Fuji"):
        load_sid(fuji, camera="Fuji", split="indoor")


def test_load_sid__wrong_folder__says_what_it_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match="skadl datasets"):
        load_sid(tmp_path)


@pytest.mark.parametrize("option", ["split", "burst", "levels"])
def test_load_sid__unknown_option__names_the_known_ones(root, option):
    with pytest.raises(ValueError, match=f"{option} must be among"):
        load_sid(root, **{option: "odd"})
