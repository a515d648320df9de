"""The methods that the paper compares with, each with `fit` and `predict`.

``from skadl.baselines import FineTuning``. Re-implemented from their papers; each
docstring says what was taken from there and what differs. Names are loaded when they
are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skadl.support.lazy import attach

if TYPE_CHECKING:  # what completion and type checkers read
    from skadl.estimators.baselines.fine_tuning import FineTuning as FineTuning
    from skadl.estimators.baselines.joint_training import JointTraining as JointTraining
    from skadl.estimators.baselines.target_only import TargetOnly as TargetOnly

_BASELINES = {
    "FineTuning": "fine_tuning",
    "JointTraining": "joint_training",
    "TargetOnly": "target_only",
}
__getattr__, __dir__, _names = attach(
    __name__, {f"{__name__}.{module}": name for name, module in _BASELINES.items()}
)
__all__ = [*_names]
