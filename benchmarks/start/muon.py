"""Muon: momentum whose matrix is orthogonalised before it becomes a step.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024). The
size of a step is matched to AdamW's as in Liu et al., "Muon is Scalable for LLM
Training" (2025), so that one learning rate serves both.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

_MOMENTUM = 0.95
_ROUNDS = 5  # of the Newton-Schulz iteration
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Jordan et al.: fast, within 0.7 to 1.2
_ADAM_SIZE = 0.2  # root mean square of a typical AdamW step at rate 1


class Muon(torch.optim.Optimizer):
    """Steps for convolution kernels; all else stays with AdamW."""

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, weight_decay: float
    ) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Take one step along the orthogonalised momentum."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum = state["momentum"]
                momentum.lerp_(parameter.grad, 1 - _MOMENTUM)
                ahead = parameter.grad.lerp(momentum, _MOMENTUM)  # Nesterov
                matrix = ahead.flatten(1)  # (out, in, 3, 3) -> (out, 9 in)
                size = _ADAM_SIZE * max(matrix.shape) ** 0.5
                update = orthogonalise(matrix).view_as(ahead)
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-group["lr"] * size)


def orthogonalise(matrix: Tensor) -> Tensor:
    """Bring all singular values of a matrix (m, n) near 1, float32."""
    a, b, c = _COEFFICIENTS
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if is_tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(_ROUNDS):
        gram = x @ x.T  # (m, m)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if is_tall else x
