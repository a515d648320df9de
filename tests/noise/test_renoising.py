"""Re-noising: the new frames have the target's noise, the scene and the geometry."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skadl.noise.renoising import (
    DARK,
    MOST_PAIRS,
    MOST_READ,
    NEAR,
    OWN_FRAMES,
    OWN_SIDE,
    draw_dimming,
    draw_exposures,
    renoise,
    renoise_target,
    renoised_domain,
    widen_exposures,
)
from skadl.noise.residual import transfer_curve
from skadl.noise.sensors import SensorInfo, SensorTable
from skadl.raw.image import RawImage
from skadl.raw.mosaic import CFA_PATTERNS
from skadl.raw.pair import RawPair

GAIN, READ_NOISE = 2.0, 5.0


def source_pair(scene: np.ndarray, cfa: str = "RGGB", scene_name="s") -> RawPair:
    facts = dict(
        cfa=cfa, black_level=100.0, white_level=1100.0, sensor="source", iso=200
    )
    frame = RawImage((scene * 1000 + 100).astype(np.float32), **facts)
    return RawPair(frame, frame, scene_name)


def target_frame(cfa: str = "RGGB", ratio: float = 1.0, dtype=np.uint16) -> RawImage:
    mosaic = np.full((4, 4), 600, dtype)
    return RawImage(mosaic, cfa, 512.0, 16383.0, "target", 800, ratio)


def target_info(cfa: str = "RGGB", **more) -> SensorInfo:
    noise = dict(gain={800: GAIN}, read_noise={800: READ_NOISE})
    return SensorInfo(cfa, 512.0, 16383.0, **noise, **more)


@pytest.mark.parametrize("ratio", [1.0, 10.0])
@pytest.mark.parametrize("level", [0.05, 0.5])
def test_renoise__flat_scene__has_the_mean_and_variance_of_the_target(ratio, level):
    pair = renoise(
        source_pair(np.full((200, 200), level)),
        np.ones(4),
        target_frame(ratio=ratio),
        target_info(),
        np.random.default_rng(0),
    )
    signal = level * (16383 - 512) / ratio
    counts = pair.noisy.mosaic.astype(float) - 512
    variance = GAIN * signal + READ_NOISE**2
    n = counts.size
    assert counts.mean() == pytest.approx(signal, abs=4 * (variance / n) ** 0.5)
    assert counts.var() == pytest.approx(variance, rel=4 * (2 / n) ** 0.5)
    np.testing.assert_allclose(pair.clean.normalised(), level, rtol=1e-5)


def test_renoise__residual__is_white():
    scene = np.random.default_rng(1).random((128, 128))
    pair = renoise(
        source_pair(scene),
        np.ones(4),
        target_frame(),
        target_info(),
        np.random.default_rng(0),
    )
    assert transfer_curve(pair).whiteness > 0.97


@pytest.mark.parametrize("source_cfa", CFA_PATTERNS)
@pytest.mark.parametrize("target_cfa", CFA_PATTERNS)
def test_renoise__any_two_patterns__red_stays_red(source_cfa, target_cfa):
    red = np.array(
        [[c == "R" for c in source_cfa[:2]], [c == "R" for c in source_cfa[2:]]]
    )
    scene = np.tile(red, (4, 4)).astype(float)
    pair = renoise(
        source_pair(scene, source_cfa),
        np.ones(4),
        target_frame(target_cfa),
        target_info(target_cfa),
        np.random.default_rng(0),
    )
    planes = pair.clean.normalised()
    np.testing.assert_allclose(planes[0], 1, rtol=1e-5)
    np.testing.assert_allclose(planes[1:], 0, atol=1e-6)


def test_renoise__float_target__is_neither_rounded_nor_clipped():
    pair = renoise(
        source_pair(np.zeros((64, 64))),
        np.ones(4),
        target_frame(dtype=np.float32),
        target_info(),
        np.random.default_rng(0),
    )
    counts = pair.noisy.mosaic
    assert (counts != np.rint(counts)).any() and (counts < 512).any()


def test_renoise__frames_of_another_bit_depth__have_the_same_noise():
    # The sensor was measured on files of 14 bits; this target frame has 12.
    info = target_info(row_noise={800: 2.0})
    frame = target_frame(dtype=np.float32)
    fewer_bits = replace(frame, black_level=512 / 4, white_level=16383 / 4)
    shown = [
        renoise(
            source_pair(np.full((64, 64), 0.05)),
            np.ones(4),
            model,
            info,
            np.random.default_rng(0),
        ).noisy.normalised()
        for model in (frame, fewer_bits)
    ]
    np.testing.assert_allclose(*shown, atol=1e-5)


def test_renoised_domain__many_sources__is_bounded_and_keeps_scenes():
    sources = [source_pair(np.full((4, 4), 0.5), scene_name=i) for i in range(450)]
    target = [RawPair(target_frame(), target_frame())]
    table = SensorTable({"target": target_info()})
    rng = np.random.RandomState(0)
    pairs = list(renoised_domain(target, {"A": sources}, table, rng))
    assert len(pairs) == MOST_PAIRS
    assert len({pair.scene for pair in pairs}) == MOST_PAIRS
    assert {pair.sensor for pair in pairs} == {"target"}


def test_renoise_target__each_scene__is_seen_again_under_the_noise_of_its_sensor():
    rng = np.random.default_rng(0)
    side = 2 * OWN_SIDE + 32
    frames = []
    for level in (0.2, 0.6):
        light = np.full((side, 64), level * 1000)
        facts = dict(black_level=512.0, white_level=1512.0, sensor="target", iso=400)
        noisy = rng.normal(light, 5) + 512
        frames.append(
            RawPair(
                *(
                    RawImage(f.astype(np.float32), "GRBG", **facts)
                    for f in (noisy, light + 512)
                ),
                level,
            )
        )
    info = replace(target_info(), white_level=1512.0)
    table = SensorTable({"target": info})
    made = list(renoise_target(frames, table, np.random.RandomState(0)))
    assert len(made) == OWN_FRAMES
    for pair in frames:
        own = [new for new in made if new.scene == pair.scene]
        assert len(own) == OWN_FRAMES / 2
        assert {new.noisy.mosaic.shape for new in own} == {(2 * OWN_SIDE, 64)}
        variance = np.mean(
            [
                ((new.noisy.normalised() - new.clean.normalised()) ** 2).mean()
                for new in own
            ]
        )
        gain, read_variance = info.noise_at(400)
        expected = gain * pair.scene * 1000 + read_variance
        assert variance * 1000**2 == pytest.approx(expected, rel=0.05)
    noise = [new.noisy.mosaic for new in made[:2]]
    assert (noise[0] != noise[1]).any()


def test_renoised_domain__same_seed__gives_the_same_pixels():
    sources = {"A": [source_pair(np.full((8, 8), 0.5), scene_name=i) for i in range(3)]}
    target = [RawPair(target_frame(), target_frame())]
    table = SensorTable({"target": target_info()})
    first, second = (
        renoised_domain(target, sources, table, np.random.RandomState(7))
        for _ in range(2)
    )
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.noisy.mosaic, b.noisy.mosaic)


def test_renoise__measured_again__shows_the_row_noise_and_no_offset():
    offset = {800: (3.0, -2.0, 1.0, 0.5)}  # training takes it out of every pair
    pair = renoise(
        source_pair(np.full((400, 400), 0.01)),
        np.ones(4),
        target_frame(),
        target_info(row_noise={800: 2.0}, black_offset=offset),
        np.random.default_rng(3),
    )
    again = transfer_curve(pair)
    # 200 rows of each phase: their mean strays by 2 / sqrt(200) counts.
    np.testing.assert_allclose(again.offset, 0, atol=4 * 2 / 200**0.5)
    assert again.row_noise == pytest.approx(2.0, rel=0.2)


def exposed(iso, ratio):
    frame = replace(target_frame(), iso=iso, ratio=ratio)
    return RawPair(frame, replace(frame, ratio=1.0))


@given(
    isos=st.lists(st.sampled_from([100, 160, 800, 6400]), min_size=1, max_size=4),
    ratios=st.lists(st.sampled_from([1.0, 10.0, 300.0]), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
def test_draw_exposures__stay_within_what_the_pairs_span(isos, ratios, seed):
    pairs = [exposed(iso, ratio) for iso, ratio in zip(isos, ratios, strict=False)]
    drawn = draw_exposures(pairs, 50, np.random.RandomState(seed))
    spans = np.array([(p.iso, p.ratio) for p in pairs])
    low, high = spans.min(axis=0), spans.max(axis=0)
    assert (np.array(drawn) >= low * (1 - 1e-9)).all()
    assert (np.array(drawn) <= high * (1 + 1e-9)).all()


def test_draw_exposures__fill_the_plane_between_two_pairs():
    pairs = [exposed(100, 1.0), exposed(6400, 100.0)]
    isos, ratios = np.array(draw_exposures(pairs, 2000, np.random.RandomState(0))).T
    assert len(set(isos)) == 19  # six stops in thirds
    for name, values in (("iso", np.log(isos / 100)), ("ratio", np.log(ratios))):
        low, middle, high = np.histogram(values, 3)[0] / 2000
        assert min(low, middle, high) > 0.25, name
    assert abs(np.corrcoef(np.log(isos), np.log(ratios))[0, 1]) < 0.1


LEVELS = st.lists(st.floats(0, 1), min_size=1, max_size=9).map(np.array)


@given(levels=LEVELS, target_levels=LEVELS, seed=st.integers(0, 99))
def test_draw_dimming__moves_far_scenes_alone_and_near_the_targets(
    levels, target_levels, seed
):
    factors = draw_dimming(levels, target_levels, np.random.default_rng(seed))
    low = max(target_levels.min(), DARK) / NEAR
    high = max(target_levels.max(), DARK) * NEAR
    seen = levels.clip(DARK)
    is_near = (low <= seen) & (seen <= high)
    assert (factors[is_near] == 1).all()
    moved = (factors * seen)[factors != 1]
    assert (moved >= low * (1 - 1e-9)).all() and (moved <= high * (1 + 1e-9)).all()


def test_draw_dimming__photographs_for_a_night_sky__half_fill_its_levels():
    rng = np.random.default_rng(0)
    levels, sky = np.full(4000, 0.2), np.array([0.005, 0.01])
    factors = draw_dimming(levels, sky, rng)
    assert np.mean(factors == 1) == pytest.approx(0.5, abs=0.05)
    moved = np.log((factors * levels)[factors != 1])
    shares = np.histogram(moved, 3, np.log([0.005 / NEAR, 0.01 * NEAR]))[0]
    np.testing.assert_allclose(shares / moved.size, 1 / 3, atol=0.05)


def test_renoised_domain__night_sky__is_photographed_as_dark_as_it_is():
    sources = [source_pair(np.full((8, 8), 0.5), scene_name=i) for i in range(40)]
    target = [RawPair(target_frame(), target_frame())]  # at 0.0055
    table = SensorTable({"target": target_info()})
    pairs = renoised_domain(target, {"A": sources}, table, np.random.RandomState(0))
    levels = np.array([pair.clean.normalised().mean() for pair in pairs])
    assert 10 < np.sum(levels < 0.025) < 30
    np.testing.assert_allclose(levels[levels > 0.025], 0.5, rtol=1e-5)


def test_renoised_domain__another_colour_response__is_brought_to_the_targets():
    red_site = np.tile([[1.0, 0.0], [0.0, 0.0]], (8, 8))
    level = np.full((16, 16), 0.4)
    redder = source_pair(level + 0.2 * red_site)
    table = SensorTable({"target": target_info()})
    flat = RawImage(
        np.full((16, 16), 4000, np.uint16), "RGGB", 512.0, 16383.0, "target", 800
    )
    (pair,) = renoised_domain(
        [RawPair(flat, flat)],
        {"A": [redder]},
        table,
        np.random.RandomState(0),
    )
    np.testing.assert_allclose(pair.clean.normalised(), 0.4, rtol=1e-5)


def test_renoised_domain__up_to_a_light_factor__half_are_drawn_up_to_it():
    pairs = [source_pair(np.full((4, 4), 0.5)) for _ in range(200)]
    target = [RawPair(target_frame(), target_frame())]
    info = SensorInfo("RGGB", 512.0, 16383.0, {800: GAIN}, {800: READ_NOISE})
    table = SensorTable({"target": info})
    draw = partial(renoised_domain, target, {"A": pairs}, table)
    usual = [pair.ratio for pair in draw(np.random.RandomState(0))]
    assert set(usual) == {1.0}
    wide = [pair.ratio for pair in draw(np.random.RandomState(0), 300.0)]
    assert len(wide) == len(pairs)
    assert 1 <= min(wide) and max(wide) <= 300
    assert np.mean(np.array(wide) > 1) == pytest.approx(0.5, abs=0.1)
    assert np.median([ratio for ratio in wide if ratio > 1]) == pytest.approx(
        300**0.5, rel=0.4
    )


def test_widen_exposures__nothing_but_noise__is_not_drawn():
    noisy = SensorInfo("RGGB", 0, 1000, gain={100: 10.0}, read_noise={100: 100.0})
    table, frame = SensorTable({"A": noisy}), target_frame()
    frame = replace(frame, sensor="A", black_level=0, white_level=1000)
    rng = np.random.RandomState(0)
    widened = widen_exposures([(100, 1.0)] * 100, table, [frame], 300.0, rng)
    assert max(ratio for _, ratio in widened) <= MOST_READ * 1000 / 100


@pytest.mark.parametrize("lowest", [500, 512])
def test_renoised_domain__target_without_counts_below_black__has_none_either(lowest):
    frame = target_frame()
    mosaic = np.full((16, 16), lowest, np.uint16)
    target = [RawPair(frame.with_mosaic(mosaic), frame.with_mosaic(mosaic))]
    dark = [source_pair(np.zeros((16, 16)))]
    table = SensorTable({"target": target_info()})
    rng = np.random.RandomState(0)
    (pair,) = renoised_domain(target, {"A": dark}, table, rng)
    is_clipped = pair.noisy.mosaic.min() >= 512
    assert is_clipped == (lowest >= 512)
    assert pair.clean.mosaic.min() == 512
