"""Strong dark shading makes residuals smooth: sound pairs are not taken for others."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tiny_preparation

from skadl import RawImage, RawPair, calibrate_sensor, check_pairs
from skadl.noise.sensors import SensorTable
from skadl.screening.pattern import take_off_patterns
from skadl.screening.screen import analyse_residuals, screen_pairs

BLACK, WHITE, SIDE = 512.0, 16383.0, 128
ISOS = (100, 230, 528, 1213, 2786, 6400)
PLACES = np.arange(SIDE) / SIDE
# Smooth, mean 0; in standard deviations of the read noise.
SHADING = 1.6 * np.cos(np.pi * PLACES[:, None]) * np.cos(np.pi * PLACES)


def noise_at(iso):
    """Gain and read noise of the camera, in counts."""
    return 0.2 * iso / 100, 3.0 * (iso / 100) ** 0.7


def light_of(scene):
    """Rectangles, half of them dark."""
    rng = np.random.default_rng(scene)
    light = np.zeros((SIDE, SIDE))
    for _ in range(60):
        top, left = rng.integers(-16, SIDE, 2)
        rows, columns = (slice(max(0, n), n + 32) for n in (top, left))
        light[rows, columns] = rng.choice([0, 1]) * rng.uniform(0, 0.15)
    return light * np.tile([[0.4, 1.0], [1.0, 0.8]], (SIDE // 2, SIDE // 2))


def pair_of(index, *, shading=1.0, moved=0, scene=None):
    """A pair at one of the ISOs; the clean frame is moved by so many pixels."""
    iso, rng = ISOS[index], np.random.default_rng(100 + index)
    gain, read = noise_at(iso)
    light = 16_000 * light_of(index if scene is None else scene)
    counts = gain * rng.poisson(light / gain) + rng.normal(0, read, light.shape)
    counts += BLACK + shading * read * SHADING
    facts = ("RGGB", BLACK, WHITE, "S", float(iso))
    noisy = RawImage(np.rint(counts).clip(0, WHITE).astype(np.uint16), *facts)
    clean = BLACK + np.roll(light, (moved, moved), (0, 1))
    return RawPair(noisy, RawImage(clean.astype(np.float32), *facts))


def pairs_of(moved=(), by=2, **facts):
    return [pair_of(i, moved=by if i in moved else 0, **facts) for i in range(6)]


def looked_at(pairs):
    """Analyses before and after, sensors before and after."""
    analyses, sensors = list(analyse_residuals(pairs, 1)), SensorTable.from_pairs(pairs)
    return analyses, sensors, *take_off_patterns(pairs, analyses, sensors, 1)


def is_as_it_was(analyses, sensors, sensors_after, after):
    same = [one is other for one, other in zip(analyses, after, strict=True)]
    return sensors_after is sensors and all(same)


def check_known(info):
    for iso in ISOS:
        gain, read = noise_at(iso)
        assert info.noise_at(iso)[0] == pytest.approx(gain, rel=0.06)
        assert info.noise_at(iso)[1] ** 0.5 == pytest.approx(read, rel=0.05)
        assert np.abs(info.offset_at(iso)).max() < 0.1 * read
        left = SHADING - info.fixed_pattern.at(iso).counts("RGGB") / read
        assert left.var() < 0.1 * SHADING.var()


def test_calibrate_sensor__dark_shading__noise_and_black_level_are_known():
    pairs = pairs_of()
    # Each by itself some look like misaligned ones: else this shows nothing.
    assert sum(screening.is_faulty for screening in screen_pairs(pairs)) >= 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        check_known(calibrate_sensor(pairs))


def test_prepare__dark_shading__no_sound_pair_is_faulty():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = tiny_preparation.prepared(pairs_of(), renoises=False)
    (note,) = data.notes
    assert "sensor 'S'" in note and "was taken off" in note
    check_known(data.sensors.get("S"))


def test_check_pairs__dark_shading__no_sound_pair_is_bad_and_it_is_said():
    found = check_pairs(pairs_of())
    assert found.bad == () and found.is_good
    (finding,) = found.findings
    assert finding.check == "pattern" and "dark shading" in found.summary()
    assert check_pairs(pairs_of(shading=0.0)).findings == ()


@pytest.mark.parametrize("shading", [0.0, 1.0])
@pytest.mark.parametrize("moved", [(1,), (0, 4)])
def test_check_pairs__clean_frames_moved__are_found_under_dark_shading(moved, shading):
    assert check_pairs(pairs_of(moved, shading=shading)).bad == moved


def test_take_off_patterns__plain_camera__leaves_all_as_it_is():
    for moved in ((), (1,), (0, 4), range(6)):
        assert is_as_it_was(*looked_at(pairs_of(moved, shading=0.0)))


@pytest.mark.parametrize("shading", [0.0, 1.0])
def test_take_off_patterns__pairs_of_one_scene__leave_all_as_it_is(shading):
    # What a shift leaves of one scene is at one place in all frames, as a pattern is.
    pairs = pairs_of(range(6), shading=shading, scene=7)
    found = looked_at(pairs)
    assert is_as_it_was(*found)
    assert all(analysis.screening.is_faulty for analysis in found[0])


def test_take_off_patterns__copies__stay_copies():
    pairs = pairs_of()
    copy = RawPair(pairs[2].noisy, pairs[2].noisy)
    _, sensors, after_sensors, after = looked_at([*pairs, copy])
    assert after_sensors is not sensors
    assert after[-1].is_copy
    assert not any(analysis.is_copy for analysis in after[:-1])
    assert after[2].contents[0] == after[-1].contents[0]
