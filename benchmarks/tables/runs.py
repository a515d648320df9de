"""What tells one run from another: its key, and the settings that all runs share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from skadl.commands.parameters import estimator_parameters as estimator_parameters
from skadl.commands.parameters import read_assignments as read_assignments
from skadl.raw.pair import RawPair


@dataclass(frozen=True)
class Run:
    """One training to be measured.

    Parameters
    ----------
    target : str
        Camera or sensor taken as new.
    seed : int
        Of the pairs and of the fit.
    pool : str
        Kind of source pool; see `benchmarks.tables.simulation.POOLS` and, for datasets,
        `benchmarks.tables.dataset.OTHER_SENSORS`.
    strategy : str
        Of training; see `benchmarks.tables.strategies.STRATEGIES`.
    target_pairs : int
    settings : str
        Digest of `Settings` or `DatasetSettings`: runs with other settings, or of a
        version with other defaults, are other runs.
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


@dataclass(frozen=True, eq=False)
class RunData:
    """What a strategy may train on, and what it is measured on.

    Parameters
    ----------
    target : sequence of RawPair
    sources : mapping of domain name to sequence of RawPair
        Empty where the strategy takes none.
    test : sequence of RawPair
        The same for every seed, pool and strategy.
    kinds : mapping of domain name to sequence of str
        Of each source pair: useful, or what is wrong with it. Never shown to a
        strategy.
    """

    target: Sequence[RawPair]
    sources: Mapping[str, Sequence[RawPair]]
    test: Sequence[RawPair]
    kinds: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """Sizes of simulated data, and the estimator's parameters before a strategy.

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

    is_simulated: ClassVar[bool] = True
    protocol: ClassVar[str] = "skadl"

    source_pairs: int = 60
    test_pairs: int = 24
    size: int = 128
    test_size: int = 256
    parameters: Mapping[str, Any] = field(
        default_factory=lambda: estimator_parameters({})
    )

    @property
    def digest(self) -> str:
        """Short name of these settings."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:8]

    def to_json(self) -> str:
        """One line of JSON, the same for the same settings."""
        return json.dumps(asdict(self), sort_keys=True, default=str)
