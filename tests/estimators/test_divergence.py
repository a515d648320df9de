"""A training that has diverged is given up soon, and what does nothing is said."""

from __future__ import annotations

import pytest
from tiny_fits import source_pool, target_pairs, tiny_denoiser

from skadl.adaptation.learner import Learner


@pytest.fixture
def steps(monkeypatch):
    """The losses of all steps of a fit."""
    losses = []
    step = Learner.step

    def count(self, batch, learning_rate):
        losses.append(step(self, batch, learning_rate))
        return losses[-1]

    monkeypatch.setattr(Learner, "step", count)
    return losses


@pytest.mark.parametrize(
    "stage", [{"n_pretrain_iter": 2000}, {"n_finetune_iter": 2000, "finetune_rate": 1}]
)
def test_fit__diverged_on_the_target__stops_soon(stage, steps):
    lengths = {"n_pretrain_iter": 0, "n_iter": 0, "n_finetune_iter": 0, **stage}
    with pytest.raises(FloatingPointError, match="after 100 failed steps of .*smaller"):
        tiny_denoiser(learning_rate=1e30, **lengths).fit(target_pairs())
    assert len(steps) < 200


@pytest.mark.parametrize("gate", ["none", "evidence"])
def test_fit__diverged_on_sources__stops_soon(gate, steps):
    model = tiny_denoiser(
        learning_rate=1e30, n_pretrain_iter=0, n_iter=400, n_finetune_iter=0, gate=gate
    )
    with pytest.raises(FloatingPointError, match="failed steps of adaptation"):
        model.fit(target_pairs(), source_pairs=source_pool())
    assert len(steps) < 300


def test_fit__n_iter_without_sources__says_that_it_does_nothing():
    model = tiny_denoiser(n_iter=7)
    said = "n_iter=7 does nothing without source_pairs.*n_pretrain_iter, here 3"
    with pytest.warns(UserWarning, match=said):
        model.fit(target_pairs())
    assert model.n_iter_ == 3 + 2
