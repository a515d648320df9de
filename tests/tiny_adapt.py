"""Tiny targets, sources and learners that remember what the loop gave them."""

from __future__ import annotations

import numpy as np
import torch

from skadl.adaptation.gates import Verdict
from skadl.adaptation.learner import Learner
from skadl.adaptation.patches import cut_fixed
from skadl.adaptation.stages import Schedule, TargetData, adapt
from skadl.estimators.training_pairs import symmetry_of, to_training_pair
from skadl.network.choice import build_network
from skadl.noise.noise_level import NoiseLevel
from skadl.raw.image import RawImage
from skadl.raw.pair import RawPair
from skadl.screening import Screening

CPU = torch.device("cpu")
SIDE = 4
FAULTLESS = Screening()
SCHEDULE = Schedule(
    n_pretrain_iter=6,
    n_iter=12,
    n_finetune_iter=5,
    learning_rate=1e-2,
    finetune_rate=0.3,
    batch_size=6,
    patch_side=SIDE,
    symmetry=symmetry_of(4),
    source_share=0.5,
    domain_rates={},
    val_fraction=(0.2, 0.5),
)


class ScriptedGate:
    """Accepts what its script says, and keeps what it was shown."""

    measure_every = 1

    def __init__(self, script=(), otherwise=True, needs_before=True, preferred=None):
        self.preferred = preferred or {}
        self.script, self.otherwise = list(script), otherwise
        self.needs_before = needs_before
        self.seeds, self.trials = [], []

    def start(self, psnr):
        self.seeds.append(psnr)

    def refuse(self, fault):
        return None

    def sampling_weight(self, domain):
        return self.preferred.get(domain, 1.0)

    def judge(self, trial):
        self.trials.append(trial)
        n_before = len(self.trials) - 1
        in_script = n_before < len(self.script)
        accepted = self.script[n_before] if in_script else self.otherwise
        return Verdict(accepted, 0.0, 0.0, "scripted")


class WatchedLearner(Learner):
    """A learner that keeps every batch it saw; `metadata` names the pairs."""

    def __init__(self, *args):
        super().__init__(*args)
        self.stepped, self.evaluated = [], []

    def step(self, batch, learning_rate):
        self.stepped.append((batch, learning_rate))
        self.evaluated.append([])
        return super().step(batch, learning_rate)

    def evaluate(self, batch):
        if self.evaluated:
            self.evaluated[-1].append(batch)
        return super().evaluate(batch)


def make_stored(index, *, level=0.5, iso=100.0, screening=FAULTLESS):
    """A flat, slightly noisy pair whose metadata is its number."""
    rng = np.random.default_rng(index)
    clean = np.full((12, 12), level)
    noisy = clean + 0.05 * rng.standard_normal(clean.shape)
    facts = ("RGGB", 0, 1, "S", iso)
    pair = RawPair(RawImage(noisy, *facts), RawImage(clean, *facts))
    number = np.array([index], np.float32)
    noise = NoiseLevel(1e-3, 1e-4)
    return to_training_pair(pair, number, noise, np.zeros(4), screening, CPU)


def make_target(n_pairs, gains=None):
    pairs = tuple(make_stored(i) for i in range(n_pairs))
    gains = np.arange(1.0, n_pairs + 1) if gains is None else np.asarray(gains)
    return TargetData(pairs, cut_fixed(pairs, SIDE, np.random.RandomState(0)), gains)


def make_sources(n_pairs=3, **facts):
    return {
        "near": [make_stored(100 + i, iso=200, **facts) for i in range(n_pairs)],
        "far": [make_stored(200 + i, iso=800, **facts) for i in range(n_pairs)],
    }


def make_watched(seed=0):
    return WatchedLearner(build_network(1, 4, 2, 8, CPU, seed), None, 0.01)


def run(gate, *, learner=None, target=None, sources=None, schedule=SCHEDULE, seed=0):
    learner = make_watched() if learner is None else learner
    target = make_target(6) if target is None else target
    sources = make_sources() if sources is None else sources
    rng = np.random.RandomState(seed)
    decisions = list(adapt(learner, target, sources, gate, schedule, rng))
    return learner, decisions


def numbers(batch):
    return batch.metadata[:, 0].to(int).tolist()


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
