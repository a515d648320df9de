"""What tells one run from another: its key, and the settings that all runs share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from skadl.commands.parameters import estimator_parameters as estimator_parameters
from skadl.commands.parameters import read_assignments as read_assignments
from skadl.estimators.start import FROM_RANDOM, SHAPE
from skadl.raw.image import RawImage
from skadl.raw.pair import RawPair


@dataclass(frozen=True)
class Run:
    """One training to be measured."""

    target: str  # camera or sensor taken as new
    seed: int  # of the pairs and of the fit
    # Kind of source pool; see `benchmarks.tables.simulation.POOLS` and, for datasets,
    # `benchmarks.tables.dataset.OTHER_SENSORS`.
    pool: str
    strategy: str  # of training; see `benchmarks.tables.strategies.STRATEGIES`
    target_pairs: int
    # Digest of `Settings` or `DatasetSettings`: runs with other settings, or of a
    # version with other defaults, are other runs.
    settings: str

    def __str__(self) -> str:
        return (
            f"{self.strategy} on {self.target}, pool {self.pool}, "
            f"{self.target_pairs} pairs, seed {self.seed}"
        )


@dataclass(frozen=True, eq=False)
class RunData:
    """What a strategy may train on, and what it is measured on."""

    target: Sequence[RawPair]
    sources: Mapping[str, Sequence[RawPair]]  # empty where the strategy takes none
    test: Sequence[RawPair]  # the same for every seed, pool and strategy
    # Of each source pair: useful, or what is wrong with it. Never shown to a strategy.
    kinds: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # Dark frames of the target's sensor and of sources, where there are some; of the
    # size of the pairs.
    darks: Mapping[str, Sequence[RawImage]] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """Sizes of simulated data, and the estimator's parameters before a strategy.

    Examples
    --------
    >>> Settings().digest == Settings(size=256).digest
    False
    """

    is_simulated: ClassVar[bool] = True
    protocol: ClassVar[str] = "skadl"

    source_pairs: int = 60  # of each source domain
    test_pairs: int = 24
    size: int = 128  # side of the mosaics trained on, in pixels
    test_size: int = 256  # side of the test mosaics, in pixels
    # Every parameter of `ADLDenoiser`; from `estimator_parameters`. Strategies differ
    # in how they divide the steps, so all begin at random weights.
    parameters: Mapping[str, Any] = field(
        default_factory=lambda: estimator_parameters(
            {"start": "random", **SHAPE, **FROM_RANDOM}
        )
    )

    @property
    def digest(self) -> str:
        """Short name of these settings."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:8]

    def to_json(self) -> str:
        """One line of JSON, the same for the same settings."""
        return json.dumps(asdict(self), sort_keys=True, default=str)
