"""Which pairs of a large pool a fit prepares: no more than it can train on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from skadl.adaptation.report.decisions import DecisionTable

# Pairs that are prepared in any case. Of fewer, a wrong label is not told from others.
LEAST_PREPARED = 1000


def choose_pairs(
    domains: Mapping[str, Sequence],
    n_draws: float,
    rng: np.random.RandomState,
    least: int = LEAST_PREPARED,
) -> dict[str, np.ndarray]:
    """Choose positions of pairs in their domains; all of a pool that is small enough.

    A fit that draws `n_draws` source pairs sees a few of a pool of ten thousand, and
    looking at a pair takes as long as a step. Domains are drawn alike, so as many pairs
    of each are chosen, as far as it has them, at random; `rng` is used only then.

    >>> rng = np.random.RandomState(0)
    >>> chosen = choose_pairs({"A": range(9), "B": "pq"}, 5, rng, least=0)
    >>> {name: len(positions) for name, positions in chosen.items()}
    {'A': 3, 'B': 2}
    """
    sizes = np.array([len(domain) for domain in domains.values()], int)
    most = max(np.ceil(n_draws), least)
    if sizes.sum() <= most:
        return {name: np.arange(len(domain)) for name, domain in domains.items()}
    share = 1  # of every domain: one of each is always there
    while np.minimum(sizes, share + 1).sum() <= most:
        share += 1
    return {
        name: np.sort(rng.permutation(size)[:share])
        for name, size in zip(domains, sizes.tolist(), strict=True)
    }


def renumber(table: DecisionTable, chosen: Mapping[str, np.ndarray]) -> DecisionTable:
    """Give pairs the numbers that they have in the whole pool; others keep theirs."""
    domain_of_pair = np.repeat(table.domain_code, np.diff(table.offsets))
    numbers = table.pair_id.astype(np.int64)
    for code, name in enumerate(table.domains):
        if name in chosen:
            own = domain_of_pair == code
            numbers[own] = chosen[name][numbers[own]]
    dtype = np.min_scalar_type(numbers.max(initial=0))
    return replace(table, pair_id=numbers.astype(dtype))
