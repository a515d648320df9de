"""The methods that the paper compares with, each with `fit` and `predict`.

``from skadl.baselines import FineTuning``. Re-implemented from their papers; each
docstring says what was taken from there and what differs. Names are loaded when they
are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skadl.support.lazy import attach

if TYPE_CHECKING:  # what completion and type checkers read
    from skadl.estimators.baselines.any_denoiser import AnyDenoiser as AnyDenoiser
    from skadl.estimators.baselines.blind2unblind import Blind2Unblind as Blind2Unblind
    from skadl.estimators.baselines.bm3d import BM3D as BM3D
    from skadl.estimators.baselines.deep_image_prior import (
        DeepImagePrior as DeepImagePrior,
    )
    from skadl.estimators.baselines.fine_tuning import FineTuning as FineTuning
    from skadl.estimators.baselines.joint_training import JointTraining as JointTraining
    from skadl.estimators.baselines.led import LED as LED
    from skadl.estimators.baselines.mzsr import MZSR as MZSR
    from skadl.estimators.baselines.noise_calibration import (
        NoiseCalibration as NoiseCalibration,
    )
    from skadl.estimators.baselines.prabhakar import Prabhakar as Prabhakar
    from skadl.estimators.baselines.target_only import TargetOnly as TargetOnly
    from skadl.estimators.baselines.transfer_learning import (
        TransferLearning as TransferLearning,
    )
    from skadl.estimators.baselines.zero_shot_noise2noise import (
        ZeroShotNoise2Noise as ZeroShotNoise2Noise,
    )

_BASELINES = {
    "AnyDenoiser": "any_denoiser",
    "BM3D": "bm3d",
    "Blind2Unblind": "blind2unblind",
    "DeepImagePrior": "deep_image_prior",
    "FineTuning": "fine_tuning",
    "JointTraining": "joint_training",
    "LED": "led",
    "MZSR": "mzsr",
    "NoiseCalibration": "noise_calibration",
    "Prabhakar": "prabhakar",
    "TargetOnly": "target_only",
    "TransferLearning": "transfer_learning",
    "ZeroShotNoise2Noise": "zero_shot_noise2noise",
}
__getattr__, __dir__, _names = attach(
    __name__, {f"{__name__}.{module}": name for name, module in _BASELINES.items()}
)
__all__ = [*_names]
