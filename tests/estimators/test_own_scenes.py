"""Scenes of skadl's own, and what is held out where pairs share a scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_preparation import prepared

from skadl.datasets import make_domain
from skadl.estimators.own_scenes import ONLY_SCENES, OTHER_SCENES, draw_scenes
from skadl.estimators.preparation import ONE_SCENE
from skadl.estimators.start import find_start
from skadl.noise.renoising import RENOISED
from skadl.raw.mosaic import mosaic_of


@pytest.fixture(scope="module")
def witness():
    return find_start("universal").witness("float32")


def pairs_of(n_scenes, n_pairs=4, size=96):
    made = make_domain("NikonD850", n_pairs, size=size, iso=400, random_state=0)
    return [replace(p, scene=f"scene {i % n_scenes}") for i, p in enumerate(made)]


@pytest.mark.parametrize("cfa", ["RGGB", "GBRG", "XTRANS-GBG"])
def test_draw_scenes__any_mosaic__are_larger_than_a_patch_and_vary(cfa):
    scenes = draw_scenes(4, cfa, 16, np.random.RandomState(0))
    side = mosaic_of(cfa).side
    assert {pair.clean.cfa for pair in scenes} == {cfa}
    assert all(min(pair.clean.mosaic.shape) > side * 16 for pair in scenes)
    assert len({pair.clean.mosaic.tobytes() for pair in scenes}) == 4


@pytest.mark.parametrize("has_sources", [True, False])
@pytest.mark.parametrize("is_trained", [True, False])
def test_prepare__trained_start__shows_scenes_of_its_own(
    witness, has_sources, is_trained
):
    source = make_domain("SonyA7S2", 3, size=64, random_state=1)
    domains = {"A": source} if has_sources else {}
    data = prepared(pairs_of(4), domains, witness=witness if is_trained else None)
    made = len(data.sources.get(RENOISED, ()))
    own = (OTHER_SCENES if has_sources else ONLY_SCENES) if is_trained else 0
    assert made == own + 3 * has_sources
    assert bool(data.target.renoised) == (not is_trained and not has_sources)


def test_prepare__renoises_nothing__has_no_scenes_of_its_own(witness):
    assert not prepared(pairs_of(4), renoises=False, witness=witness).sources


def test_prepare__pairs_of_one_scene__part_its_frame(witness):
    data = prepared(pairs_of(1), witness=witness, n_own_scenes=2)
    assert ONE_SCENE in data.notes and data.target.aside
    assert all(pair.part is not None for pair in data.target.pairs)
    several = prepared(pairs_of(2), witness=witness, n_own_scenes=2)
    assert ONE_SCENE not in several.notes and not several.target.aside
    assert several.target.scenes.tolist() == [0, 1, 0, 1]


def test_prepare__pairs_without_a_scene__are_scenes_of_their_own(witness):
    pairs = [replace(pair, scene=None) for pair in pairs_of(1)]
    data = prepared(pairs, witness=witness, n_own_scenes=2)
    assert data.target.scenes.tolist() == [0, 1, 2, 3] and not data.target.aside
