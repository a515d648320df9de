"""Adaptive domain learning: the three stages, to be laid beside Algorithm 1.

Letters as in the paper: T^adp target pairs, V' validation subset of size k,
T^train the rest of T^adp, S' source batch, theta the weights. Stages are
generators: they do the work and yield what happened, the caller records it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field

import numpy as np

from skadl.adaptation.gates.base import Gate, Trial, Verdict
from skadl.adaptation.learner import Learner
from skadl.adaptation.patches import (
    Augmentation,
    Batch,
    Symmetry,
    TrainingPair,
    cut_patches,
    select,
)
from skadl.adaptation.report.decisions import BatchDecision
from skadl.adaptation.sampling import SourceSampler

FEW_PAIRS = 10  # below which V' is chosen for diverse system gain (section 3.1.2)
NON_FINITE = ("non-finite loss", "non-finite evaluation")  # reasons, not a gate's
WARM_UP = 0.05  # share of pre-training in which the learning rate rises


@dataclass(frozen=True, eq=False)
class TargetData:
    """T^adp as the stages use it."""

    pairs: tuple[TrainingPair, ...]
    validation: Batch  # one fixed patch of each pair, in order: V' is a subset
    gains: np.ndarray  # (n,) system gain, or ISO where the gain is not known
    held_out: np.ndarray = field(default_factory=lambda: np.array([], int))
    # Whether those held out are a validation set of their own: V' in every iteration,
    # as in the paper's appendix on other tasks, where no target pair is both.
    is_fixed: bool = False
    # Their scenes under new noise, for the first stage; empty where there are none.
    renoised: tuple[TrainingPair, ...] = ()
    # (n,) number of the scene that each pair shows; by default one of its own.
    scenes: np.ndarray | None = None
    # Parts of frames that no pair is trained on, where all pairs show one scene.
    aside: tuple[TrainingPair, ...] = ()

    def __post_init__(self) -> None:
        if self.scenes is None:
            super().__setattr__("scenes", np.arange(len(self.pairs)))

    @property
    def trainable(self) -> np.ndarray:
        """Positions of the pairs that may be trained on."""
        return np.setdiff1d(np.arange(len(self.pairs)), self.held_out)


@dataclass(frozen=True)
class Schedule:
    """How long, how fast and on how much each stage trains.

    Parameters
    ----------
    n_pretrain_iter, n_iter, n_finetune_iter : int
        Iterations of the three stages.
    learning_rate : float
        Peak; held in pre-training, then falling to zero in each of the later stages.
    pretrain_falls : bool
        Whether it falls to zero in pre-training, too: where no second stage follows.
    finetune_rate : float
        Fraction of `learning_rate` at which the last stage starts.
    batch_size, patch_side : int
        Patches of a step, and the packed pixels of a patch's side.
    symmetry : callable
        Mirrors and transposes patches; see `skadl.adaptation.patches.Symmetry`.
    source_share : float
        Fraction of a batch that comes from the sources in the second stage.
    domain_rates : mapping of domain name to float
        Fractions of source batches that come from domains not drawn like the others.
    val_fraction : tuple of two floats
        k as a fraction of T^adp, at the first and the last iteration.
    diverse_below : int
        Of fewer target pairs V' is chosen so that its system gains span the range.
    renoised_share : float
        Fraction of the first stage's patches that come from the target's own scenes
        under new noise, where `TargetData` has these.
    least_admitted : float
        Share of a domain's pairs that must be let in, or none of them are used: where
        pairs are judged by comparison with others, half; where each is judged by
        itself, none.
    augment : callable or None
        Changes a batch before it is trained on; see
        `skadl.adaptation.patches.Augmentation`.
    """

    n_pretrain_iter: int
    n_iter: int
    n_finetune_iter: int
    learning_rate: float
    finetune_rate: float
    batch_size: int
    patch_side: int
    symmetry: Symmetry
    source_share: float
    domain_rates: Mapping[str, float]
    val_fraction: tuple[float, float]
    diverse_below: int = FEW_PAIRS
    pretrain_falls: bool = False
    renoised_share: float = 0.0
    least_admitted: float = 0.5
    augment: Augmentation | None = None


def pretrain(
    learner: Learner,
    target: TargetData,
    schedule: Schedule,
    rng: np.random.RandomState,
    iterations: Iterable[int] | None = None,
) -> Iterator[float]:
    """First stage, line 1: initialise theta_0 on T^adp; yields each loss.

    The rate rises and then stays: an annealed start would let no later step of the
    second stage look like an improvement. `Schedule.pretrain_falls` is for fits that
    have none.

    Parameters
    ----------
    learner : Learner
        Trained in place.
    target : TargetData
    schedule : Schedule
    rng : RandomState
    iterations : iterable of int, optional
        Those to do; all by default.

    Yields
    ------
    float
    """
    n_warm = max(1, round(WARM_UP * schedule.n_pretrain_iter))
    pairs = [target.pairs[i] for i in target.trainable]
    for t in _all_or(iterations, schedule.n_pretrain_iter):
        rate = schedule.learning_rate * min(1.0, (t + 1) / n_warm)
        if schedule.pretrain_falls:
            rate *= _cosine(t / schedule.n_pretrain_iter)
        yield learner.step(draw_batch(pairs, schedule, rng, target.renoised), rate)


def adapt(
    learner: Learner,
    target: TargetData,
    sources: Mapping[str, Sequence[TrainingPair]],
    gate: Gate,
    schedule: Schedule,
    rng: np.random.RandomState,
    iterations: Iterable[int] | None = None,
) -> Iterator[BatchDecision]:
    """Second stage, lines 2-13: train on source batches that the gate accepts.

    Parameters
    ----------
    learner : Learner
        Trained in place.
    target : TargetData
    sources : mapping of domain name to sequence of TrainingPair
    gate : Gate
    schedule : Schedule
    rng : RandomState
    iterations : iterable of int, optional
        Those to do; all by default. The gate is started in the first of all.

    Yields
    ------
    BatchDecision
        One an iteration, and one more for each reason why the gate refused pairs
        before any training; see `SourceSampler`.

    Notes
    -----
    Where the paper is silent: the domain is drawn uniformly (those of `domain_rates`
    at rates of their own) and one domain fills the source part of a batch; T^train is
    sampled to fill the rest of the batch rather than added whole; Eval uses one
    fixed patch of each target pair; a rejection also returns the optimizer's
    moments; the learning rate follows a cosine down to zero, so that the network is
    as good as it gets should fine-tuning not help. A loss, gradient or evaluation
    that is not finite is a rejection.
    """
    sampler = SourceSampler(
        sources, gate, schedule.domain_rates, schedule.least_admitted
    )
    n_source = max(1, round(schedule.source_share * schedule.batch_size))
    trainable = target.trainable
    for t in _all_or(iterations, schedule.n_iter):
        if t == 0:  # 2: Q^eval begins with Eval(V', theta_0)
            v = draw_validation(target, schedule, 0, rng)
            gate.start(learner.evaluate(select(target.validation, v)))
        rate = schedule.learning_rate * _cosine(t / schedule.n_iter)
        # 3: sample S' from some domain S_i
        draw = sampler.draw(n_source, rng)
        name = draw.refused_domain
        yield from _refusals(t, name, sources[name], draw.refused_ids, gate)
        if draw.domain is None:  # nothing is left of the sources: go on without
            pairs = [target.pairs[i] for i in trainable]
            _target_step(learner, pairs, schedule, rate, rng)
            continue
        source_part = [sources[draw.domain][i] for i in draw.pair_ids]
        # 4: sample V' from T^adp; the rest is T^train
        v = draw_validation(target, schedule, t, rng)
        t_train = np.setdiff1d(trainable, v)
        if not len(t_train):  # of two or three pairs, some held out: trained on anyway
            t_train = trainable
        measured = t % gate.measure_every == 0
        v_prime = select(target.validation, v) if measured else None
        # 5: S' = T^train + S'
        drawn = rng.choice(t_train, size=schedule.batch_size - n_source)
        s_prime = source_part + [target.pairs[i] for i in drawn]
        # 6: theta' <- theta - alpha grad L(S')
        before = after = None
        if measured and gate.needs_before:
            before = learner.evaluate(v_prime)
        learner.save()
        loss = learner.step(_cut(s_prime, schedule, rng), rate)
        # 7, 9-11: Eval(V', theta') against the gate, which keeps Q^eval
        if measured and math.isfinite(loss):
            after = learner.evaluate(v_prime)
        verdict = _judge(gate, Trial(draw.domain, before, after), loss)
        # 8: theta_t = theta'
        if not verdict.accepted:  # 12-13: theta_t = theta_{t-1}
            learner.restore()
        yield _decision(t, draw.domain, draw.pair_ids, source_part, verdict)


def finetune(
    learner: Learner,
    pairs: Sequence[TrainingPair],
    schedule: Schedule,
    rng: np.random.RandomState,
    iterations: Iterable[int] | None = None,
) -> Iterator[float]:
    """Third stage, line 14: fine-tune theta_T on pairs of T^adp; yields each loss.

    Parameters
    ----------
    learner : Learner
        Trained in place.
    pairs : sequence of TrainingPair
    schedule : Schedule
    rng : RandomState
    iterations : iterable of int, optional
        Those to do; all by default.

    Yields
    ------
    float
    """
    for t in _all_or(iterations, schedule.n_finetune_iter):
        rate = schedule.learning_rate * schedule.finetune_rate
        rate *= _cosine(t / schedule.n_finetune_iter)
        yield _target_step(learner, pairs, schedule, rate, rng)


def draw_batch(
    pairs: Sequence[TrainingPair],
    schedule: Schedule,
    rng: np.random.RandomState,
    renoised: Sequence[TrainingPair] = (),
) -> Batch:
    """Draw pairs uniformly, a share of them `renoised`, and cut a patch from each."""
    drawn = rng.randint(len(pairs), size=schedule.batch_size)
    chosen = [pairs[i] for i in drawn]
    if renoised:
        made = rng.randint(len(renoised), size=schedule.batch_size)
        for k in np.flatnonzero(
            rng.random_sample(schedule.batch_size) < schedule.renoised_share
        ):
            chosen[k] = renoised[made[k]]
    return _cut(chosen, schedule, rng)


def validation_size(fraction: float, n_pairs: int) -> int:
    """Return k: `fraction` of `n_pairs`, at least one image, at most all but one."""
    return min(max(1, round(fraction * n_pairs)), n_pairs - 1)


def draw_diverse(
    gains: np.ndarray, size: int, rng: np.random.RandomState
) -> np.ndarray:
    """Draw images whose gains (n,) span the range: one from each of `size` strata."""
    # Ties are broken at random, or equal gains would freeze the strata.
    order = np.lexsort((rng.random_sample(len(gains)), gains))
    return np.array([rng.choice(stratum) for stratum in np.array_split(order, size)])


def draw_validation(
    target: TargetData, schedule: Schedule, t: int, rng: np.random.RandomState
) -> np.ndarray:
    """Draw V' of iteration t as positions in T^adp."""
    if target.is_fixed:
        return target.held_out
    gains = target.gains
    start, end = schedule.val_fraction
    fraction = start + (end - start) * t / schedule.n_iter
    size = validation_size(fraction, len(gains))
    if len(gains) < schedule.diverse_below:
        return draw_diverse(gains, size, rng)
    return rng.choice(len(gains), size=size, replace=False)


def _judge(gate: Gate, trial: Trial, loss: float) -> Verdict:
    if not math.isfinite(loss):
        return Verdict(False, math.nan, math.nan, NON_FINITE[0])
    measured = [psnr for psnr in (trial.before, trial.after) if psnr is not None]
    if not all(np.isfinite(psnr).all() for psnr in measured):
        return Verdict(False, math.nan, math.nan, NON_FINITE[1])
    return gate.judge(trial)


def _refusals(
    iteration: int,
    domain: str,
    pairs: Sequence[TrainingPair],
    refused_ids: np.ndarray,
    gate: Gate,
) -> Iterator[BatchDecision]:
    """One decision a reason, with the verdict on the worst of its pairs."""
    by_reason: dict[str, list[int]] = {}
    verdicts = {i: gate.refuse(pairs[i].fault) for i in refused_ids.tolist()}
    for i, verdict in verdicts.items():
        by_reason.setdefault(verdict.reason, []).append(i)
    for ids in by_reason.values():
        worst = min((verdicts[i] for i in ids), key=lambda verdict: verdict.score)
        refused = [pairs[i] for i in ids]
        yield _decision(iteration, domain, np.array(ids), refused, worst)


def _decision(
    iteration: int,
    domain: str,
    pair_ids: np.ndarray,
    pairs: Sequence[TrainingPair],
    verdict: Verdict,
) -> BatchDecision:
    isos = tuple(pair.iso for pair in pairs)
    ids = tuple(pair_ids.tolist())
    return BatchDecision(iteration, domain, ids, isos, *astuple(verdict))


def _target_step(
    learner: Learner,
    pairs: Sequence[TrainingPair],
    schedule: Schedule,
    rate: float,
    rng: np.random.RandomState,
) -> float:
    return learner.step(draw_batch(pairs, schedule, rng), rate)


def _cut(
    pairs: Sequence[TrainingPair], schedule: Schedule, rng: np.random.RandomState
) -> Batch:
    batch = cut_patches(pairs, schedule.patch_side, schedule.symmetry, rng)
    return batch if schedule.augment is None else schedule.augment(batch, rng)


def _all_or(iterations: Iterable[int] | None, n_iter: int) -> Iterable[int]:
    return range(n_iter) if iterations is None else iterations


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))
