"""Planted defects are named with what to do; clean pairs raise no alarm."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from skadl import ADLDenoiser, check_pairs
from skadl.datasets import camera_names, make_domain
from skadl.noise.residual import measure_residual
from skadl.plots.pair import draw_pair
from skadl.raw.image import LazyRawImage, RawImage
from skadl.raw.pair import RawPair
from skadl.screening.alignment import align
from skadl.screening.judgement import COSTLY, HARMFUL

SIDE, BLACK, WHITE, SIGMA = 96, 500, 16383, 40.0
TINY = dict(
    start="random",
    n_iter=0,
    n_pretrain_iter=1,
    n_finetune_iter=0,
    base_channels=2,
    n_levels=2,
)


def smooth_scene(seed=0, rows=0.0, columns=0.0):
    """A scene of smooth waves, known at every point and so at any shift."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    y, x = y - rows, x - columns
    light = np.full((SIDE, SIDE), 4000.0)
    for _ in range(12):
        down, right = rng.uniform(-0.5, 0.5, 2)
        light += 250 * np.cos(down * y + right * x + rng.uniform(0, 6.28))
    colour = np.array([[0.6, 1.0], [1.0, 0.5]])  # RGGB
    return BLACK + light * np.tile(colour, (SIDE // 2, SIDE // 2))


def frame(counts, cfa="RGGB", iso=100.0, ratio=1.0, white=WHITE, black=BLACK):
    return RawImage(counts, cfa, black, white, "cam", iso, ratio)


def exposed(counts, seed=1):
    noise = np.random.default_rng(seed).normal(0, SIGMA, counts.shape)
    return np.clip(np.rint(counts + noise), 0, WHITE).astype(np.uint16)


def pair_of(seed=0, seen=None, **facts):
    """A pair whose noisy frame saw `seen`, by default the clean frame's scene."""
    clean = smooth_scene(seed)
    noisy = exposed(clean if seen is None else seen, seed + 100)
    return RawPair(frame(noisy, **facts), frame(clean, **facts), scene=f"s{seed}")


def with_one(bad):
    """Check a set in which only the first pair is not honest."""
    return check_pairs([bad, *(pair_of(seed) for seed in (1, 2))])


def checks(checked):
    return [finding.check for finding in checked.findings]


@pytest.mark.parametrize("name", camera_names())
def test_clean_pairs__every_camera__are_good(name):
    result = check_pairs(make_domain(name, 7, size=96, random_state=3))
    assert result.good == tuple(range(7))
    assert result.is_good and not result.findings


@given(
    rows=st.floats(-0.9, 0.9),
    columns=st.floats(-0.9, 0.9),
    seed=st.integers(0, 50),
)
def test_align__smooth_scene__finds_the_shift_within_its_error(rows, columns, seed):
    pair = pair_of(seed, smooth_scene(seed, rows, columns))
    shift = align(measure_residual(pair), "RGGB", 256, 4.0).shift
    error = np.hypot(shift.rows - rows, shift.columns - columns)
    assert error < 5 * shift.error + 0.1 * np.hypot(rows, columns)
    assert shift.error < 0.1


@pytest.mark.parametrize("rows, columns", [(6, 0), (-8, 4), (3, -9)])
def test_align__far_shift__is_found(rows, columns):
    pair = pair_of(0, smooth_scene(0, rows, columns))
    shift = align(measure_residual(pair), "RGGB", 256, 4.0).shift
    assert np.allclose((shift.rows, shift.columns), (rows, columns), atol=0.1)


def test_align__energy__is_that_of_the_misfit():
    seen = smooth_scene(0, 1.0, 0.0)
    expected = np.mean((seen - smooth_scene(0)) ** 2) / SIGMA**2
    shift = align(measure_residual(pair_of(0, seen)), "RGGB", 256, 4.0).shift
    assert shift.energy == pytest.approx(expected, rel=0.25)


def test_align__flat_frame__knows_no_shift():
    flat = np.full((SIDE, SIDE), 3000.0)
    pair = RawPair(frame(exposed(flat)), frame(flat))
    shift = align(measure_residual(pair), "RGGB", 256, 4.0).shift
    assert shift.error == np.inf and shift.sigmas == 0
    result = check_pairs([pair, pair_of(1), pair_of(2)])
    assert result.pairs[0].shift_error is None
    assert result.pairs[0].verdict == "good"


def test_shifted_pair__names_the_shift():
    result = with_one(pair_of(0, smooth_scene(0, 0.0, 2.0)))
    assert result.bad == (0,) and result.good == (1, 2)
    assert checks(result.pairs[0]) == ["alignment"]
    assert "+2.0" in result.pairs[0].what
    assert result.pairs[0].cost > HARMFUL


def test_slightly_shifted_pair__is_to_be_looked_at():
    result = with_one(pair_of(0, smooth_scene(0, 0.08, 0.0)))
    assert result.doubtful == (0,)
    assert COSTLY / 2 < result.pairs[0].cost < HARMFUL


def test_moved_object__is_motion_and_no_shift():
    seen = smooth_scene(0)
    seen[20:40, 30:50] *= 1.05
    first = with_one(pair_of(0, seen)).pairs[0]
    assert checks(first) == ["motion"]
    assert 400 / SIDE**2 / 2 < first.moved_share < 400 / SIDE**2 * 4


@pytest.mark.parametrize("factor, verdict", [(1.03, "doubtful"), (1.3, "bad")])
def test_wrong_light__is_measured(factor, verdict):
    clean = smooth_scene(0)
    result = with_one(pair_of(0, BLACK + factor * (clean - BLACK)))
    first = result.pairs[0]
    assert first.verdict == verdict
    assert checks(first) == ["brightness"]
    assert first.brightness == pytest.approx(factor, abs=0.01)


def test_black_level__off_by_a_few_deviations__is_found():
    result = with_one(pair_of(0, smooth_scene(0) + 3 * SIGMA))
    assert checks(result.pairs[0]) == ["black level"]
    assert result.pairs[0].black_error == pytest.approx(3, abs=0.5)


def test_black_level__above_the_clean_frame__is_found():
    dark = smooth_scene(0)
    dark[:20] = BLACK  # cap on
    noisy, black = exposed(dark), BLACK + 8 * SIGMA
    pair = RawPair(frame(noisy, black=black), frame(dark, black=black))
    assert "black level" in checks(with_one(pair).pairs[0])


@pytest.mark.parametrize("white", [6000.0, 10_000.0])
def test_white_level__other_than_the_data__is_found(white):
    counts = np.minimum(1.9 * smooth_scene(0), 8000.0)
    counts = counts.astype(np.uint16)
    noisy = np.minimum(exposed(counts.astype(float)), 8000).astype(np.uint16)
    pair = RawPair(frame(noisy, white=white), frame(counts, white=white))
    finding = next(
        f for f in with_one(pair).pairs[0].findings if f.check == "white level"
    )
    assert "white_level=8000" in finding.next_step


@pytest.mark.parametrize("share, verdict", [(0.2, "doubtful"), (0.7, "bad")])
def test_clipping__by_its_share(share, verdict):
    light = smooth_scene(0)
    scale = WHITE / np.quantile(light, 1 - share)
    counts = np.minimum(light * scale, WHITE)
    pair = RawPair(frame(exposed(counts)), frame(counts))
    finding = next(f for f in with_one(pair).pairs[0].findings if f.check == "clipping")
    assert finding.verdict == verdict


def test_bayer_order__greens_on_the_other_diagonal():
    result = with_one(pair_of(0, cfa="GRBG"))
    assert result.pairs[0].verdict == "bad"
    assert "Bayer order" in checks(result.pairs[0])


def test_same_frame_twice_in_a_pair__is_a_duplicate():
    good = pair_of(0)
    result = with_one(RawPair(good.noisy, frame(good.noisy.mosaic.astype(np.float32))))
    assert result.pairs[0].findings[0].check == "duplicates"
    assert result.bad == (0,)


def test_pair_given_twice__counts_once():
    pairs = [pair_of(seed) for seed in range(3)]
    result = check_pairs([*pairs, pairs[1]])
    assert result.bad == (3,) and result.good == (0, 1, 2)
    assert "pair 1" in result.pairs[3].what


def test_noisy_frame_with_two_truths__one_of_them_is_bad():
    pairs = [pair_of(seed) for seed in range(3)]
    result = check_pairs([*pairs, replace(pairs[0], clean=pairs[1].clean)])
    assert result.bad == (3,) and result.doubtful == (0,)


def test_one_clean_frame_for_a_burst__is_good():
    clean = smooth_scene(0)
    pairs = [RawPair(frame(exposed(clean, s)), frame(clean)) for s in range(3)]
    assert check_pairs(pairs).good == (0, 1, 2)


def test_exchanged_frames__are_named():
    good = make_domain("SonyA7S2", 1, size=128, iso=6400, ratio=1, random_state=0)[0]
    result = check_pairs([RawPair(good.clean, good.noisy), pair_of(1), pair_of(2)])
    assert checks(result.pairs[0]) == ["exchange"]


def test_noise__wrong_iso_among_twelve__is_found():
    pairs = make_domain("NikonD850", 12, size=128, random_state=0)
    noisy = replace(pairs[4].noisy, iso=4 * pairs[4].iso)
    pairs[4] = replace(pairs[4], noisy=noisy)
    result = check_pairs(pairs)
    assert checks(result.pairs[4]) == ["noise"]
    assert len(result.good) == 11


def test_hot_pixels__are_counted_and_no_fault():
    seen = smooth_scene(0)
    seen[10::20, 10::20] += 3000
    first = with_one(pair_of(0, seen)).pairs[0]
    assert first.hot_pixels == 25
    assert first.verdict == "good"


def test_frames_that_do_not_fit__are_bad_and_the_rest_is_checked():
    good = pair_of(0)
    half = good.clean.with_mosaic(good.clean.mosaic[: SIDE // 2])
    result = with_one(RawPair(good.noisy, half))
    assert result.bad == (0,) and result.good == (1, 2)
    assert checks(result.pairs[0]) == ["frames"]
    assert result.pairs[0].sensor is None


def test_lazy_frames__are_read_once_each(tmp_path):
    n_read = []

    def reader(path):
        n_read.append(path)
        return images[path.name]

    good = pair_of(0)
    images = {"noisy": good.noisy, "clean": good.clean}
    lazy = RawPair(*(LazyRawImage(tmp_path / name, reader) for name in images))
    result = check_pairs([lazy, pair_of(1)])
    assert result.pairs[0].name == "noisy"
    assert len(n_read) == 2


def test_unreadable_file__is_bad_with_its_reason(tmp_path):
    def reader(path):
        raise OSError("the card was pulled out")

    lazy = RawPair(*(LazyRawImage(tmp_path / name, reader) for name in "ab"))
    result = with_one(lazy)
    assert result.bad == (0,)
    assert "the card was pulled out" in result.pairs[0].what


def test_large_frames__are_seen_as_a_whole():
    tile = smooth_scene(0)
    clean = np.tile(tile, (2, 12))  # 1152 pixels wide
    seen = clean.copy()
    seen[:64, :64] *= 1.3
    pair = RawPair(frame(exposed(seen)), frame(clean))
    result = check_pairs([pair, pair_of(1), pair_of(2)])
    assert "motion" in checks(result.pairs[0])
    assert check_pairs([RawPair(frame(exposed(clean)), frame(clean))]).good == (0,)


def test_iso_range__says_what_is_missing():
    pairs = [pair_of(seed, iso=iso) for seed, iso in enumerate([100.0, 100.0, 6400.0])]
    (finding,) = check_pairs(pairs, iso_range=(100, 25_600)).findings
    assert finding.check == "ISOs" and "25600" in finding.next_step
    assert "400" in finding.next_step
    assert check_pairs(pairs[:2], iso_range=(80, 160)).findings == ()


def test_too_few_usable_pairs__is_a_finding_of_the_set():
    result = check_pairs([pair_of(0)])
    assert [f.check for f in result.findings] == ["number"]
    assert not result.is_good


@pytest.mark.parametrize(
    "arguments, error",
    [
        (([],), ValueError),
        ((["a"],), TypeError),
        ((7,), TypeError),
    ],
)
def test_check_pairs__bad_input__is_refused(arguments, error):
    with pytest.raises(error):
        check_pairs(*arguments)


@pytest.mark.parametrize("iso_range", [(400, 100), (0, 100), 100, (1, 2, 3)])
def test_check_pairs__bad_iso_range__is_refused(iso_range):
    with pytest.raises(ValueError, match="iso_range"):
        check_pairs([pair_of(0)], iso_range=iso_range)


def test_result__as_table_json_and_frame__says_the_same(tmp_path):
    result = with_one(pair_of(0, smooth_scene(0, 0.0, 2.0)))
    table = result.to_frame()
    assert table.verdict.tolist() == ["bad", "good", "good"]
    assert "alignment" in result.to_json()
    result.save(tmp_path / "check.json")
    saved = json.loads((tmp_path / "check.json").read_text())
    assert [pair["verdict"] for pair in saved["pairs"]] == table.verdict.tolist()
    assert "3 pairs: 2 good, 0 doubtful, 1 bad" in result.summary()
    with pytest.raises(FrozenInstanceError):
        result.pairs = ()
    with pytest.raises(FileNotFoundError):
        result.save(tmp_path / "nowhere" / "check.json")


def test_order__does_not_matter():
    pairs = [pair_of(0, smooth_scene(0, 0.0, 2.0)), pair_of(1), pair_of(2)]
    forth, back = check_pairs(pairs), check_pairs(pairs[::-1])
    assert [p.cost for p in forth.pairs] == [p.cost for p in back.pairs[::-1]]
    assert forth.bad == (0,) and back.bad == (2,)


def test_draw_pair__shows_three_panels_with_an_arrow_where_it_is_shifted():
    pairs = [pair_of(0, smooth_scene(0, 0.0, 2.0)), pair_of(1)]
    result = check_pairs(pairs)
    moved, still = (draw_pair(p, c) for p, c in zip(pairs, result.pairs, strict=True))
    assert [ax.get_title(loc="left") for ax in moved.axes[:3]] == [
        "noisy",
        "clean",
        "noisy minus clean",
    ]
    arrows = [[t for t in f.axes[1].texts if t.arrow_patch] for f in (moved, still)]
    (start, tip) = arrows[0][0].xyann, arrows[0][0].xy
    assert tip[0] > start[0] and abs(tip[1] - start[1]) < 3  # to the right
    assert not arrows[1]


@pytest.mark.parametrize("action", ["raise", "drop", "warn"])
def test_fit__on_bad_pair(action):
    pairs = [pair_of(seed, iso=100.0) for seed in range(3)]
    wrong = gaussian_filter(smooth_scene(9), 1)
    pairs.insert(1, replace(pair_of(5), clean=frame(wrong)))
    denoiser = ADLDenoiser(on_bad_pair=action, random_state=0, device="cpu", **TINY)
    if action == "raise":
        with pytest.raises(ValueError, match=r"one bad pair: target_pairs\[1\]"):
            denoiser.fit(pairs)
        return
    if action == "warn":
        with pytest.warns(UserWarning, match="Trained on all the same"):
            denoiser.fit(pairs)
        return
    denoiser.fit(pairs)
    assert "left out before training" in denoiser.selection_report_.notes[0]
    alone = ADLDenoiser(random_state=0, device="cpu", **TINY)
    alone.fit([pairs[0], *pairs[2:]])
    for ours, theirs in zip(
        denoiser.module_.parameters(), alone.module_.parameters(), strict=True
    ):
        assert np.array_equal(ours.detach().numpy(), theirs.detach().numpy())


def test_fit__drop_that_leaves_one_pair__is_refused():
    pairs = [pair_of(0), replace(pair_of(5), clean=frame(smooth_scene(9)))]
    denoiser = ADLDenoiser(on_bad_pair="drop", device="cpu", **TINY)
    with pytest.raises(ValueError, match="1 of 2 would be left"):
        denoiser.fit(pairs)


def test_fit__unknown_action__is_refused():
    with pytest.raises(ValueError, match="on_bad_pair"):
        ADLDenoiser(on_bad_pair="ignore").fit([pair_of(0), pair_of(1)])


# Scenes without detail: nothing there tells a shift


def featureless_pair(seed, drift, side=128):
    """A slope of light out of focus, whose light drifts by a part of the noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side] / side
    clean = 60 + 4 + 0.6 * rows + 0.4 * columns
    light = gaussian_filter(rng.standard_normal((side, side)), 24)
    noisy = clean + drift * light / light.std() + rng.normal(0, 0.6, clean.shape)
    # A mean of nine frames still has a third of their noise.
    averaged = (clean + rng.normal(0, 0.2, clean.shape)).astype(np.float32)
    facts = dict(cfa="RGGB", black=60, white=1023)
    rounded = np.rint(noisy).astype(np.uint16)
    return RawPair(frame(rounded, **facts), frame(averaged, **facts))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("drift", [0.03, 0.05])
def test_check_pairs__smooth_scene_whose_light_drifts__is_not_bad(drift, seed):
    checked = check_pairs([featureless_pair(seed, drift)]).pairs[0]
    assert checked.verdict != "bad", checked.what
    assert not {"alignment", "content"} & {f.check for f in checked.findings}
