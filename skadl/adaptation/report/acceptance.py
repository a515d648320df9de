"""How many source batches were offered and accepted: by domain, epoch, pair, reason."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from skadl.adaptation.report.decisions import DecisionTable


@dataclass(frozen=True)
class TrainingStage:
    """One stage of a fit: its length and how well it ended.

    Parameters
    ----------
    name : str
    n_iter : int
        Iterations done.
    psnr : float or None
        Last validation PSNR, in dB; None where there was none or it was not finite.
    """

    name: str
    n_iter: int
    psnr: float | None = None

    def __post_init__(self) -> None:
        psnr = self.psnr
        if psnr is not None:
            psnr = float(psnr) if math.isfinite(psnr) else None
        object.__setattr__(self, "name", str(self.name))
        object.__setattr__(self, "n_iter", int(self.n_iter))
        object.__setattr__(self, "psnr", psnr)


@dataclass(frozen=True)
class DomainAcceptance:
    """How many batches of one source domain were offered and taken.

    Parameters
    ----------
    domain : str
    offered, accepted : int
        Batches.
    rate : float
        Accepted over offered, in [0, 1]; 0 where nothing was offered.
    mean_margin : float or None
        Mean of score minus threshold, in dB, over the batches that had both.
    """

    domain: str
    offered: int
    accepted: int
    rate: float
    mean_margin: float | None


@dataclass(frozen=True, eq=False)
class AcceptanceCounts:
    """Offered and accepted counts on some axes, with their fraction.

    Parameters
    ----------
    offered, accepted : ndarray of int, of one shape
    """

    offered: np.ndarray
    accepted: np.ndarray

    @property
    def fraction(self) -> np.ma.MaskedArray:
        """Accepted over offered, in [0, 1], masked where nothing was offered."""
        fraction = self.accepted / np.maximum(self.offered, 1)
        return np.ma.MaskedArray(fraction, mask=self.offered == 0)


@dataclass(frozen=True, eq=False)
class EpochAcceptance(AcceptanceCounts):
    """Acceptance per domain (rows) and epoch (columns): the heat-map's data.

    Parameters
    ----------
    offered, accepted : ndarray of int, shape (n_domains, n_epochs)
    domains : tuple of str
        Names of the rows.
    edges : ndarray of int, shape (n_epochs + 1,)
        Epoch e holds the iterations ``edges[e]`` to ``edges[e + 1] - 1``.
    """

    domains: tuple[str, ...]
    edges: np.ndarray


def count_by_domain(table: DecisionTable) -> list[DomainAcceptance]:
    """Count batches per source domain, in the pool's order."""
    codes, n_domains = table.domain_code, len(table.domains)
    margin = table.score - table.threshold
    compared = np.isfinite(margin)
    offered = np.bincount(codes, minlength=n_domains)
    accepted = np.bincount(codes[table.is_accepted], minlength=n_domains)
    n_compared = np.bincount(codes[compared], minlength=n_domains)
    margins = np.bincount(codes[compared], margin[compared], n_domains)
    return [
        DomainAcceptance(
            name,
            int(offered[code]),
            int(accepted[code]),
            float(accepted[code] / max(offered[code], 1)),
            float(margins[code] / n_compared[code]) if n_compared[code] else None,
        )
        for code, name in enumerate(table.domains)
    ]


def count_by_epoch(table: DecisionTable, n_epochs: int) -> EpochAcceptance:
    """Count batches per domain and epoch, an equal share of the iterations."""
    if n_epochs < 1:
        raise ValueError(f"n_epochs must be at least 1, got {n_epochs!r}.")
    shape = (len(table.domains), n_epochs)
    first = span = 0  # span: iterations from the first decision to the last
    if len(table):
        first = int(table.iteration.min())
        span = int(table.iteration.max()) - first + 1
    epoch = (table.iteration - first) * n_epochs // max(span, 1)
    cell = table.domain_code * np.int64(n_epochs) + epoch
    n_cells = shape[0] * shape[1]
    return EpochAcceptance(
        np.bincount(cell, minlength=n_cells).reshape(shape),
        np.bincount(cell[table.is_accepted], minlength=n_cells).reshape(shape),
        table.domains,
        first - (-np.arange(n_epochs + 1) * span // n_epochs),  # rounded up
    )


def count_by_pair(table: DecisionTable, domain: str) -> AcceptanceCounts:
    """Count, for each pair of a domain, the batches that held it."""
    if domain not in table.domains:
        raise ValueError(
            f"domain {domain!r} is not in this report; it has {list(table.domains)}."
        )
    sizes = np.diff(table.offsets)
    in_domain = np.repeat(table.domain_code == table.domains.index(domain), sizes)
    taken = in_domain & np.repeat(table.is_accepted, sizes)
    offered = np.bincount(table.pair_id[in_domain])
    accepted = np.bincount(table.pair_id[taken], minlength=len(offered))
    return AcceptanceCounts(offered, accepted)


def count_by_reason(table: DecisionTable) -> dict[str, int]:
    """Count batches per reason, in the order in which reasons first came up."""
    counts = np.bincount(table.reason_code, minlength=len(table.reasons))
    return dict(zip(table.reasons, counts.tolist(), strict=True))
