"""Parameters of `ADLDenoiser` as they are given on a command line."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from skadl.estimators.adl import ADLDenoiser


def estimator_parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """Complete parameters of `ADLDenoiser` with its defaults.

    Without the seed, which is the run's, and `verbose`. A ValueError for a name that is
    unknown.
    """
    parameters = ADLDenoiser().get_params()
    del parameters["random_state"], parameters["verbose"]
    unknown = [name for name in given if name not in parameters]
    if unknown:
        raise ValueError(
            f"ADLDenoiser has no parameter {unknown[0]!r} to set here; it has "
            f"{', '.join(sorted(parameters))}."
        )
    return parameters | dict(given)


def read_assignments(texts: Sequence[str]) -> dict[str, Any]:
    """Read ``name=value`` texts; values are Python literals, else strings.

    >>> read_assignments(["n_iter=500", "gate=queue", "val_fraction=(0.2, 0.2)"])
    {'n_iter': 500, 'gate': 'queue', 'val_fraction': (0.2, 0.2)}
    """
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise ValueError(f"a setting is name=value, got {text!r}.")
        try:
            values[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            values[name] = value
    return values
