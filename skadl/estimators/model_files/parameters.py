"""What a model file keeps of an estimator's parameters: plain values."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

# What a file cannot hold: parameter, how it is told, what is kept instead, why.
_LEFT_OUT: tuple[tuple[str, Callable[[Any], bool], Any, str], ...] = (
    (
        "random_state",
        lambda value: isinstance(value, np.random.RandomState),
        None,
        "random_state is a RandomState, which a model file cannot hold: the saved "
        "model has random_state=None. It predicts the same; for a fit that can be "
        "repeated give an int.",
    ),
    (
        "start",
        lambda value: isinstance(value, BaseEstimator),
        "universal",
        "start is a fitted estimator, which a model file does not hold: the saved "
        'model has start="universal". It predicts the same; to fit it again, save that '
        "estimator to a file of its own and give its path.",
    ),
    (
        "dark_frames",
        lambda value: value is not None,
        None,
        "dark_frames are images, which a model file does not hold: the saved model has "
        "dark_frames=None. It predicts the same; give them again before fitting it.",
    ),
    (
        "gate",
        callable,
        "evidence",
        "gate is code of your own, which a model file cannot hold: the saved model "
        'has gate="evidence". It predicts the same; before fitting it again call '
        "set_params(gate=...), or keep it with joblib.dump.",
    ),
)


def parameters_to_save(estimator: BaseEstimator) -> dict[str, Any]:
    """Return an estimator's parameters as plain values; warn of what is left out."""
    parameters, reasons = plain_parameters(estimator)
    for reason in reasons:
        warnings.warn(reason, UserWarning, stacklevel=3)
    return parameters


def plain_parameters(estimator: BaseEstimator) -> tuple[dict[str, Any], list[str]]:
    """Return an estimator's parameters as plain values, and what is left out, why."""
    parameters = estimator.get_params(deep=False)
    reasons = []
    for name, is_left_out, kept, reason in _LEFT_OUT:
        if name in parameters and is_left_out(parameters[name]):
            reasons.append(reason)
            parameters[name] = kept
    if "start" in parameters:
        parameters["start"] = os.fspath(parameters["start"])
    return parameters, reasons
