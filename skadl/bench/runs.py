"""What tells one run from another: its key, and the settings that all runs share."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from skadl.estimator import ADLDenoiser


@dataclass(frozen=True)
class Run:
    """One training to be measured.

    Parameters
    ----------
    target : str
        Camera taken as new.
    seed : int
        Of the pairs and of the fit.
    pool : str
        Kind of source pool; see `skadl.bench.simulation.POOLS`.
    strategy : str
        Of training; see `skadl.bench.strategies.STRATEGIES`.
    target_pairs : int
    settings : str
        Digest of `Settings`: runs with other settings, or of a version with other
        defaults, are other runs.
    """

    target: str
    seed: int
    pool: str
    strategy: str
    target_pairs: int
    settings: str

    def __str__(self) -> str:
        return (
            f"{self.strategy} on {self.target}, pool {self.pool}, "
            f"{self.target_pairs} pairs, seed {self.seed}"
        )


@dataclass(frozen=True)
class Settings:
    """Sizes of the data, and the estimator's parameters before a strategy's changes.

    Parameters
    ----------
    source_pairs : int, default=60
        Of each source domain.
    test_pairs : int, default=24
    size : int, default=128
        Side of the mosaics trained on, in pixels.
    test_size : int, default=256
        Side of the test mosaics, in pixels.
    parameters : mapping
        Every parameter of `ADLDenoiser`; from `estimator_parameters`.

    Examples
    --------
    >>> Settings().digest == Settings(size=256).digest
    False
    """

    source_pairs: int = 60
    test_pairs: int = 24
    size: int = 128
    test_size: int = 256
    parameters: Mapping[str, Any] = field(default_factory=lambda: _defaults())

    @property
    def digest(self) -> str:
        """Short name of these settings."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:8]

    def to_json(self) -> str:
        """One line of JSON, the same for the same settings."""
        return json.dumps(asdict(self), sort_keys=True, default=str)


def estimator_parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """Complete parameters of `ADLDenoiser` with its defaults.

    Parameters
    ----------
    given : mapping

    Returns
    -------
    dict
        Without those that are no part of a setting: the seed, which is the run's,
        and `verbose`.

    Raises
    ------
    ValueError
        If a name is unknown; the message lists those that exist.
    """
    parameters = _defaults()
    unknown = [name for name in given if name not in parameters]
    if unknown:
        raise ValueError(
            f"ADLDenoiser has no parameter {unknown[0]!r} to set here; it has "
            f"{', '.join(sorted(parameters))}."
        )
    return parameters | dict(given)


def read_assignments(texts: Sequence[str]) -> dict[str, Any]:
    """Read ``name=value`` texts; values are Python literals, else strings.

    Parameters
    ----------
    texts : sequence of str

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If a text has no equals sign.

    Examples
    --------
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


def _defaults() -> dict[str, Any]:
    parameters = ADLDenoiser().get_params()
    del parameters["random_state"], parameters["verbose"]
    return parameters
