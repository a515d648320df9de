"""Drawing S': which source pairs a batch is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from skadl.adaptation.gates.base import Gate
from skadl.adaptation.patches import TrainingPair


@dataclass(frozen=True, eq=False)
class SourceDraw:
    """One draw of source pairs, and those that the gate would not let in."""

    domain: str | None  # of the batch; None where no domain has a pair left
    pair_ids: np.ndarray  # (n,) positions of its pairs in that domain
    refused_domain: str  # that was drawn first
    refused_ids: np.ndarray  # (n,) pairs of it that were refused; often empty


class SourceSampler:
    """Draws a domain, and pairs of it uniformly (line 3 of Algorithm 1).

    All domains are drawn alike, and those of `rates` at rates of their own, until the
    gate prefers some (the paper's appendix: "sample more useful data").

    Pairs that the gate refuses for what they are are drawn as often as any, so that
    the report shows them, and replaced by others of their domain, or of another
    domain where no larger share than `least_admitted` of theirs is let in.
    """

    def __init__(
        self,
        sources: Mapping[str, Sequence[TrainingPair]],
        gate: Gate,
        rates: Mapping[str, float],
        least_admitted: float,
    ) -> None:
        self.gate = gate
        self.rates = rates
        self.n_pairs = {name: len(pairs) for name, pairs in sources.items()}
        self.admitted = {
            name: np.flatnonzero([gate.refuse(p.fault) is None for p in pairs])
            for name, pairs in sources.items()
        }
        # Where pairs are judged by others, what slips through in a domain that is
        # mostly refused is no better.
        self.replacing = [
            name
            for name, ids in self.admitted.items()
            if ids.size > least_admitted * self.n_pairs[name]
        ]

    def draw(self, size: int, rng: np.random.RandomState) -> SourceDraw:
        """Draw the source part of a batch."""
        domain = self._pick(list(self.n_pairs), rng)
        pair_ids = rng.randint(self.n_pairs[domain], size=size)
        is_admitted = np.isin(pair_ids, self.admitted[domain])
        refused = domain, np.unique(pair_ids[~is_admitted])
        if is_admitted.all():
            return SourceDraw(domain, pair_ids, *refused)
        if domain not in self.replacing:
            if not self.replacing:
                return SourceDraw(None, pair_ids[:0], *refused)
            domain, is_admitted = self._pick(self.replacing, rng), np.zeros(size, bool)
        replacements = rng.choice(self.admitted[domain], size=size)
        pair_ids = np.where(is_admitted, pair_ids, replacements)
        return SourceDraw(domain, pair_ids, *refused)

    def _pick(self, names: list[str], rng: np.random.RandomState) -> str:
        n_others = sum(name not in self.rates for name in names)
        rate = (1 - sum(self.rates.values())) / max(n_others, 1)
        rates = [self.rates.get(name, rate) for name in names]
        preferred = [self.gate.sampling_weight(name) for name in names]
        weights = np.array(rates) * preferred
        if not weights.any():  # a share of 1 or 0 leaves nothing to these
            weights = np.ones(len(names))
        return names[rng.choice(len(names), p=weights / weights.sum())]
