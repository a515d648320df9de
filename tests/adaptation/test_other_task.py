"""The whole loop on another task: colour pictures to be deblurred, no sensor, no noise.

What the task brings is here: its pairs, a network, and how a picture may be mirrored.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from skadl.adaptation.gates import make_gate
from skadl.adaptation.gates.accept_all import AcceptAll
from skadl.adaptation.learner import Learner
from skadl.adaptation.patches import TrainingPair, cut_fixed
from skadl.adaptation.run import train
from skadl.adaptation.stages import Schedule, TargetData
from skadl.screening import Screening
from skadl.support.progress import Progress

SIDE = 8
LEVELS = torch.tensor([0.0, 0.0, 0.0, 1.0])  # black of three colours, scale


def make_blurred(seed: int) -> TrainingPair:
    """A picture averaged over 3x3 pixels, and as it was."""
    rng = np.random.default_rng(seed)
    sharp = np.kron(rng.uniform(0.2, 0.8, (6, 6, 3)), np.ones((4, 4, 1)))
    shifts = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    blurred = np.mean([np.roll(sharp, s, axis=(0, 1)) for s in shifts], axis=0)
    frames = (torch.tensor(frame, dtype=torch.float32) for frame in (blurred, sharp))
    nothing = torch.empty(0)
    return TrainingPair(*frames, LEVELS, LEVELS, nothing, nothing, 0.0, Screening())


def mirror(windows, mirror_rows, mirror_columns, transpose):
    """A colour picture needs no pixel to spare."""
    pictures = windows[:, :-1, :-1]
    axes = [axis for axis, flips in ((1, mirror_rows), (2, mirror_columns)) if flips]
    pictures = pictures.flip(axes) if axes else pictures
    return pictures.transpose(1, 2) if transpose else pictures


class Sharpener(nn.Module):
    """One convolution beside the identity; there is nothing to tell it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 5, padding=2, bias=False)
        nn.init.zeros_(self.conv.weight)  # a start without chance

    def forward(self, x, metadata):
        return x + self.conv(x)


SCHEDULE = Schedule(
    n_pretrain_iter=100,
    n_iter=20,
    n_finetune_iter=30,
    learning_rate=5e-3,
    finetune_rate=0.3,
    batch_size=4,
    patch_side=SIDE,
    symmetry=mirror,
    source_share=0.75,
    domain_rates={},
    val_fraction=(0.2, 0.5),
)


def fit(gate_name: str):
    rng = np.random.RandomState(0)
    pairs = tuple(make_blurred(i) for i in range(6))
    target = TargetData(pairs, cut_fixed(pairs, SIDE, rng), np.arange(6.0))
    sources = {
        "street": [make_blurred(10 + i) for i in range(4)],
        "park": [make_blurred(20 + i) for i in range(4)],
    }
    learner = Learner(Sharpener(), None, 0.01)
    before = learner.evaluate(target.validation).mean()
    report = train(
        learner, target, sources, make_gate(gate_name, 40), SCHEDULE, rng, Progress(0)
    )
    return learner.evaluate(target.validation).mean() - before, report


@pytest.mark.parametrize("gate", ["evidence", "queue", "paired", "none"])
def test_train__deblurring__sharpens_under_every_gate(gate):
    gain, report = fit(gate)
    assert gain > 0.1  # dB, on the target
    assert report.n_offered == 20
    assert [row.domain for row in report.by_domain()] == ["street", "park"]


class Unread:
    """A frame that has a size and cannot be trained on."""

    shape = (24, 24, 3)


def test_train__fixed_validation__is_v_in_every_iteration_and_never_trained_on():
    rng = np.random.RandomState(0)
    pairs = [make_blurred(i) for i in range(6)]
    validation = cut_fixed(pairs, SIDE, rng)
    pairs[3:] = [replace(pair, noisy=Unread(), clean=Unread()) for pair in pairs[3:]]
    held_out = np.arange(3, 6)
    target = TargetData(
        tuple(pairs), validation, np.zeros(6), held_out=held_out, is_fixed=True
    )
    sources = {"street": [make_blurred(10 + i) for i in range(4)]}
    learner, judged = Learner(Sharpener(), None, 0.01), []

    class Watching(AcceptAll):
        measure_every = 1

        def judge(self, trial):
            judged.append(trial.after)
            return super().judge(trial)

    train(learner, target, sources, Watching(), SCHEDULE, rng, Progress(0))
    assert len(judged) == SCHEDULE.n_iter
    assert all(len(psnr) == 3 for psnr in judged)
