"""Which estimators a model file may hold; classes are loaded when they are asked for.

By name: the estimators import what reads and writes model files.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from skadl.support.strictjson import check_names

DEFAULT_ESTIMATOR = "ADLDenoiser"
_BASELINES = "skadl.estimators.baselines"
_HOMES = {
    DEFAULT_ESTIMATOR: "skadl.estimators.adl",
    "Blind2Unblind": f"{_BASELINES}.blind2unblind",
    "FineTuning": f"{_BASELINES}.fine_tuning",
    "JointTraining": f"{_BASELINES}.joint_training",
    "LED": f"{_BASELINES}.led",
    "MZSR": f"{_BASELINES}.mzsr",
    "NoiseCalibration": f"{_BASELINES}.noise_calibration",
    "Prabhakar": f"{_BASELINES}.prabhakar",
    "TargetOnly": f"{_BASELINES}.target_only",
    "TransferLearning": f"{_BASELINES}.transfer_learning",
}


def saved_class(name: str) -> type:
    """Return the class of that name; ValueError for one that is not saved to files."""
    if name not in _HOMES:
        raise ValueError(
            f"its estimator is {reprlib.repr(name)}; this skadl knows {sorted(_HOMES)}"
        )
    return getattr(import_module(_HOMES[name]), name)


def is_saved(kind: type) -> bool:
    """Whether models of exactly this class can be written to files."""
    return kind.__name__ in _HOMES and saved_class(kind.__name__) is kind


def check_parameters(name: str, record: Mapping[str, Any]) -> None:
    """Refuse parameters of a model file that its estimator does not take."""
    kind = saved_class(name)
    check_names("parameters", record, kind._get_param_names())
    kind(**record)._validate_params()
