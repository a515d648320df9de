"""The capture plan: numbers of frames against simulation, gaps against planted ones."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from skadl import RawImage, RawPair, SensorInfo, write_dng
from skadl.commands import main as cli
from skadl.data.capture.recommend import recommend_captures
from skadl.datasets import camera_info, make_domain

CAMERAS = ("SonyA7S2", "CanonEOS70D", "Pixel4a")


def settings_of(plan):
    return {(s.iso, s.ratio): s for s in plan.settings}


def kinds(plan):
    return [gap.kind for gap in plan.gaps]


def messages(plan):
    return " ".join(gap.message for gap in plan.gaps)


def simulated_margin(info, iso, clean_iso, ratio, n_frames, level, rng):
    """Measure by how many dB a mean of frames is better, with simulated frames."""

    def frame(at, light):
        gain, read = info.noise_at(at)
        electrons = rng.poisson(level * info.span * light / gain, 40_000)
        return (gain * electrons + rng.normal(0, read**0.5, 40_000)) / light

    truth = level * info.span
    noisy = frame(iso, 1 / ratio)
    same = clean_iso is None
    frames = [
        frame(iso if same else clean_iso, 1 / ratio if same else 1)
        for _ in range(n_frames)
    ]
    clean = np.mean(frames, axis=0)
    return 10 * np.log10(np.mean((noisy - truth) ** 2) / np.mean((clean - truth) ** 2))


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("ratio", [1.0, 2.5, 30.0])
def test_frames__each_way__reach_ten_db_from_black_to_white(camera, ratio):
    info, rng = camera_info(camera), np.random.default_rng(0)
    low, high = min(info.gain), max(info.gain)
    plan = recommend_captures((low, high), ratios=ratio, stops=3, info=info)
    assert plan.noise == "given"
    for setting in (plan.settings[0], plan.settings[-1]):
        ways = [
            (None, setting.n_same),
            (setting.iso, setting.n_long),
            (low, setting.n_lowest),
        ]
        for clean_iso, n_frames in ways:
            for level in (0.0, 0.2, 0.98) if n_frames else ():
                margin = simulated_margin(
                    info, setting.iso, clean_iso, ratio, n_frames, level, rng
                )
                assert margin > 10 - 0.15


@pytest.mark.parametrize("camera", CAMERAS)
def test_frames__one_less__is_not_enough(camera):
    info, rng = camera_info(camera), np.random.default_rng(0)
    low, high = min(info.gain), max(info.gain)
    plan = recommend_captures((low, high), ratios=2.5, info=info)
    setting = plan.settings[0]
    worst = min(
        simulated_margin(info, low, low, 2.5, setting.n_long - 1, level, rng)
        for level in (0.0, 0.98)
    )
    assert worst < 10 + 0.15


def test_frames__same_exposure__is_ten_for_any_sensor():
    for info in (None, camera_info("Pixel4a")):
        plan = recommend_captures((100, 800), ratios=(1, 7), info=info)
        assert {s.n_same for s in plan.settings} == {10}
    assert recommend_captures((100, 100), margin=20).settings[0].n_same == 100
    assert recommend_captures((100, 100), margin=3).settings[0].n_same == 2


def test_frames__unknown_noise__follow_the_light_alone():
    plan = settings_of(recommend_captures((100, 1600), ratios=(1, 4)))
    assert plan[100, 4].n_long == plan[1600, 4].n_long == math.ceil(10 / 4)
    assert plan[400, 1].n_lowest == math.ceil(10 / 4)
    assert plan[1600, 1].n_lowest == plan[1600, 4].n_lowest == 1
    assert plan[100, 1].n_lowest is None and plan[100, 1].n_long is None


@given(
    gain=st.floats(0.01, 10),
    read=st.floats(0.1, 100),
    ratio=st.floats(1.01, 300),
    iso=st.floats(100, 25600),
)
def test_frames__longer_at_the_same_iso__never_more_than_photon_noise_needs(
    gain, read, ratio, iso
):
    info = SensorInfo("RGGB", 512, 16383, gain={100: gain}, read_noise={100: read})
    known = recommend_captures((iso, iso), ratios=ratio, info=info).settings[0]
    unknown = recommend_captures((iso, iso), ratios=ratio).settings[0]
    assert 1 <= known.n_long <= unknown.n_long <= 10


@pytest.mark.parametrize(
    ("iso_range", "stops", "isos"),
    [
        ((100, 1600), 1, [100, 200, 400, 800, 1600]),
        ((100, 250), 1 / 3, [100, 125, 160, 200, 250]),
        ((64, 25600), 2, [64, 250, 1000, 4000, 16000, 25600]),
        ((100, 12800), 3, [100, 800, 6400, 12800]),
        ((800, 800), 1, [800]),
        ((100, 150), 1, [100, 150]),
        ((50, 102400), 11, [50, 102400]),
    ],
)
def test_isos__are_those_of_the_dial(iso_range, stops, isos):
    plan = recommend_captures(iso_range, stops=stops)
    assert [s.iso for s in plan.settings] == isos


@given(
    low=st.floats(25, 3200),
    octaves=st.floats(0, 10),
    stops=st.sampled_from([1 / 3, 0.5, 1, 2]),
)
def test_isos__rise_and_leave_no_gap(low, octaves, stops):
    high = low * 2**octaves
    isos = [s.iso for s in recommend_captures((low, high), stops=stops).settings]
    assert isos[0] == low and isos[-1] == high
    steps = np.log2(isos[1:]) - np.log2(isos[:-1])
    assert (steps > 0).all() or low == high
    assert (steps < stops + 0.34).all()  # the dial moves each by a sixth at most


@given(n_scenes=st.integers(1, 60), ratios=st.lists(st.floats(1, 300), min_size=1))
def test_scenes__two_at_least_at_each_setting_and_as_many_as_intended(n_scenes, ratios):
    plan = recommend_captures((100, 800), ratios=ratios, n_scenes=n_scenes)
    assert len(plan.settings) == 4 * len(set(ratios))
    assert min(s.n_scenes for s in plan.settings) >= 2
    assert sum(s.n_scenes for s in plan.settings) >= n_scenes
    assert not plan.gaps and plan.n_pairs is None


def test_times__brightness_of_the_file_stays():
    plan = recommend_captures((100, 6400), ratios=(1, 8), base_time=2.0)
    for s in plan.settings:
        assert s.noisy_time * s.iso * s.ratio == pytest.approx(100)
    summary = plan.summary()
    assert " 1/256 s" in summary and "10 x 1/32 s" in summary
    assert "1 x 2 s" in summary and "T/" not in summary
    assert "T/512" in recommend_captures((100, 6400), ratios=8).summary()


def make_pairs_at(isos, ratios=1.0, camera="SonyA7S2", **options):
    options = {"size": 128, "random_state": 0, **options}
    return make_domain(camera, len(isos), iso=list(isos), ratio=ratios, **options)


@pytest.fixture(scope="module")
def full_set():
    """Pairs that cover ISO 100 to 400, two scenes each."""
    return make_pairs_at([100, 100, 200, 200, 400, 400])


def plan_for(pairs, **options):
    options = {"n_scenes": len(pairs), **options}
    return recommend_captures((100, 400), pairs=pairs, **options)


def coverage(plan):
    return [gap for gap in plan.gaps if gap.kind != "brightness"]


def test_gaps__full_set__misses_nothing_in_coverage(full_set):
    plan = plan_for(full_set)
    assert coverage(plan) == []
    assert [s.n_shot for s in plan.settings] == [2, 2, 2]
    assert [row["n_missing"] for row in plan.rows()] == [0, 0, 0]
    assert plan.noise == "measured" and plan.n_pairs == 6


def test_gaps__known_noise__needs_no_brightness(full_set):
    plan = plan_for(full_set, info=camera_info("SonyA7S2"))
    assert plan.gaps == () and plan.noise == "given"
    assert "Nothing is missing in the 6 pairs shot so far." in plan.summary()


@pytest.mark.parametrize(
    ("isos", "message"),
    [
        ([100, 100, 1600, 1600], r"between ISO 100 and 1600 \(4.0 stops\): shoot at "
         "ISO 200, 400 and 800"),
        ([400, 400, 800, 1600], r"below ISO 400 \(2.0 stops\): shoot at ISO 100 and"),
        ([100, 200, 400, 800], r"above ISO 800 \(1.0 stops\): shoot at ISO 1600\."),
        ([6400, 6400], "at any ISO from 100 to 1600: shoot at ISO 100, 200, 400, 800"),
    ],
)  # fmt: skip
def test_gaps__iso__are_named_with_their_width(isos, message):
    info = camera_info("SonyA7S2")
    plan = recommend_captures((100, 1600), pairs=make_pairs_at(isos), info=info)
    (gap,) = [gap for gap in plan.gaps if gap.kind == "iso"]
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(gap.message)


@pytest.mark.parametrize("third", [125, 140, 160, 250, 320])
def test_gaps__iso_between__counts_for_the_nearest(full_set, third):
    pairs = [
        RawPair(replace(p.noisy, iso=third), p.clean, p.scene) if p.iso == 200 else p
        for p in full_set
    ]
    shot = [s.n_shot for s in plan_for(pairs, info=camera_info("SonyA7S2")).settings]
    nearest = int(np.argmin(np.abs(np.log2(np.array([100, 200, 400]) / third))))
    assert sum(shot) == 6 and shot[nearest] == max(shot)


def test_gaps__ratio__absent_altogether_or_at_some_isos(full_set):
    info = camera_info("SonyA7S2")
    plan = plan_for(full_set, ratios=(1, 30), info=info)
    assert kinds(plan) == ["ratio"]
    assert "No pair has the light factor 30: expose noisy frames 30 times shorter" in (
        messages(plan)
    )
    darker = [
        RawPair(replace(p.noisy, ratio=28.0), p.clean, f"dark {p.scene}")
        for p in full_set[:2]
    ]
    plan = plan_for([*full_set, *darker], ratios=(1, 30), info=info)
    assert messages(plan) == "The light factor 30 is missing at ISO 200 and 400."
    assert settings_of(plan)[100, 30].n_shot == 2
    plan = plan_for(darker, ratios=(1, 30), info=info)
    assert "No pair has the light factor 1: expose noisy frames like clean" in (
        messages(plan)
    )


def test_gaps__scenes__counts_scenes_and_not_pairs(full_set):
    info = camera_info("SonyA7S2")
    one_scene = [RawPair(p.noisy, p.clean, "kitchen") for p in full_set]
    plan = plan_for(one_scene, info=info)
    assert [s.n_shot for s in plan.settings] == [1, 1, 1]
    assert "only one scene at ISO 100, 200 and 400" in messages(plan)
    assert "show 1 different scene of the 6 intended: shoot 5 more" in messages(plan)
    unlabelled = [RawPair(p.noisy, p.clean) for p in full_set]
    assert plan_for(unlabelled, info=info).gaps == ()


def test_gaps__brightness__dark_pairs_do_not_show_the_gain_and_bright_not_the_read():
    info = SensorInfo("RGGB", 512, 16383, gain={100: 1.0}, read_noise={100: 5.0})
    rng = np.random.default_rng(0)

    def pair(low, high, scene):
        signal = np.geomspace(low, high, 256 * 256).reshape(256, 256)
        noisy = rng.poisson(signal) + rng.normal(512, 5, signal.shape)
        facts = ("RGGB", 512, 16383, "A", 100)
        return RawPair(RawImage(noisy, *facts), RawImage(signal + 512, *facts), scene)

    cases = {
        "both": ((0.1, 14000), None),
        "dark": ((0.01, 0.3), "brightest parts reach 0.00% of white, too little"),
        "bright": ((4000, 14000), "darkest parts lie at 2"),
    }
    for levels, message in cases.values():
        pairs = [pair(*levels, scene) for scene in "ab"]
        plan = recommend_captures((100, 100), n_scenes=2, pairs=pairs)
        assert plan.noise == "measured"
        if message is None:
            assert plan.gaps == ()
            known = recommend_captures((100, 100), ratios=3, info=info).settings[0]
            measured = recommend_captures((100, 100), ratios=3, pairs=pairs).settings[0]
            assert measured.n_long == known.n_long
        else:
            assert kinds(plan) == ["brightness"] and message in messages(plan)


def test_gaps__all_clipped__is_said_and_the_plan_stands():
    white = RawImage(np.full((64, 64), 1023, np.uint16), "RGGB", 64, 1023, "A", 100)
    plan = recommend_captures((100, 100), n_scenes=1, pairs=[RawPair(white, white)])
    assert plan.noise == "unknown" and plan.settings[0].n_same == 10
    assert "clipped nearly throughout" in messages(plan)


def test_plan__no_pairs_shot__misses_everything():
    plan = recommend_captures((100, 400), pairs=[])
    assert plan.n_pairs == 0 and "at any ISO from 100 to 400" in messages(plan)
    assert "Missing in the 0 pairs shot so far:" in plan.summary()


def test_summary__lines_fit_a_terminal(full_set):
    plan = recommend_captures((100, 12800), ratios=(1, 30), pairs=full_set)
    assert max(map(len, plan.summary().splitlines())) <= 80
    rows = [line.split() for line in plan.summary().splitlines()]
    for setting in plan.settings:
        assert [f"{setting.iso:g}", f"{setting.ratio:g}"] in [row[:2] for row in rows]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(iso_range=(800, 100)), "lowest and the highest ISO"),
        (dict(iso_range=100), "lowest and the highest ISO"),
        (dict(iso_range=(0, 100)), "iso_range must be a positive"),
        (dict(ratios=0.5), "light factors of 1 or more"),
        (dict(ratios=()), "light factors of 1 or more"),
        (dict(stops=0), "stops must be a positive"),
        (dict(margin=-1), "margin must be a positive"),
        (dict(base_time=0), "base_time must be a positive"),
        (dict(n_scenes=0), "n_scenes must be a whole number"),
        (dict(n_scenes=2.5), "n_scenes must be a whole number"),
    ],
)
def test_plan__argument_out_of_range__is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        recommend_captures(**{"iso_range": (100, 800), **arguments})


def test_plan__pairs_of_two_sensors__are_refused(full_set):
    other = make_pairs_at([100], camera="Pixel4a")
    with pytest.raises(ValueError, match="one sensor.*'SonyA7S2', 'Pixel4a'"):
        plan_for([*full_set, *other])
    with pytest.raises(TypeError, match="sequence of RawPair"):
        plan_for("abc")


def run(*arguments):
    return CliRunner().invoke(cli.main, ["plan", *map(str, arguments)])


def test_command__without_pairs__prints_the_plan():
    outcome = run("--iso", "100-800", "--ratio", "1,30", "--time", "1/4", "--stops", 1)
    assert outcome.exit_code == 0 and outcome.stderr == ""
    plan = recommend_captures((100, 800), ratios=(1, 30), base_time=0.25)
    assert outcome.stdout == plan.summary() + "\n"


def test_command__json__holds_the_table():
    outcome = run("--iso", "100-800", "--camera", "Pixel4a", "--scenes", 4, "--json")
    facts = json.loads(outcome.stdout)
    plan = recommend_captures((100, 800), n_scenes=4, info=camera_info("Pixel4a"))
    assert facts["settings"] == plan.rows()
    assert facts["noise"] == "given" and facts["gaps"] == []


def test_command__pairs__says_what_is_missing(tmp_path, full_set):
    rows = ["noisy,clean,ratio"]
    for index, pair in enumerate(full_set[:2]):
        write_dng(tmp_path / f"noisy{index}.dng", pair.noisy)
        write_dng(tmp_path / f"clean{index}.dng", pair.clean)
        rows.append(f"noisy{index}.dng,clean{index}.dng,1")
    (tmp_path / "pairs.csv").write_text("\n".join(rows))
    outcome = run("--iso", "100-400", "--pairs", tmp_path)
    assert outcome.exit_code == 0, outcome.output
    assert "Missing in the 2 pairs shot so far:" in outcome.stdout
    assert "No pairs above ISO 100 (2.0 stops)" in outcome.stdout


@pytest.mark.parametrize(
    ("arguments", "hint", "exit_code"),
    [
        ((), "Missing option '--iso'", 2),
        (("--iso", "100"), "two numbers, as in 100-12800", 2),
        (("--iso", "a-b"), "two numbers, as in 100-12800", 2),
        (("--iso", "100-800", "--time", "1/0"), "--time takes one number", 2),
        (("--iso", "100-800", "--ratio", "x"), "numbers with commas between", 2),
        (("--iso", "800-100"), "lowest and the highest ISO", 1),
        (("--iso", "100-800", "--ratio", "0.1"), "light factors of 1 or more", 1),
        (("--iso", "100-800", "--camera", "Brownie"), "'Brownie' is not known", 1),
    ],
)
def test_command__mistake__is_one_sentence(arguments, hint, exit_code):
    outcome = run(*arguments, "--json")
    assert outcome.exit_code == exit_code and outcome.stdout == ""
    assert hint in outcome.stderr and "Traceback" not in outcome.stderr
    assert exit_code == 2 or outcome.stderr.count("\n") == 1


def test_command__empty_folder__says_so(tmp_path):
    outcome = run("--iso", "100-800", "--pairs", tmp_path)
    assert outcome.exit_code == 1 and outcome.stdout == ""
    assert outcome.stderr.startswith("Error: ")
