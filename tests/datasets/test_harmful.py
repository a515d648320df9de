"""The harmful sets do the harm that they promise, and no other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skadl import SourcePool
from skadl.datasets import (
    SPOILED_KINDS,
    get_camera,
    make_domain,
    make_harmful_noise,
    make_harmful_truth,
    make_scenes,
    spoil_pairs,
)
from skadl.raw.image import LazyRawImage
from skadl.raw.pair import RawPair


def ramp(side, seed=0):
    """Random blocks: any shift of them is seen."""
    blocks = np.random.default_rng(seed).random((side // 4, side // 4, 3))
    return np.kron(blocks, np.ones((4, 4, 1))).astype(np.float32)


def correlation(one, two):
    return np.corrcoef(one.ravel(), two.ravel())[0, 1]


def test__harmful_noise__residual__is_gaussian_of_30_of_255():
    camera = get_camera("SonyA7S2")
    pairs = make_harmful_noise(4, camera=camera, size=128, random_state=0)
    span = camera.white_level - camera.black_level
    for pair in pairs:
        clean = pair.clean.mosaic - camera.black_level
        inside = (clean > 0.4 * span) & (clean < 0.55 * span)
        residual = (pair.noisy.mosaic.astype(float) - pair.clean.mosaic)[inside]
        assert residual.std() == pytest.approx(30 / 255 * span, rel=0.1)
        assert abs(residual.mean()) < 0.02 * span


def test__harmful_noise__does_not_follow_the_signal():
    scenes = [np.full((128, 128, 3), 0.5, np.float32)]
    scenes[0][:, 64:] *= 0.3
    scenes[0][:2] = 1  # the white that the brightness is set by
    (pair,) = make_harmful_noise(
        1, camera="NikonD850", size=128, sigma=0.02, scenes=scenes, random_state=0
    )
    residual = pair.noisy.mosaic[2:].astype(float) - pair.clean.mosaic[2:]
    ratio = residual[:, :64].std() / residual[:, 64:].std()
    assert ratio == pytest.approx(1, rel=0.05)


def test__harmful_noise__content__is_brighter_than_honest():
    honest = make_domain("SonyA7S2", 8, size=48, random_state=0)
    harmful = make_harmful_noise(8, camera="SonyA7S2", size=48, random_state=0)
    brightness = [
        np.mean([pair.clean.normalised().mean() for pair in pairs])
        for pairs in (honest, harmful)
    ]
    assert brightness[1] > 2 * brightness[0]


def test__harmful_noise__label__is_that_of_the_camera():
    camera = get_camera("OppoReno10x")
    for pair in make_harmful_noise(3, camera="OppoReno10x", size=16, random_state=0):
        assert pair.sensor == "OppoReno10x"
        assert pair.noisy.cfa == camera.cfa
        assert camera.iso_range[0] <= pair.iso <= camera.iso_range[1]
        assert pair.ratio == 1
        assert pair.noisy.mosaic.dtype == np.uint16
        assert pair.noisy.mosaic.max() <= camera.white_level


def test__harmful_truth__black__is_the_black_level():
    pairs = make_harmful_truth(
        2, camera="SonyA7S2", size=32, truth="black", random_state=0
    )
    for pair in pairs:
        assert (pair.clean.mosaic == 512).all()
        assert pair.noisy.mosaic.std() > 0


def test__harmful_truth__shifted__is_off_by_the_shift():
    scene = ramp(80)
    (pair,) = make_harmful_truth(
        1,
        camera="SonyA7S2",
        size=64,
        truth="shifted",
        iso=100,
        ratio=1,
        scenes=[scene],
        random_state=0,
    )
    noisy, clean = pair.noisy.mosaic.astype(float), pair.clean.mosaic
    assert correlation(noisy[16:, 16:], clean[:-16, :-16]) > 0.99
    assert correlation(noisy, clean) < 0.9


def test__harmful_truth__other_scene__shows_another():
    pairs = make_harmful_truth(
        3,
        camera="SonyA7S2",
        size=64,
        truth="other-scene",
        iso=100,
        ratio=1,
        scenes=[ramp(64, seed) for seed in range(3)],
        random_state=0,
    )
    for pair in pairs:
        noisy, clean = pair.noisy.packed(), pair.clean.packed()
        assert all(abs(correlation(noisy[p], clean[p])) < 0.3 for p in range(4))


def test__harmful_truth__one_scene_only__is_still_wrong():
    (pair,) = make_harmful_truth(
        1, camera="SonyA7S2", size=64, truth="other-scene", iso=100, ratio=1,
        scenes=[ramp(64)], random_state=0,
    )  # fmt: skip
    assert correlation(pair.noisy.packed()[1], pair.clean.packed()[1]) < 0.3


def test__harmful_truth__default__takes_the_three_in_turn():
    pairs = make_harmful_truth(6, camera="IMX686", size=32, random_state=0)
    black = [bool((pair.clean.mosaic == 64).all()) for pair in pairs]
    assert black == [False, False, True] * 2
    assert len({id(pair) for pair in pairs}) == 6


def test__harmful_truth__noise__is_the_honest_one():
    settings = dict(size=64, iso=1600, ratio=1, random_state=0)
    scenes = make_scenes("mixture", 2, 64, random_state=0)
    harmful = make_harmful_truth(
        2, camera="NikonD850", truth="black", scenes=scenes, **settings
    )
    honest = make_domain("NikonD850", 2, scenes=scenes, **settings)
    for one, two in zip(harmful, honest, strict=True):
        assert one.scene == two.scene
        np.testing.assert_array_equal(one.noisy.mosaic, two.noisy.mosaic)


def test__harmful_sets__isos_in_order__and_repeatable():
    for make in (make_harmful_noise, make_harmful_truth):
        one, two = (
            make(3, camera="SonyA7S2", size=16, iso=[100, 200, 400], random_state=1)
            for _ in range(2)
        )
        assert [pair.iso for pair in one] == [100, 200, 400]
        for first, second in zip(one, two, strict=True):
            np.testing.assert_array_equal(first.noisy.mosaic, second.noisy.mosaic)
            np.testing.assert_array_equal(first.clean.mosaic, second.clean.mosaic)


def test__harmful_sets__hide_in_a_pool_under_their_own_domain():
    pairs = make_harmful_noise(2, camera="SonyA7S2", size=16, random_state=0)
    pool = SourcePool({"Harmful1": pairs})
    assert {pair.sensor for _, pair in pool.pairs()} == {"SonyA7S2"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"truth": "white"}, "other-scene"),
        ({"truth": ()}, "truth"),
        ({"shift": 3}, "even"),
        ({"shift": 0}, "shift"),
        ({"n_pairs": 0}, "n_pairs"),
        ({"iso": 1e6}, "outside"),
        ({"scenes": [ramp(32)]}, "smaller"),
    ],
)
def test__harmful_truth__bad_argument__is_explained(arguments, message):
    n_pairs = arguments.pop("n_pairs", 1)
    with pytest.raises(ValueError, match=message):
        make_harmful_truth(n_pairs, camera="SonyA7S2", size=32, **arguments)


def test__harmful_noise__sigma_not_positive__is_explained():
    with pytest.raises(ValueError, match="sigma"):
        make_harmful_noise(1, camera="SonyA7S2", size=8, sigma=0)


# Spoiled pairs inside a good domain


@pytest.fixture(scope="module")
def honest():
    return make_domain("NikonD850", 6, size=48, ratio=10, random_state=0)


@given(
    st.lists(st.sampled_from(SPOILED_KINDS), min_size=1, max_size=4),
    st.floats(0.01, 1),
    st.integers(0, 2**31 - 1),
)
def test_spoil_pairs__anything__spoils_what_it_says_and_nothing_else(
    honest, kinds, share, seed
):
    mixed, spoiled = spoil_pairs(honest, kinds, share, seed)
    assert len(mixed) == len(honest)
    n_spoiled = max(1, round(share * len(honest)))
    assert n_spoiled <= len(spoiled) <= n_spoiled + 1
    assert list(spoiled) == sorted(spoiled) and set(spoiled.values()) <= set(kinds)
    for index, (one, two) in enumerate(zip(honest, mixed, strict=True)):
        assert one.scene == two.scene
        assert (one is two) == (index not in spoiled)


def spoil_all(honest, kind):
    mixed, spoiled = spoil_pairs(honest, kind, 1.0, random_state=0)
    assert set(spoiled.values()) == {kind} and len(spoiled) == len(honest)
    return list(zip(honest, mixed, strict=True))


@pytest.mark.parametrize("shift", [2, 4, 16])
def test_spoil_pairs__misaligned__is_the_same_picture_so_far_off(honest, shift):
    offsets = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    inside = slice(16, -16)
    for one, two in spoil_all(honest, f"misaligned by {shift}"):
        before, after = one.clean.mosaic, two.clean.mosaic
        matches = [
            np.array_equal(
                np.roll(before, (shift * i, shift * j), (0, 1))[inside, inside],
                after[inside, inside],
            )
            for i, j in offsets
        ]
        assert sum(matches) == 1
        assert two.noisy is one.noisy


def test_spoil_pairs__labels__change_and_pixels_do_not(honest):
    for one, two in spoil_all(honest, "ratio times 1.5"):
        assert two.ratio == 1.5 * one.ratio and two.iso == one.iso
        np.testing.assert_array_equal(two.noisy.mosaic, one.noisy.mosaic)
    for one, two in spoil_all(honest, "iso times 0.25"):
        assert two.iso == 0.25 * one.iso and two.ratio == one.ratio
        np.testing.assert_array_equal(two.noisy.mosaic, one.noisy.mosaic)


def test_spoil_pairs__black_truth__is_the_black_level(honest):
    for one, two in spoil_all(honest, "black truth"):
        assert (two.clean.mosaic == one.clean.black_level).all()
        assert two.noisy is one.noisy


def test_spoil_pairs__noisy_as_clean__swaps_the_frames(honest):
    for one, two in spoil_all(honest, "noisy as clean"):
        assert two.noisy is one.clean and two.clean is one.noisy


def test_spoil_pairs__truths_exchanged__all_go_to_another_pair(honest):
    pairs = spoil_all(honest, "truths exchanged")
    given_away = {id(one.clean) for one, _ in pairs}
    assert {id(two.clean) for _, two in pairs} == given_away
    assert all(two.clean is not one.clean for one, two in pairs)


def test_spoil_pairs__one_truth_exchanged__takes_a_partner(honest):
    mixed, spoiled = spoil_pairs(honest, "truths exchanged", 0.01, random_state=0)
    first, second = spoiled
    assert mixed[first].clean is honest[second].clean
    assert mixed[second].clean is honest[first].clean


def test_spoil_pairs__other_scene__is_another_pairs_turned_by_half_a_circle(honest):
    turned = [pair.clean.packed()[:, ::-1, ::-1] for pair in honest]
    for index, (_, two) in enumerate(spoil_all(honest, "other scene")):
        matches = [np.array_equal(two.clean.packed(), planes) for planes in turned]
        assert sum(matches) == 1 and not matches[index]


def test_spoil_pairs__lazy_frames__can_be_spoiled(honest):
    def read(path):
        return getattr(honest[int(path.parent.name)], path.name)

    lazy = [
        RawPair(LazyRawImage(f"{i}/noisy", read), LazyRawImage(f"{i}/clean", read))
        for i in range(len(honest))
    ]
    for kind in SPOILED_KINDS:
        for one, two in zip(
            spoil_all(honest, kind), spoil_all(lazy, kind), strict=True
        ):
            assert (one[1].iso, one[1].ratio) == (two[1].iso, two[1].ratio)
            np.testing.assert_array_equal(one[1].clean.mosaic, two[1].clean.mosaic)


def test_spoil_pairs__same_seed__same_pairs(honest):
    (one, kinds), (two, again) = (
        spoil_pairs(honest, share=1.0, random_state=3) for _ in range(2)
    )
    assert kinds == again
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first.clean.mosaic, second.clean.mosaic)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kinds": "upside down"}, "kinds.*black truth"),
        ({"kinds": ()}, "kinds"),
        ({"share": 0.0}, "share"),
        ({"share": 1.1}, "share"),
    ],
)
def test_spoil_pairs__bad_argument__is_explained(honest, arguments, message):
    with pytest.raises(ValueError, match=message):
        spoil_pairs(honest, **arguments)


def test_spoil_pairs__pairs_that_do_not_fit__is_explained(honest):
    other = make_domain("NikonD850", 1, size=32, random_state=0)
    for pairs in (honest[:1], honest + other):
        with pytest.raises(ValueError, match="two pairs or more of one shape"):
            spoil_pairs(pairs)
