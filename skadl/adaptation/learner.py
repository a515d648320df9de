"""The model being trained: one step, one evaluation, one way back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skadl.adaptation.patches import Batch
from skadl.evaluation.metrics import SMALLEST_MSE
from skadl.support.allocation import keep_freed_memory

MAX_GRADIENT_NORM = 1.0
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what the optimizer keeps of a weight
LossWeight = Callable[[Batch], Tensor]


def batch_psnr(restored: Tensor, clean: Tensor) -> np.ndarray:
    """Measure the PSNR (B,) of images clipped to [0, 1]; NaN where not finite."""
    finite = restored.isfinite().all(dim=(1, 2, 3))  # the clamp would hide it
    error = restored.clamp(0, 1).sub_(clean.clamp(0, 1))
    mse = error.square_().mean(dim=(1, 2, 3)).double()
    mse.masked_fill_(~finite, math.nan)
    return (-10 * torch.log10(mse.clamp_(min=SMALLEST_MSE))).cpu().numpy()


class Learner:
    """A network with its optimizer, able to undo the last steps bit by bit.

    `network` restores a batch, ``network(noisy, metadata)``; it is on its device
    already, in channels_last. `autocast_dtype` is the precision of training, None full
    float32: validation is always float32, so that it cannot flip a gate's decision.
    `loss_weight` gives the weight (B,) of each image in the loss; None: all alike.
    """

    def __init__(
        self,
        network: nn.Module,
        autocast_dtype: torch.dtype | None,
        weight_decay: float,
        loss_weight: LossWeight | None = None,
    ) -> None:
        keep_freed_memory()
        self.network = network
        self.device = next(network.parameters()).device
        self.autocast_dtype = autocast_dtype
        self.loss_weight = loss_weight
        self.parameters = list(network.parameters())
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=0.0, weight_decay=weight_decay, fused=True
        )
        for parameter in self.parameters:
            # The state that the first step would make, made now: so there is
            # always one to save.
            self.optimizer.state[parameter] = {
                "step": torch.zeros((), device=self.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        self._state = self._weights_and_moments()
        self._saved = [tensor.clone() for tensor in self._state]
        self._stepped = False  # since weights and moments were last as saved

    def step(self, batch: Batch, learning_rate: float) -> float:
        """Take one AdamW step on the L1 loss of a batch (Eq. 1), and return that loss.

        NaN where the loss or its gradient was not finite; then no step was taken.
        """
        with torch.autocast(
            self.device.type,
            dtype=self.autocast_dtype,
            enabled=self.autocast_dtype is not None,
        ):
            denoised = self.network(batch.noisy, batch.metadata)
        loss = self._loss(denoised, batch)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, MAX_GRADIENT_NORM)
        # Both at once: a GPU is waited for only here. An infinite loss may well have a
        # finite gradient.
        value, norm = torch.stack([loss.detach(), norm]).tolist()
        finite = math.isfinite(value) and math.isfinite(norm)
        if finite:
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate
            self._stepped = True
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return value if finite else math.nan

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> np.ndarray:
        """Measure the PSNR (B,) of images clipped to [0, 1]; NaN where not finite."""
        return batch_psnr(self.network(batch.noisy, batch.metadata), batch.clean)

    @torch.no_grad()
    def save(self) -> None:
        """Remember weights and optimizer moments as they are now."""
        # After a `restore` they are remembered already: one copy an iteration is
        # enough, whether the step was good or not.
        if self._stepped:
            torch._foreach_copy_(self._saved, self._state)
            self._stepped = False

    @torch.no_grad()
    def restore(self) -> None:
        """Return weights and optimizer moments, bit by bit, to the last `save`."""
        torch._foreach_copy_(self._state, self._saved)
        self._stepped = False

    def memory(self) -> dict[str, list[np.ndarray]]:
        """Return weights, step counts and moments, each in the order of `parameters`.

        They are copies on the CPU, in C order.
        """
        kinds = {"weights": [p.detach() for p in self.parameters]}
        for kind in MOMENTS:
            kinds[kind] = [self.optimizer.state[p][kind] for p in self.parameters]
        return {
            kind: [np.array(tensor.cpu().numpy(), order="C") for tensor in tensors]
            for kind, tensors in kinds.items()
        }

    @torch.no_grad()
    def recall(self, memory: Mapping[str, Sequence[np.ndarray]]) -> None:
        """Go on from what `memory` returned."""
        for kind, arrays in memory.items():
            for parameter, array in zip(self.parameters, arrays, strict=True):
                held = self.optimizer.state[parameter].get(kind, parameter)
                held.copy_(torch.from_numpy(array))
        self._stepped = True

    def weights(self) -> list[Tensor]:
        """Return a copy of the weights, in the order of `parameters`."""
        return [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def move_between(self, start: list[Tensor], end: list[Tensor], part: float) -> None:
        """Put the weights on the line from `start` (`part` 0) to `end` (`part` 1).

        Both ends are met bit by bit. The optimizer's moments stay.
        """
        if part in (0.0, 1.0):
            torch._foreach_copy_(self.parameters, end if part else start)
        else:
            torch._foreach_copy_(self.parameters, torch._foreach_lerp(start, end, part))
        self._stepped = True

    def _loss(self, denoised: Tensor, batch: Batch) -> Tensor:
        if self.loss_weight is None:
            return F.l1_loss(denoised, batch.clean)
        error = (denoised - batch.clean).abs().mean(dim=(1, 2, 3))  # (B,)
        return (error * self.loss_weight(batch)).mean()

    def _weights_and_moments(self) -> list[Tensor]:
        moments = (
            tensor
            for parameter in self.parameters
            for tensor in self.optimizer.state[parameter].values()
        )
        return [*(parameter.data for parameter in self.parameters), *moments]
