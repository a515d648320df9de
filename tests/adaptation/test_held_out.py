"""What decides how far training goes shares no picture with what is trained on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_adapt import make_target

from skadl.adaptation.held_out import (
    cut_frames,
    hold_out,
    part_trained_on,
    set_aside,
)


@pytest.mark.parametrize("n_pairs", [2, 3, 6, 20])
def test_hold_out__splits_the_pairs_and_leaves_some_on_both_sides(n_pairs):
    target = make_target(n_pairs)
    kept, held_out = hold_out(target, np.random.RandomState(0))
    assert sorted([*kept, *held_out]) == list(range(n_pairs))
    assert len(kept) >= len(held_out) >= 1


def test_hold_out__few_pairs__span_the_gains():
    target = make_target(8, gains=[1, 2, 3, 4, 100, 101, 102, 103])
    _, held_out = hold_out(target, np.random.RandomState(0))
    assert {int(i) // 4 for i in held_out} == {0, 1}


@given(
    st.lists(st.integers(0, 4), min_size=2, max_size=12).filter(
        lambda s: len(set(s)) > 1
    ),
    st.integers(0, 99),
)
def test_hold_out__pairs_that_share_scenes__none_is_on_both_sides(scenes, seed):
    target = replace(make_target(len(scenes)), scenes=np.array(scenes))
    kept, held_out = hold_out(target, np.random.RandomState(seed))
    assert sorted([*kept, *held_out]) == list(range(len(scenes)))
    assert len(kept) >= 1 <= len(held_out)
    assert not set(target.scenes[kept]) & set(target.scenes[held_out])


def test_hold_out__one_large_scene_and_a_small_one__trains_on_the_large():
    target = replace(make_target(6), scenes=np.array([0, 0, 0, 0, 0, 1]))
    for seed in range(5):
        _, held_out = hold_out(target, np.random.RandomState(seed))
        assert held_out.tolist() == [5]


@given(st.integers(2, 300), st.integers(2, 300), st.integers(1, 64))
def test_part_trained_on__leaves_a_patch_on_both_sides(height, width, patch_side):
    part = part_trained_on((height, width), patch_side)
    longer = max(height, width)
    if part is None:
        assert (
            min(height, width) <= patch_side
            or longer < 2 * patch_side + 1
            or (longer - max(patch_side, round(longer / 4)) <= patch_side)
        )
        return
    sides = [s.stop - s.start for s in part]
    assert min(sides) > patch_side
    assert sorted(sides)[0] <= min(height, width)
    assert height * width - sides[0] * sides[1] >= patch_side * min(height, width)


def numbered_target(n_pairs, side):
    """Pairs of one scene whose counts are the numbers of their pixels."""
    (pair, *_) = make_target(2).pairs
    pixels = torch.arange(side * side).reshape(side, side, 1).repeat(1, 1, 4).float()
    return [replace(pair, noisy=pixels, clean=pixels) for _ in range(n_pairs)]


@pytest.mark.parametrize("n_pairs", [2, 8])
def test_set_aside__no_pixel_that_decides_is_trained_on(n_pairs):
    pairs = numbered_target(n_pairs, 40)
    rng = np.random.RandomState(0)
    kept, aside = set_aside(pairs, np.arange(1.0, n_pairs + 1), 8, rng)
    assert len(kept) == n_pairs and len(aside) == 2 * max(1, n_pairs // 4)
    trained = torch.cat([p.noisy[p.part].flatten() for p in kept]).unique()
    decide = cut_frames(aside, 8, rng)
    levels = pairs[0].noisy_levels
    counts = (decide.noisy / levels[-1] + levels[0]).round().flatten()
    assert not torch.isin(counts, trained).any()
    assert decide.noisy.shape[2:] == (8, 8)


def test_set_aside__frames_too_small_to_part__stay_whole():
    pairs = numbered_target(4, 12)
    kept, aside = set_aside(pairs, np.ones(4), 8, np.random.RandomState(0))
    assert aside == () and all(pair.part is None for pair in kept)
