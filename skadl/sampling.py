"""Drawing S': which source pairs a batch is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from skadl.gates import Gate
from skadl.patches import StoredPair
from skadl.renoising import RENOISED


@dataclass(frozen=True, eq=False)
class SourceDraw:
    """One draw of source pairs, and those that the gate would not let in.

    Parameters
    ----------
    domain : str or None
        Where the batch comes from; None where no domain has a pair left.
    pair_ids : ndarray of int
        Positions of its pairs in that domain.
    refused_domain : str
        Domain that was drawn first.
    refused_ids : ndarray of int
        Pairs of that domain that were drawn and refused; often empty.
    """

    domain: str | None
    pair_ids: np.ndarray
    refused_domain: str
    refused_ids: np.ndarray


class SourceSampler:
    """Draws a domain and pairs of it uniformly (line 3 of Algorithm 1).

    The re-noised domain, where there is one, is drawn at a rate of its own.

    Pairs that the gate refuses for their residual alone are drawn as often as any,
    so that the report shows them, and replaced by others of their domain, or of
    another domain where none is left.

    Parameters
    ----------
    sources : mapping of domain name to sequence of StoredPair
    gate : Gate
    renoised_share : float
        Probability of the re-noised domain.
    """

    def __init__(
        self,
        sources: Mapping[str, Sequence[StoredPair]],
        gate: Gate,
        renoised_share: float,
    ) -> None:
        self.renoised_share = renoised_share
        self.n_pairs = {name: len(pairs) for name, pairs in sources.items()}
        self.admitted = {
            name: np.flatnonzero([gate.refuse(p.whiteness) is None for p in pairs])
            for name, pairs in sources.items()
        }

    def draw(self, size: int, rng: np.random.RandomState) -> SourceDraw:
        """Draw the source part of a batch.

        Parameters
        ----------
        size : int
        rng : RandomState

        Returns
        -------
        SourceDraw
        """
        domain = self._pick(list(self.n_pairs), rng)
        pair_ids = rng.randint(self.n_pairs[domain], size=size)
        is_admitted = np.isin(pair_ids, self.admitted[domain])
        refused = domain, np.unique(pair_ids[~is_admitted])
        if is_admitted.all():
            return SourceDraw(domain, pair_ids, *refused)
        if not self.admitted[domain].size:
            others = [name for name, ids in self.admitted.items() if ids.size]
            if not others:
                return SourceDraw(None, pair_ids[:0], *refused)
            domain, is_admitted = self._pick(others, rng), np.zeros(size, bool)
        replacements = rng.choice(self.admitted[domain], size=size)
        pair_ids = np.where(is_admitted, pair_ids, replacements)
        return SourceDraw(domain, pair_ids, *refused)

    def _pick(self, names: list[str], rng: np.random.RandomState) -> str:
        if RENOISED in names:
            if rng.random_sample() < self.renoised_share:
                return RENOISED
            names = [name for name in names if name != RENOISED] or names
        return names[rng.randint(len(names))]
