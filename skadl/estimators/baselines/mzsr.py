"""Meta-learning: weights from which a few gradient steps reach a new sensor."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.utils._param_validation import StrOptions
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from skadl.adaptation.patches import Batch, TrainingPair
from skadl.adaptation.report.report import DataSelectionReport
from skadl.adaptation.stages import draw_batch
from skadl.estimators.baselines.base import (
    COUNT,
    POSITIVE,
    POSITIVE_COUNT,
    Stages,
    source_training_pairs,
)
from skadl.estimators.baselines.started import StartedBaseline
from skadl.estimators.fitting import Fitting
from skadl.network.base import ModulatedNetwork
from skadl.support.progress import Progress

Loss = Callable[[Sequence[Tensor], Any], Tensor]
"""Of weights and data, such as a batch."""


class MZSR(StartedBaseline):
    """Meta-learn on the sources weights that a few steps on the target adapt.

    Soh et al., "Meta-Transfer Learning for Zero-Shot Super-Resolution" (CVPR 2020),
    approximately: moved from super-resolution to denoising, and with the first-order
    gradient of MAML (Finn et al., ICML 2017, section 5.2), which leaves out second
    derivatives. Training on all sources (section 4.1), meta-transfer learning in which
    a source domain is a task (section 4.2), then gradient steps on the target pairs in
    place of those on the one test image (section 4.3), which has no clean frame.

    Parameters
    ----------
    n_iter : int or None, default=None
        Steps of training on all sources. None is 5400 after a random start, 0 after a
        trained one, which takes the place of this training.
    n_meta_iter : int, default=90
        Meta-steps. Each takes some twenty passes, so that all parts together take as
        many as the other baselines.
    n_tasks : int, default=2
        Tasks, each a domain drawn anew, of a meta-step. The paper: 5.
    n_inner : int, default=5
        Gradient steps on a task (the paper's number).
    inner_rate : float, default=0.01
        Of these steps and of those on the target (the paper's number).
    n_adapt_iter : int, default=10
        Gradient steps on the target pairs. The paper takes 1 or 10.
    meta_rate : float, default=0.05
        Rate of the meta-optimiser, Adam, as a fraction of `learning_rate`: the paper's
        1e-4.
    conditioning : {"none", "noise"} or None, default=None
        None is "none" after a random start: the network gets nothing but the image. It
        is "noise" after a trained one.
    **shared

    Notes
    -----
    From the paper: the three parts, five inner steps of SGD at 0.01, the loss after
    each inner step with weights that move to the last step as meta-training goes on,
    L1. Different here: a U-Net in place of eight convolutions of 64 channels; support
    and query of a task are patches of the same domain's pairs; fewer and shorter parts
    (the paper: 100,000 meta-steps of five tasks).

    `loss_weighting` counts in the first part alone: the meta-loss is plain L1. After a
    trained start a quarter of the target pairs decides how much of the training is
    kept, as in `skadl.ADLDenoiser`.
    """

    _parameter_constraints: dict = {
        "n_iter": [*COUNT, None],
        "n_meta_iter": COUNT,
        "n_tasks": POSITIVE_COUNT,
        "n_inner": POSITIVE_COUNT,
        "inner_rate": POSITIVE,
        "n_adapt_iter": COUNT,
        "meta_rate": POSITIVE,
        "conditioning": [StrOptions({"none", "noise"}), None],
    }

    steps_of_random = {"n_iter": 5400}
    steps_of_trained = {"n_iter": 0}

    def __init__(
        self,
        *,
        n_iter: int | None = None,
        n_meta_iter: int = 90,
        n_tasks: int = 2,
        n_inner: int = 5,
        inner_rate: float = 0.01,
        n_adapt_iter: int = 10,
        meta_rate: float = 0.05,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.n_iter = n_iter
        self.n_meta_iter = n_meta_iter
        self.n_tasks = n_tasks
        self.n_inner = n_inner
        self.inner_rate = inner_rate
        self.n_adapt_iter = n_adapt_iter
        self.meta_rate = meta_rate

    def train(
        self, begun: Fitting, progress: Progress
    ) -> tuple[ModulatedNetwork, DataSelectionReport]:
        """Train on the sources, meta-train on them, adapt to the target."""
        pairs = source_training_pairs(begun)
        stages = Stages(begun, begun.learner(), progress)
        if n_iter := begun.parameters["n_iter"]:
            stages.train_on("pre-training", pairs, n_iter)
        record = stages.record
        adapt = partial(self._adapt, begun, stages.target_pairs)
        record.run("meta-training", self.n_meta_iter, partial(self._meta_train, begun))
        record.run("adaptation", self.n_adapt_iter, adapt)
        return begun.network, stages.report()

    def _meta_train(self, begun: Fitting, iterations: Iterator[int]) -> Iterator[float]:
        schedule, loss = begun.schedule(), _loss_of(begun.network)
        weights = trainable(begun.network)
        optimizer = torch.optim.Adam(weights, self.learning_rate * self.meta_rate)
        domains = list(begun.data.sources.values())
        for step in iterations:
            tasks = []
            for index in begun.rng.randint(len(domains), size=self.n_tasks):
                domain = domains[index]
                *support, query = (
                    draw_batch(domain, schedule, begun.rng)
                    for _ in range(self.n_inner + 1)
                )
                tasks.append((support, query))
            share = step / max(self.n_meta_iter - 1, 1)
            value, gradients = meta_gradient(
                weights,
                loss,
                tasks,
                self.inner_rate,
                step_weights(self.n_inner, share),
            )
            if math.isfinite(value):
                for weight, gradient in zip(weights, gradients, strict=True):
                    weight.grad = gradient
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            yield value

    def _adapt(
        self,
        begun: Fitting,
        pairs: Sequence[TrainingPair],
        iterations: Iterator[int],
    ) -> Iterator[float]:
        schedule, loss = begun.schedule(), _loss_of(begun.network)
        weights = trainable(begun.network)
        for _ in iterations:
            batch = draw_batch(pairs, schedule, begun.rng)
            value = loss(weights, batch)
            gradients = torch.autograd.grad(value, weights)
            with torch.no_grad():
                torch._foreach_add_(weights, gradients, alpha=-self.inner_rate)
            yield value.item()


def meta_gradient(
    weights: Sequence[Tensor],
    loss: Loss,
    tasks: Sequence[tuple[Sequence[Any], Any]],
    inner_rate: float,
    importance: np.ndarray,
) -> tuple[float, list[Tensor]]:
    """Return the mean loss after adaptation, and its first-order gradient.

    Each task has the data of every inner step, and the data that its loss after each
    step is measured on. `importance` (n_steps,) weighs the losses after the steps.
    First order: the gradient at the adapted weights is taken for that at the weights.
    """
    total = [torch.zeros_like(weight) for weight in weights]
    value = 0.0
    for support, query in tasks:
        adapted = [weight.detach().clone().requires_grad_(True) for weight in weights]
        for data, part in zip(support, importance, strict=True):
            steps = torch.autograd.grad(loss(adapted, data), adapted)
            with torch.no_grad():
                torch._foreach_add_(adapted, steps, alpha=-inner_rate)
            if part:
                after = loss(adapted, query)
                value += float(part) * after.item() / len(tasks)
                gradients = torch.autograd.grad(after, adapted)
                torch._foreach_add_(total, gradients, alpha=float(part) / len(tasks))
    return value, total


def step_weights(n_steps: int, share: float) -> np.ndarray:
    """Weigh the losses after each inner step: alike at first (0), the last alone (1).

    >>> step_weights(4, 0.0), step_weights(4, 1.0)
    (array([0.25, 0.25, 0.25, 0.25]), array([0., 0., 0., 1.]))
    """
    last = np.zeros(n_steps)
    last[-1] = 1.0
    return (1 - share) / n_steps + share * last


def trainable(network: torch.nn.Module) -> list[Tensor]:
    """Return the weights that training moves."""
    return [weight for weight in network.parameters() if weight.requires_grad]


def _loss_of(network: torch.nn.Module) -> Loss:
    names = [n for n, weight in network.named_parameters() if weight.requires_grad]

    def loss(weights: Sequence[Tensor], batch: Batch) -> Tensor:
        given = dict(zip(names, weights, strict=True))
        denoised = functional_call(network, given, (batch.noisy, batch.metadata))
        return F.l1_loss(denoised, batch.clean)

    return loss
