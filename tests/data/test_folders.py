"""Folders as people keep them become the right pairs, or a sentence says why not."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_folders import make_burst, make_scenes, write_scenes, write_shot
from sklearn.model_selection import GroupKFold
from tiny_fits import BRIEF, search_for, tiny_denoiser

from skadl import load_pairs, read_raw
from skadl.data.folders.bursts import average_burst


@pytest.fixture(scope="module")
def scene():
    """One clean frame and a noisy one."""
    return make_scenes(1)[0]


@pytest.fixture(scope="module")
def clean_frame(scene):
    return replace(scene.clean, iso=100)


def readers(frames):
    return [lambda frame=frame: frame.copy() for frame in frames]


def reasons(loaded):
    return {problem.path.name: problem.reason for problem in loaded.problems}


def test_load_pairs__scene_folders__longer_exposure_is_clean(tmp_path):
    written = write_scenes(tmp_path, 3)
    (tmp_path / "scene0" / "notes.txt").write_text("tripod")
    (tmp_path / "scene0" / "._a.dng").write_bytes(b"of macOS")
    loaded = load_pairs(tmp_path)
    assert len(loaded) == 3 and loaded.problems == ()
    for pair, truth in zip(loaded, written, strict=True):
        np.testing.assert_array_equal(pair.noisy.mosaic, truth.noisy.mosaic)
        np.testing.assert_array_equal(pair.clean.mosaic, truth.clean.mosaic.round())
        assert (pair.sensor, pair.iso, pair.ratio) == (truth.sensor, 1600, 8)
        assert (pair.clean.iso, pair.clean.ratio) == (100, 1)
    assert [pair.scene for pair in loaded] == ["scene0", "scene1", "scene2"]


@pytest.mark.parametrize("iso", [100, 400])
@pytest.mark.parametrize("time", [0.1, 1.0])
@pytest.mark.parametrize("aperture", [4.0, 8.0])
def test_load_pairs__light_factor__brings_the_noisy_frame_to_the_clean_one(
    tmp_path, clean_frame, iso, time, aperture
):
    noisy_light = 1600 * (1 / 128) / 4**2
    ratio = iso * time / aperture**2 / noisy_light
    # Dark enough that a noisy frame of five times the counts is not clipped.
    dark = replace(clean_frame, mosaic=512 + (clean_frame.mosaic - 512) / 6, iso=iso)
    (noisy,) = make_burst(dark, 1, ratio=ratio)
    write_shot(tmp_path / "a.dng", noisy, 1 / 128, 4)
    write_shot(tmp_path / "b.dng", dark, time, aperture)
    (pair,) = load_pairs(tmp_path)
    assert pair.ratio == pytest.approx(ratio, rel=1e-4)
    brightness = pair.noisy.normalised().mean() / pair.clean.normalised().mean()
    assert brightness == pytest.approx(1, abs=0.02 + 0.005 * ratio)


def test_load_pairs__names_and_order__do_not_matter(tmp_path, scene, clean_frame):
    write_shot(tmp_path / "one" / "1.dng", scene.noisy, 1 / 1280)
    write_shot(tmp_path / "one" / "2.dng", clean_frame, 1 / 10)
    write_shot(tmp_path / "two" / "2.dng", scene.noisy, 1 / 1280)
    write_shot(tmp_path / "two" / "1.dng", clean_frame, 1 / 10)
    loaded = load_pairs(tmp_path)
    assert [pair.noisy.path.name for pair in loaded] == ["1.dng", "2.dng"]
    assert [pair.iso for pair in loaded] == [1600, 1600]


def test_load_pairs__many_short_frames__are_cleaner_than_one(tmp_path, clean_frame):
    for index, frame in enumerate(make_burst(clean_frame, 6, iso=1600)):
        write_shot(tmp_path / f"{index}.dng", frame, 1 / 160)
    (single,) = make_burst(clean_frame, 1, iso=3200)
    write_shot(tmp_path / "single.dng", single, 1 / 320)
    (pair,) = load_pairs(tmp_path)
    assert (pair.noisy.path.name, pair.iso, pair.ratio) == ("single.dng", 3200, 1)
    error = pair.clean.normalised() - clean_frame.normalised()
    assert pair.clean.mosaic.dtype == np.uint16
    one = make_burst(clean_frame, 1)[0].normalised() - clean_frame.normalised()
    assert np.var(error) < np.var(one) / 4


def test_load_pairs__burst_alone__truth_holds_no_noise_of_its_frame(
    tmp_path, clean_frame
):
    frames = make_burst(clean_frame, 6)
    for index, frame in enumerate(frames):
        write_shot(tmp_path / f"{index}.dng", frame)
    loaded = load_pairs(tmp_path)  # needs no exposure times
    assert [pair.ratio for pair in loaded] == [1] * 6
    stack = np.stack([frame.mosaic.astype(float) for frame in frames])
    for index, pair in enumerate(loaded):
        others = np.delete(stack, index, axis=0).mean(axis=0)
        mean = pair.clean.mosaic * (clean_frame.white_level / pair.clean.white_level)
        typical = np.median(np.abs(mean - others))
        assert typical < 0.51 * clean_frame.white_level / pair.clean.white_level + 0.01
        noise = pair.noisy.normalised() - clean_frame.normalised()
        truth_noise = pair.clean.normalised() - clean_frame.normalised()
        assert abs(np.corrcoef(noise.ravel(), truth_noise.ravel())[0, 1]) < 0.06


def test_load_pairs__burst__is_read_once_for_all_pairs(
    tmp_path, clean_frame, monkeypatch
):
    for index, frame in enumerate(make_burst(clean_frame, 4)):
        write_shot(tmp_path / f"{index}.dng", frame)
    loaded = load_pairs(tmp_path)
    n_read = []
    monkeypatch.setattr(
        "skadl.data.folders.shots.read_raw",
        lambda *a, **k: n_read.append(1) or read_raw(*a, **k),
    )
    for pair in loaded:
        assert pair.noisy.iso == 1600 and pair.clean.black_level > 0
    assert not n_read  # facts are known, mosaics not needed
    for _ in range(3):
        for pair in loaded:
            pair.clean.mosaic  # noqa: B018
    assert len(n_read) <= 3 * 4 + 3 * 4  # averaged once, then one frame each time


def test_load_pairs__two_folders__names_and_folders_of_frames_match(
    tmp_path, scene, clean_frame
):
    write_shot(tmp_path / "noisy" / "x.dng", scene.noisy, 1 / 1280)
    write_shot(tmp_path / "clean" / "x.dng", clean_frame, 1 / 10)
    for index, frame in enumerate(make_burst(clean_frame, 3, iso=1600)):
        write_shot(tmp_path / "clean" / "y" / f"{index}.dng", frame, 1 / 160)
        write_shot(tmp_path / "noisy" / "y" / f"{index}.dng", frame, 1 / 320)
    write_shot(tmp_path / "noisy" / "z.dng", scene.noisy, 1 / 1280)
    loaded = load_pairs(tmp_path)
    assert [pair.scene for pair in loaded] == ["x", "y", "y", "y"]
    assert [pair.ratio for pair in loaded] == [8, 2, 2, 2]
    assert reasons(loaded) == {"z.dng": "there is no 'z' in the folder clean."}


def test_load_pairs__two_folders_exchanged__is_said(tmp_path, scene, clean_frame):
    write_shot(tmp_path / "short" / "x.dng", clean_frame, 1 / 10)
    write_shot(tmp_path / "long" / "x.dng", scene.noisy, 1 / 1280)
    with pytest.raises(ValueError, match="exchange the two"):
        load_pairs(tmp_path)
    (pair,) = load_pairs(tmp_path, ratio=2)  # whoever says so means it
    assert pair.ratio == 2


def test_load_pairs__noisy_folder_alone__is_said(tmp_path, scene):
    write_shot(tmp_path / "noisy" / "x.dng", scene.noisy, 1)
    with pytest.raises(ValueError, match="need one folder each, side by side"):
        load_pairs(tmp_path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_load_pairs__csv__goes_before_files(tmp_path, scene, clean_frame, delimiter):
    write_shot(tmp_path / "n.dng", scene.noisy)
    write_shot(tmp_path / "c.dng", clean_frame)
    rows = ["noisy,clean,scene,iso,ratio,sensor", "n.dng,c.dng,yard,3200,5,Mine", ",,,"]
    text = "\r\n".join(rows).replace(",", delimiter)
    (tmp_path / "pairs.csv").write_text(text, encoding="utf-8-sig")
    (pair,) = load_pairs(tmp_path, sensor="Other", ratio=7)
    assert (pair.scene, pair.iso, pair.ratio) == ("yard", 3200, 5)
    assert (pair.noisy.sensor, pair.clean.sensor) == ("Mine", "Mine")
    assert pair.clean.iso == 100
    again = load_pairs(tmp_path / "pairs.csv")
    assert [p.scene for p in again] == ["yard"]


def test_load_pairs__json__patterns_and_lists(tmp_path, clean_frame):
    for index, frame in enumerate(make_burst(clean_frame, 5)):
        write_shot(tmp_path / "night" / f"{index}.dng", frame)
    rows = [
        {"noisy": "night/0.dng", "clean": "night/*.dng"},
        {"noisy": "night/1.dng", "clean": ["night/2.dng", "night/3.dng"], "ratio": 1},
    ]
    (tmp_path / "pairs.json").write_text(json.dumps(rows))
    first, second = load_pairs(tmp_path)
    frames = [pair.clean.mosaic for pair in (first, second)]
    files = [read_raw(tmp_path / "night" / f"{i}.dng").mosaic for i in range(5)]
    scale = first.clean.white_level / clean_frame.white_level
    for mean, others in zip(frames, (files[1:], files[2:4]), strict=True):
        expected = scale * np.mean(np.stack(others).astype(float), axis=0)
        assert np.median(np.abs(mean - expected)) <= 0.7
    assert first.scene == "night/*.dng"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "no column 'noisy'"),
        ("noisy,clean\n", "names no pairs"),
        ("noisy,truth\na,b\n", "a column 'truth'"),
        ("noisy\na\n", "no column 'clean'"),
        ("noisy,clean\na,b,c\n", "more cells"),
    ],
)
def test_load_pairs__csv_that_is_no_manifest__is_said(tmp_path, text, hint):
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(ValueError, match=hint):
        load_pairs(tmp_path)


def test_load_pairs__bad_rows__are_listed_and_the_rest_is_used(
    tmp_path, scene, clean_frame
):
    write_shot(tmp_path / "n.dng", scene.noisy, 1 / 1280)
    write_shot(tmp_path / "c.dng", clean_frame, 1 / 10)
    rows = ["noisy,clean,iso", "n.dng,c.dng,", "n.dng,gone.dng,", "n.dng,c.dng,-1"]
    rows += ["n.dng,,", "n.dng,n.dng,"]
    (tmp_path / "pairs.csv").write_text("\n".join(rows))
    loaded = load_pairs(tmp_path)
    assert len(loaded) == 1
    texts = [problem.reason for problem in loaded.problems]
    for text, hint in zip(
        texts,
        (
            "line 3: there is no file 'gone.dng'",
            "line 4: iso must be",
            "line 5: it names no clean",
            "is named as noisy and as clean",
        ),
        strict=True,
    ):
        assert hint in text


@pytest.mark.parametrize("clean", [5, {"a": 1}, [5], True])
def test_load_pairs__json_names_no_file__is_listed(tmp_path, scene, clean):
    write_shot(tmp_path / "n.dng", scene.noisy)
    rows = [{"noisy": "n.dng", "clean": clean}]
    (tmp_path / "pairs.json").write_text(json.dumps(rows))
    with pytest.raises(ValueError, match="entry 1: a frame is a file name or pattern"):
        load_pairs(tmp_path)


def test_load_pairs__bad_files__do_not_stop_the_rest(tmp_path, scene):
    write_scenes(tmp_path, 2)
    (tmp_path / "scene0" / "broken.dng").write_bytes(b"II*\0" + bytes(100))
    good = (tmp_path / "scene1" / "a.dng").read_bytes()
    (tmp_path / "scene1" / "half.dng").write_bytes(good[: len(good) // 2])
    write_shot(tmp_path / "alone" / "x.dng", scene.noisy, 1)
    loaded = load_pairs(tmp_path)
    assert len(loaded) == 2
    found = reasons(loaded)
    assert set(found) == {"broken.dng", "half.dng", "x.dng"}
    assert "the only frame" in found["x.dng"]
    summary = loaded.summary()
    assert "2 pairs found" in summary and "scene0/broken.dng: is damaged" in summary
    assert json.loads(json.dumps(loaded.facts()))["n_pairs"] == 2


def test_load_pairs__other_scene_in_the_folder__is_left_out(tmp_path):
    first, second = make_scenes(2, size=96)
    for index, frame in enumerate(make_burst(first.clean, 5)):
        write_shot(tmp_path / f"{index}.dng", frame, 0.1)
    (stray,) = make_burst(second.clean, 1)
    write_shot(tmp_path / "stray.dng", stray, 0.1)
    loaded = load_pairs(tmp_path)
    assert len(loaded) == 5
    assert list(reasons(loaded)) == ["stray.dng"]
    assert "shows another scene" in reasons(loaded)["stray.dng"]


def test_load_pairs__times_unknown__asks_for_the_light_factor(
    tmp_path, scene, clean_frame
):
    write_shot(tmp_path / "a.dng", scene.noisy)
    write_shot(tmp_path / "b.dng", clean_frame)
    with pytest.raises(ValueError, match="exposure time"):
        load_pairs(tmp_path)
    (pair,) = load_pairs(tmp_path, ratio=8)
    assert (pair.noisy.path.name, pair.ratio) == ("a.dng", 8)


def test_load_pairs__clean_frame_of_no_more_light__is_left_out(tmp_path, clean_frame):
    frames = make_burst(clean_frame, 1, iso=1600) + make_burst(clean_frame, 1, iso=800)
    for name, frame in zip("ab", frames, strict=True):
        write_shot(tmp_path / f"{name}.dng", frame, 0.1)
    with pytest.raises(ValueError, match="longer exposure or more frames"):
        load_pairs(tmp_path)


def test_load_pairs__other_camera_named_as_clean__is_said(tmp_path, scene, clean_frame):
    write_shot(tmp_path / "noisy" / "x.dng", scene.noisy, 1 / 1280)
    other = replace(clean_frame, mosaic=clean_frame.mosaic[:32])
    write_shot(tmp_path / "clean" / "x.dng", other, 0.1)
    with pytest.raises(ValueError, match="64 x 64 pixels.*64 x 32 pixels"):
        load_pairs(tmp_path)


def test_load_pairs__nothing_there__says_what_is_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match="check the name"):
        load_pairs(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"hold no RAW files.*pairs\.csv"):
        load_pairs(tmp_path)
    (tmp_path / "a.dng").write_bytes(b"no DNG")
    with pytest.raises(ValueError, match="found no pairs.*not a RAW file"):
        load_pairs(tmp_path)
    with pytest.raises(ValueError, match="is no manifest"):
        load_pairs(tmp_path / "a.dng")
    with pytest.raises(ValueError, match="iso must be"):
        load_pairs(tmp_path, iso=-1)


def test_load_pairs__verbose__shows_a_bar_on_stderr(tmp_path, capsys):
    write_scenes(tmp_path, 1)
    load_pairs(tmp_path, verbose=1)
    shown = capsys.readouterr()
    assert shown.out == "" and "2/2" in shown.err
    load_pairs(tmp_path)
    assert capsys.readouterr() == ("", "")


def test_loaded_pairs__in_fit_and_in_a_search(tmp_path):
    write_scenes(tmp_path, 4)
    loaded = load_pairs(tmp_path)
    assert tiny_denoiser(**BRIEF).fit(loaded).sensors_.names == (loaded[0].sensor,)
    search = search_for(cv=GroupKFold(2))
    search.fit(loaded, groups=[pair.scene for pair in loaded])
    assert np.isfinite(search.best_score_)


def test_loaded_pairs__pickled__read_the_same(tmp_path, clean_frame):
    for index, frame in enumerate(make_burst(clean_frame, 4)):
        write_shot(tmp_path / f"{index}.dng", frame)
    loaded = load_pairs(tmp_path)
    again = pickle.loads(pickle.dumps(loaded))
    assert again[1:3][0].scene == loaded[1].scene
    np.testing.assert_array_equal(again[2].clean.mosaic, loaded[2].clean.mosaic)


def test_average_burst__outliers__are_removed_and_say_so(clean_frame):
    frames = [frame.mosaic for frame in make_burst(clean_frame, 8)]
    expected = np.mean(np.stack(frames).astype(float), axis=0)
    frames[2][36:40, 28:32] = 16383  # something bright passes, away from edges
    frames[5][40, 40] = 16383
    mean = average_burst(readers(frames), 512, 16383)
    noise = np.std(frames[0] - expected)
    assert np.abs(mean.counts / mean.scale - expected).max() < 2 * noise
    assert {36 * 64 + 28, 39 * 64 + 31} <= set(mean.outliers[2])
    assert 40 * 64 + 40 in mean.outliers[5]
    others = mean.without(5, frames[5]) / mean.scale
    assert abs(others[40, 40] - expected[40, 40]) < 2 * noise


def test_average_burst__stars_that_are_not_held_still__keep_their_light():
    """Rejecting their cores as outliers would make every star of the truth fainter."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :64]
    stars = rng.uniform(12, 52, (6, 2))
    frames = []
    for _ in range(8):
        shift, width = rng.uniform(-1, 1, 2), rng.uniform(1.4, 1.8)
        light = sum(
            4000
            / width**2
            * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * width**2))
            for row, column in stars + shift
        )
        frames.append(rng.normal(900 + light, 30).astype(np.uint16))
    expected = np.mean(np.stack(frames).astype(float), axis=0)
    frames[4][5, 7] += 2000  # a cosmic ray
    mean = average_burst(readers(frames), 445, 65535)
    assert 5 * 64 + 7 in mean.outliers[4]
    kept = mean.counts / mean.scale - expected
    kept[5, 7] = 0
    light = expected.sum() - 900 * expected.size
    assert abs(kept.sum()) < 0.005 * light


def test_average_burst__half_the_frames_differ__none_is_removed():
    rng = np.random.default_rng(0)
    frames = [rng.normal(1000, 5, (32, 32)).astype(np.uint16) for _ in range(6)]
    for frame in frames[:3]:
        frame[:4, :4] += 3000
    mean = average_burst(readers(frames), 512, 16383)
    expected = np.mean(np.stack(frames).astype(float), axis=0)[:4, :4]
    assert np.abs(mean.counts[:4, :4] / mean.scale - expected).max() <= 0.5


def test_average_burst__frame_of_another_scene__is_left_out_as_a_whole():
    rng = np.random.default_rng(0)
    frames = [rng.normal(1000, 5, (32, 32)).astype(np.uint16) for _ in range(6)]
    frames[3] += 500
    mean = average_burst(readers(frames), 512, 16383)
    assert [positions is None for positions in mean.outliers] == [
        index == 3 for index in range(6)
    ]
    np.testing.assert_array_equal(mean.without(3, frames[3]), mean.counts)
    assert abs(mean.counts.mean() / mean.scale - 1000) < 1


@pytest.mark.parametrize("electrons", [0.3, 1, 3, 30])
@pytest.mark.parametrize("read_noise", [1.0, 2.5])
def test_average_burst__few_photons__mean_is_unbiased(electrons, read_noise):
    """Poisson counts are skewed: clipping them wrongly would darken the shadows."""
    gain, black, n_frames = 8.0, 512, 10
    rng = np.random.default_rng(0)
    shape = (n_frames, 300, 300)
    light = rng.poisson(electrons, shape) + rng.normal(0, read_noise, shape)
    frames = np.rint(black + gain * light).clip(0).astype(np.uint16)
    mean = average_burst(readers(frames), black, 16383)
    signal = (mean.counts / mean.scale).mean() - black
    deviation = gain * np.hypot(electrons**0.5, read_noise) / shape[1]
    assert signal == pytest.approx(
        gain * electrons, abs=4 * deviation / n_frames**0.5 + 0.002 * gain * electrons
    )
    plain = np.var(frames.astype(float).mean(axis=0))
    assert np.var(mean.counts / mean.scale) == pytest.approx(plain, rel=0.02)


@given(
    st.integers(2, 6), st.integers(1000, 65535), st.integers(0, 2**16), st.booleans()
)
def test_burst_mean__without_a_frame__is_the_mean_of_the_others(
    n_frames, white, seed, hit
):
    rng = np.random.default_rng(seed)
    frames = rng.normal(white / 3, white / 200, (n_frames, 12, 10)).astype(np.uint16)
    if hit:
        frames[rng.integers(n_frames), rng.integers(12), rng.integers(10)] = white
    mean = average_burst(readers(frames), 0, white)
    kept = np.ones(frames.shape, bool)
    for index, positions in enumerate(mean.outliers):
        kept[index].ravel()[slice(None) if positions is None else positions] = False
    assert kept.any(axis=0).all()
    for index in range(n_frames):
        own = kept.copy()
        own[index] = False
        expected = np.ma.masked_array(frames, ~own).mean(axis=0)
        others = mean.without(index, frames[index]) / mean.scale
        assert np.abs(others - expected).max() <= (0.5 + 0.5 * n_frames) / mean.scale


def test_load_pairs__few_stars_in_a_dark_sky__are_one_scene(tmp_path, clean_frame):
    """All but a few cells of the frame are noise, which agrees with nothing."""
    rng = np.random.default_rng(0)
    sky = np.full((128, 128), 560.0)
    sky[40:44, 60:66] += 4000
    for index in range(6):
        frame = replace(clean_frame, mosaic=rng.normal(sky, 12).round())
        write_shot(tmp_path / f"{index}.dng", frame)
    loaded = load_pairs(tmp_path)
    assert len(loaded) == 6 and not loaded.problems
