"""Harmful pairs are found by what their residual shows; honest ones stay."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, astuple, fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skadl.datasets import SPOILED_KINDS, camera_names, make_domain, spoil_pairs
from skadl.raw.image import LazyRawImage, RawImage
from skadl.raw.mosaic import pack_mosaic, unpack_mosaic
from skadl.raw.pair import RawPair
from skadl.screening import Screening, analyse_residual, screen, screen_pairs
from skadl.screening.outliers import LEAST_PEERS
from skadl.screening.screen import FAULTS

PARTS = [field.name for field in fields(Screening)]
EXPECTED = {
    "misaligned by 2": "misaligned",
    "misaligned by 4": "misaligned",
    "misaligned by 16": "misaligned",
    "black truth": "picture",
    "other scene": "picture",
    "truths exchanged": "picture",
    "ratio times 0.5": "brightness",
    "ratio times 1.5": "brightness",
    "ratio times 2": "brightness",
    "iso times 0.25": "noise",
    "iso times 4": "noise",
    "iso times 8": "noise",
    "noisy as clean": "exchanged",
}


@pytest.fixture(scope="module")
def domains():
    """Honest pairs of three cameras with what each shows by itself."""
    made = {}
    for name in ("SonyA7S2", "CanonEOS70D", "OppoReno10x"):
        pairs = make_domain(name, 12, size=128, random_state=1)
        made[name] = pairs, [analyse_residual(pair) for pair in pairs]
    return made


def with_noisy(pair, mosaic):
    limit = pair.noisy.white_level
    counts = np.clip(np.rint(mosaic), 0, limit).astype(np.uint16)
    return replace(pair, noisy=pair.noisy.with_mosaic(counts))


def with_clean(pair, mosaic):
    return replace(pair, clean=pair.clean.with_mosaic(mosaic.astype(np.float32)))


# Honest pairs


@pytest.mark.parametrize("camera", camera_names())
def test_screen_pairs__honest_pairs_of_every_camera__are_not_faulty(camera):
    pairs = make_domain(camera, 10, size=128, random_state=0)
    pairs += make_domain(camera, 2, size=128, ratio=300, random_state=1)
    assert [seen.reason for seen in screen_pairs(pairs)] == [None] * 12


def add_hot_pixels(pair, rng):
    mosaic = pair.noisy.mosaic.copy()
    mosaic[rng.random(mosaic.shape) < 1 / 300] = pair.noisy.white_level
    return with_noisy(pair, mosaic)


def add_row_noise(pair, rng):
    rows = rng.normal(0, 6, (len(pair.noisy.mosaic), 1))
    return with_noisy(pair, pair.noisy.mosaic + rows)


def add_column_noise(pair, rng):
    columns = rng.normal(0, 6, (1, len(pair.noisy.mosaic)))
    return with_noisy(pair, pair.noisy.mosaic + columns)


def lift_black_level(pair, rng):
    return with_noisy(pair, pair.noisy.mosaic + 9.0)


def average_few_frames(pair, rng):
    noise = np.std(pair.noisy.mosaic[:2] - pair.clean.mosaic[:2] / pair.ratio)
    noisy = pair.clean.mosaic + rng.normal(0, noise / 3, pair.clean.mosaic.shape)
    return with_clean(pair, noisy)


def flicker(pair, rng):
    black = pair.clean.black_level
    return with_clean(pair, black + 1.04 * (pair.clean.mosaic - black))


def move_a_tenth_of_a_pixel(pair, rng):
    planes = pair.clean.packed()
    moved = 0.95 * planes + 0.05 * np.roll(planes, 1, axis=1)
    return with_clean(pair, unpack_mosaic(moved, pair.clean.cfa))


@pytest.mark.parametrize(
    "change",
    [
        add_hot_pixels,
        add_row_noise,
        add_column_noise,
        lift_black_level,
        average_few_frames,
        flicker,
        move_a_tenth_of_a_pixel,
    ],
)
def test_examine__what_real_frames_have__is_not_faulty(change, domains):
    rng = np.random.default_rng(0)
    for pairs, _ in domains.values():
        seen = [analyse_residual(change(pair, rng)).screening for pair in pairs]
        assert [screening.reason for screening in seen] == [None] * len(pairs)


def test_screen_pairs__scenes_half_of_it_clipped__are_not_faulty():
    rng = np.random.default_rng(0)
    blocks = rng.uniform(0, 2, (8, 16, 16, 3)).clip(0, 1)
    scenes = list(blocks.repeat(8, axis=1).repeat(8, axis=2).astype(np.float32))
    pairs = make_domain("SonyA7S2", 8, size=128, scenes=scenes, random_state=0)
    assert not any(seen.is_faulty for seen in screen_pairs(pairs))


def test_screen_pairs__dark_and_flat_frames__are_not_faulty():
    scenes = [np.full((64, 64, 3), level, np.float32) for level in (0, 0.01, 0.5)]
    pairs = make_domain("CanonEOS700D", 12, size=64, scenes=scenes, random_state=0)
    assert not any(seen.is_faulty for seen in screen_pairs(pairs))


# Harmful pairs


@pytest.mark.parametrize("kind", SPOILED_KINDS)
def test_screen__spoiled_pairs__are_found_with_their_reason(kind, domains):
    for pairs, honest in domains.values():
        mixed, spoiled = spoil_pairs(pairs, kind, 0.2, random_state=0)
        seen = [
            analyse_residual(pair) if index in spoiled else honest[index]
            for index, pair in enumerate(mixed)
        ]
        faults = {
            index: screening.fault
            for index, screening in enumerate(screen(mixed, seen))
            if screening.is_faulty
        }
        assert faults == dict.fromkeys(spoiled, FAULTS[EXPECTED[kind]])


def test_examine__light_factor_further_off__is_faultier(domains):
    for pairs, _ in domains.values():
        for pair in pairs[:4]:
            scores = [
                analyse_residual(
                    replace(pair, noisy=replace(pair.noisy, ratio=factor * pair.ratio))
                ).screening.brightness
                for factor in (1.0, 1.3, 2.0)
            ]
            assert scores == sorted(scores) and scores[0] < 1 < scores[1]


def test_screen_pairs__one_frame_as_its_own_truth__is_finite_and_a_copy():
    pairs = [
        RawPair(p.clean, p.clean)
        for p in make_domain("IMX686", 6, size=64, random_state=0)
    ]
    for seen in screen_pairs(pairs):
        assert np.isfinite(astuple(seen)).all()
        assert seen.fault is FAULTS["identical"] and seen.score == seen.identical


# Peers


def test_screen_pairs__wrong_iso_among_too_few_peers__gets_no_verdict():
    pairs = make_domain("NikonD850", LEAST_PEERS, size=64, random_state=0)
    mixed, _ = spoil_pairs(pairs, "iso times 8", 0.2, random_state=0)
    assert [seen.noise for seen in screen_pairs(mixed)] == [0.0] * LEAST_PEERS


def test_screen_pairs__pairs_of_another_sensor__are_no_peers():
    quiet = make_domain("SonyA7S2", 6, size=64, iso=400, random_state=0)
    noisy = make_domain("CanonEOS700D", 6, size=64, iso=400, random_state=0)
    assert not any(seen.is_faulty for seen in screen_pairs(quiet + noisy))
    alike = [replace(p, noisy=replace(p.noisy, sensor="SonyA7S2")) for p in noisy[:2]]
    seen = screen_pairs(quiet + alike)
    assert [s.fault for s in seen[6:]] == [FAULTS["noise"]] * 2


def test_screen__order_of_the_pairs__does_not_matter(domains):
    pairs, seen = domains["CanonEOS70D"]
    forward, backward = screen(pairs, seen), screen(pairs[::-1], seen[::-1])[::-1]
    for one, two in zip(forward, backward, strict=True):
        assert astuple(one) == pytest.approx(astuple(two), rel=1e-3, abs=1e-6)


def test_screen__same_pairs__same_answer(domains):
    pairs, seen = domains["SonyA7S2"]
    assert screen(pairs, seen) == screen_pairs(pairs)


# Units, files, sizes


def test_examine__floats_in_other_units__say_the_same(domains):
    pair = domains["CanonEOS70D"][0][0]

    def scaled(image):
        facts = [1e-4 * np.asarray(x) for x in (image.black_level, image.white_level)]
        mosaic = 1e-4 * image.mosaic.astype(float)
        return RawImage(mosaic, image.cfa, *facts, "S", image.iso, image.ratio)

    one = analyse_residual(pair).screening
    two = analyse_residual(RawPair(scaled(pair.noisy), scaled(pair.clean))).screening
    assert astuple(one) == pytest.approx(astuple(two), rel=0.02, abs=0.02)


def test_examine__other_cfa__says_the_same(cfa, domains):
    pair = domains["SonyA7S2"][0][0]

    def relabelled(image):
        planes = pack_mosaic(image.mosaic, image.cfa)
        mosaic = unpack_mosaic(planes, cfa)
        facts = (image.black_level, image.white_level, "S", image.iso, image.ratio)
        return RawImage(mosaic, cfa, *facts)

    other = RawPair(relabelled(pair.noisy), relabelled(pair.clean))
    assert analyse_residual(other).screening == analyse_residual(pair).screening


def test_examine__lazy_pair__reads_each_file_once(domains):
    pair, reads = domains["SonyA7S2"][0][0], []

    def read(path):
        reads.append(path.name)
        return getattr(pair, path.name)

    lazy = RawPair(LazyRawImage("noisy", read), LazyRawImage("clean", read))
    assert analyse_residual(lazy).screening == analyse_residual(pair).screening
    assert sorted(reads) == ["clean", "noisy"]


@pytest.mark.parametrize("side", [2, 6, 16, 34])
def test_screen_pairs__small_frames__are_finite(side):
    pairs = make_domain("OppoReno10x", 8, size=side, random_state=0)
    for seen in screen_pairs(pairs):
        assert np.isfinite(astuple(seen)).all()
        assert side > 15 or seen == Screening()


def test_examine__saturated_pair__says_nothing():
    image = RawImage(np.full((64, 64), 4095.0), "RGGB", 64, 4095, "S", 100)
    assert analyse_residual(RawPair(image, image)).screening == Screening()


def test_screen_pairs__shapes_differ__is_explained():
    facts = ("RGGB", 64, 4095, "S", 100)
    noisy, short = (RawImage(np.full((8, n), 99.0), *facts) for n in (8, 6))
    with pytest.raises(ValueError, match="differ.*give frames of one size"):
        screen_pairs([RawPair(noisy, short)])


# The record


@given(st.lists(st.floats(0, 9), min_size=len(PARTS), max_size=len(PARTS)))
def test_screening__any_parts__faulty_with_a_reason_and_a_remedy_or_neither(parts):
    seen = Screening(*parts)
    assert seen.score == max(parts)
    assert seen.is_faulty == (max(parts) > 1) == (seen.reason is not None)
    if seen.is_faulty:
        named = [name for name in PARTS if FAULTS[name] == seen.fault]
        assert any(getattr(seen, name) > 1 for name in named)
        assert seen.reason == seen.fault.reason
        assert seen.fault.remedy.endswith(".")


def test_screening__changed__is_refused():
    with pytest.raises(FrozenInstanceError):
        Screening().picture = 2.0
