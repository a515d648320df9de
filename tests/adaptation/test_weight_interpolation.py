"""The last stage goes as far as pairs that it did not see allow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_adapt import make_target, make_watched, same

from skadl.adaptation.patches import select
from skadl.adaptation.weight_interpolation import (
    PARTS,
    WeightInterpolation,
    interpolate_weights,
)


@pytest.fixture
def validation():
    target = make_target(4)
    return select(target.validation, np.array([0, 1]))


def ends(change):
    """A learner moved from its start by `change` of every weight."""
    learner = make_watched()
    before = learner.weights()
    after = [w + change * torch.ones_like(w) for w in before]
    learner.move_between(before, after, 1.0)
    return learner, before, after


def test_settle__a_stage_that_ruined_the_network__is_taken_back(validation):
    learner, before, _ = ends(0.5)
    kept = interpolate_weights(learner, before, validation)
    assert kept.part < 1.0 and kept.gain >= 0.0 > kept.gain_of_all
    if kept.part == 0.0:
        assert same(learner.weights(), before)


def test_settle__a_stage_that_gave_nan__is_taken_back(validation):
    learner, before, _ = ends(float("nan"))
    kept = interpolate_weights(learner, before, validation)
    assert kept.part == 0.0 and same(learner.weights(), before)


def test_settle__a_stage_that_helped__is_kept_whole(validation):
    learner, worse, better = ends(0.5)
    learner.move_between(worse, better, 0.0)  # the untrained network is the best here
    kept = interpolate_weights(learner, better, validation)
    assert kept.part == 1.0 and kept.gain == kept.gain_of_all > 0
    assert same(learner.weights(), worse)


@pytest.mark.parametrize("part", PARTS)
def test_move_between__stands_on_the_line(part):
    learner, before, after = ends(0.25)
    learner.move_between(before, after, part)
    for weight, start in zip(learner.weights(), before, strict=True):
        torch.testing.assert_close(weight, start + 0.25 * part)


@pytest.mark.parametrize(
    ("kept", "text"),
    [
        (
            WeightInterpolation(0.75, 1, 0.214, -0.1),
            "75% of fine-tuning kept: 1 pair held out of it gain +0.21 dB there, "
            "-0.10 dB at its end.",
        ),
        (
            WeightInterpolation(0.25, 3, 0.001, -0.001),
            "25% of fine-tuning kept: 3 pairs held out of it gain +0.00 dB there, "
            "+0.00 dB at its end.",
        ),
        (
            WeightInterpolation(1.0, 4, 0.3, 0.3),
            "all of fine-tuning kept: 4 pairs held out of it gain +0.30 dB.",
        ),
        (
            WeightInterpolation(0.0, 2, 0.0, -0.2),
            "none of fine-tuning kept: 2 pairs held out of it gain by no part of it, "
            "-0.20 dB by all.",
        ),
    ],
)
def test_weight_interpolation__says_what_was_kept_and_why(kept, text):
    assert str(kept) == text
