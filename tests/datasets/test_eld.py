"""ELD on disk: which reference belongs to which frame, ratios, and what is wrong."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from dataset_files import write_raw

from skadl.datasets import load_eld
from skadl.datasets.eld import nearest_reference

# The table of README.md in Vandermode/ELD, spelt out: ISO and light factor by number.
CAPTURES = {1: (100, None), 6: (100, None), 11: (100, None), 16: (100, None)}
for iso, first in ((800, 2), (1600, 7), (3200, 12)):
    for offset, factor in enumerate((1, 10, 100, 200)):
        CAPTURES[first + offset] = (iso, factor)
REFERENCE_OF = {2: 1, 3: 1, 4: 6, 5: 6, 7: 6, 8: 6, 9: 11, 10: 11}
REFERENCE_OF |= {12: 11, 13: 11, 14: 16, 15: 16}
REFERENCE_SECONDS = 4.0
SUFFIXES = {
    "SonyA7S2": ".ARW",
    "NikonD850": ".nef",
    "CanonEOS70D": ".CR2",
    "CanonEOS700D": ".CR2",
    "CanonEOS5D4": ".CR2",
}


def seconds(number):
    iso, factor = CAPTURES[number]
    return REFERENCE_SECONDS * 100 / iso / (factor or 1)


@pytest.fixture(scope="module")
def raw_files(tmp_path_factory):
    """One RAW file for each number of a scene, as bytes."""
    folder = tmp_path_factory.mktemp("raw")
    return {
        number: write_raw(
            folder / f"{number}", iso=iso, seconds=seconds(number), seed=number
        ).read_bytes()
        for number, (iso, _) in CAPTURES.items()
    }


@pytest.fixture
def write_scene(tmp_path, raw_files):
    """A function that writes the 16 files of a scene."""

    def write(camera="SonyA7S2", scene=1, name="IMG_{:04d}"):
        folder = tmp_path / "ELD" / camera / f"scene-{scene}"
        folder.mkdir(parents=True)
        for number, raw in raw_files.items():
            path = folder / f"{name.format(number)}{SUFFIXES[camera]}"
            path.write_bytes(raw)
        (folder / "IMG_0001.JPG").write_bytes(b"a picture beside")
        return folder

    return write


def numbers(pairs):
    return [(int(p.noisy.path.stem[4:]), int(p.clean.path.stem[4:])) for p in pairs]


# Which frames


def test_nearest_reference__is_the_one_before_for_x1_x10_and_after_for_x100_x200():
    assert {
        number: nearest_reference(number) for number in REFERENCE_OF
    } == REFERENCE_OF


def test_load_eld__default__is_x100_and_x200_with_their_references(
    tmp_path, write_scene
):
    write_scene()
    loaded = load_eld(tmp_path / "ELD", cameras=["SonyA7S2"], scenes=[1])
    expected = [number for number in sorted(REFERENCE_OF) if CAPTURES[number][1] >= 100]
    assert numbers(loaded) == [(n, REFERENCE_OF[n]) for n in expected]
    assert loaded.problems == ()


@pytest.mark.parametrize(
    ("ratio", "frames"),
    [(1, [2, 7, 12]), (10, [3, 8, 13]), (100, [4, 9, 14]), (200, [5, 10, 15])],
)
def test_load_eld__one_ratio__is_three_isos_of_it(tmp_path, write_scene, ratio, frames):
    write_scene()
    loaded = load_eld(tmp_path, cameras=["SonyA7S2"], scenes=[1], ratios=[ratio])
    assert [number for number, _ in numbers(loaded)] == frames
    assert [pair.iso for pair in loaded] == [800, 1600, 3200]
    assert {pair.clean.iso for pair in loaded} == {100}
    assert [pair.ratio for pair in loaded] == pytest.approx([ratio] * 3, rel=1e-6)


def test_load_eld__all_cameras_and_ratios__have_12_frames_a_scene(
    tmp_path, write_scene
):
    for camera in SUFFIXES:
        write_scene(camera)
        write_scene(camera, scene=2)
    loaded = load_eld(
        tmp_path, cameras=list(SUFFIXES), scenes=[2, 1], ratios=[1, 10, 100, 200]
    )
    assert Counter(pair.sensor for pair in loaded) == dict.fromkeys(SUFFIXES, 24)
    assert list(loaded.by_sensor()) == list(SUFFIXES)
    assert Counter(loaded.groups) == {"ELD-scene-1": 60, "ELD-scene-2": 60}
    assert loaded.groups[:12] == ["ELD-scene-1"] * 12


def test_load_eld__the_paper__has_240_pairs_on_four_cameras(tmp_path, write_scene):
    # Each scene has 6; the 5D4 is not in the paper's tables.
    for camera in SUFFIXES:
        write_scene(camera)
    loaded = load_eld(tmp_path)
    assert len(loaded) * 10 == 240
    assert "CanonEOS5D4" not in loaded.by_sensor()
    assert len(loaded.missing) == 36  # nine scenes of each
    assert loaded.missing[-1].path == tmp_path / "ELD/SonyA7S2/scene-10"


# Facts of a pair


def test_load_eld__ratio__is_that_of_exif_and_not_the_nominal_one(
    tmp_path, write_scene
):
    # As Nikon's scene-1, IMG_0012: 200 / 213.33 = 0.9375.
    folder = write_scene("NikonD850")
    write_raw(folder / "IMG_0012.nef", iso=3200, seconds=seconds(12) / 0.9375)
    loaded = load_eld(tmp_path, cameras=["NikonD850"], scenes=[1], ratios=[1])
    assert [pair.ratio for pair in loaded] == pytest.approx([1, 1, 0.9375], rel=1e-3)
    assert loaded.problems == ()


@pytest.mark.parametrize(("levels", "white"), [("file", 16000), ("fixed", 16383)])
def test_load_eld__levels__white_is_fixed_on_request_and_black_is_the_files(
    tmp_path, write_scene, levels, white
):
    write_scene()
    pair = load_eld(tmp_path, cameras=["SonyA7S2"], scenes=[1], levels=levels)[0]
    assert (pair.noisy.white_level, pair.clean.white_level) == (white, white)
    assert (pair.noisy.black_level, pair.clean.black_level) == (500, 500)


@pytest.mark.parametrize("cfa", ["RGGB", "GBRG", "BGGR"])
def test_load_eld__packing__follows_the_pattern_in_the_file(tmp_path, write_scene, cfa):
    folder = write_scene()
    path = write_raw(
        folder / "IMG_0004.ARW", iso=800, seconds=seconds(4), cfa=cfa, seed=4
    )
    noisy = load_eld(tmp_path, cameras=["SonyA7S2"], scenes=[1])[0].noisy
    assert noisy.path == path and noisy.cfa == cfa
    at = divmod(cfa.index("R"), 2)
    np.testing.assert_array_equal(
        noisy.packed()[0], noisy.mosaic[at[0] :: 2, at[1] :: 2]
    )
    negative = noisy.packed() < 500
    assert negative.any() and (noisy.normalised()[negative] < 0).all()  # not clipped


# What is wrong


@pytest.mark.parametrize("extra", [1, 2])
def test_load_eld__17_or_18_files__leave_the_scene_out(tmp_path, write_scene, extra):
    folder = write_scene()
    write_scene(scene=2)
    for number in range(17, 17 + extra):
        (folder / f"IMG_{number:04d}.ARW").write_bytes(b"x")
    loaded = load_eld(tmp_path, cameras=["SonyA7S2"], scenes=[1, 2])
    assert set(loaded.groups) == {"ELD-scene-2"}
    (found,) = loaded.problems
    assert found.path == folder
    assert f"{16 + extra} .arw files instead of 16" in found.reason


def test_load_eld__names_of_the_camera__are_numbered_in_their_order(
    tmp_path, write_scene
):
    write_scene(name="DSC{:05d}")
    loaded = load_eld(tmp_path, cameras=["SonyA7S2"], scenes=[1], ratios=[100])
    assert [p.noisy.path.stem for p in loaded] == ["DSC00004", "DSC00009", "DSC00014"]
    assert [p.clean.path.stem for p in loaded] == ["DSC00006", "DSC00011", "DSC00016"]


def test_load_eld__names_of_the_camera_but_15_files__cannot_be_numbered(
    tmp_path, write_scene
):
    folder = write_scene(name="DSC{:05d}")
    (folder / "DSC00001.ARW").unlink()
    loaded = load_eld(tmp_path, cameras=["SonyA7S2"], scenes=[1])
    assert len(loaded) == 0 and "15 .arw files" in loaded.problems[0].reason


def test_load_eld__files_out_of_order__are_found_by_exif(tmp_path, write_scene):
    folder = write_scene()
    four, five = (folder / f"IMG_{number:04d}.ARW" for number in (4, 5))
    four.rename(folder / "t")
    five.rename(four)
    (folder / "t").rename(five)  # x100 and x200 swapped, at one ISO
    (folder / "IMG_0009.ARW").write_bytes((folder / "IMG_0014.ARW").read_bytes())
    loaded = load_eld(tmp_path, cameras=["SonyA7S2"], scenes=[1])
    assert [number for number, _ in numbers(loaded)] == [10, 14, 15]
    (found,) = loaded.problems
    assert "IMG_0004.ARW has light factor 200 by EXIF" in found.reason
    assert "IMG_0009.ARW and its reference are ISO 3200 and 100" in found.reason


def test_load_eld__missing_files__are_named_scene_by_scene(tmp_path, write_scene):
    folder = write_scene()
    write_scene(scene=2)
    (folder / "IMG_0004.ARW").unlink()
    (folder / "IMG_0011.ARW").unlink()  # the reference of 9 and 10
    (folder / "IMG_0003.ARW").unlink()  # of no ratio that was asked for
    loaded = load_eld(tmp_path, cameras=["SonyA7S2"], scenes=[1, 2])
    (found,) = loaded.missing
    assert found.path == folder
    assert found.reason == "IMG_0004, IMG_0011 missing."
    assert [number for number, _ in numbers(loaded)][:3] == [5, 14, 15]
    assert len(loaded) == 3 + 6


def test_load_eld__empty_and_headless_files__are_unreadable(tmp_path, write_scene):
    folder = write_scene()
    (folder / "IMG_0004.ARW").write_bytes(b"")
    (folder / "IMG_0005.ARW").write_bytes(b"half a header")
    loaded = load_eld(tmp_path, cameras=["SonyA7S2"], scenes=[1])
    (found,) = loaded.problems
    assert loaded.missing == ()
    assert "IMG_0004.ARW is empty" in found.reason
    assert "IMG_0005.ARW has no ISO and time" in found.reason
    assert len(loaded) == 4


def test_load_eld__camera_not_there__is_one_problem(tmp_path, write_scene):
    write_scene()
    loaded = load_eld(tmp_path, cameras=["NikonD850", "SonyA7S2"], scenes=[1])
    assert [found.path.name for found in loaded.missing] == ["NikonD850"]
    assert len(loaded) == 6


def test_load_eld__wrong_folder__says_what_it_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match="SonyA7S2.*skadl datasets"):
        load_eld(tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {"cameras": ["Sony"]},
        {"cameras": "SonyA7S2"},
        {"ratios": [300]},
        {"scenes": [0]},
        {"scenes": []},
        {"levels": "odd"},
    ],
)
def test_load_eld__unknown_option__is_refused(tmp_path, write_scene, options):
    write_scene()
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        load_eld(tmp_path, **options)
