"""Which source batches a fit took and which it refused: look up, count, save."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skadl.adaptation.report.acceptance import (
    AcceptanceCounts,
    DomainAcceptance,
    EpochAcceptance,
    TrainingStage,
    count_by_domain,
    count_by_epoch,
    count_by_pair,
    count_by_reason,
)
from skadl.adaptation.report.decisions import DecisionTable
from skadl.adaptation.report.text import headline, html_table, text_table
from skadl.support.extras import import_extra
from skadl.support.writing import atomic_write

if TYPE_CHECKING:
    import pandas

_FILE_FORMAT = "skadl data selection report"
_FILE_VERSION = 1


@dataclass(frozen=True, eq=False, repr=False)
class DataSelectionReport:
    """Which source batches a fit accepted, which it rejected, and why.

    Parameters
    ----------
    decisions : DecisionTable
        All of them, in order; from `DecisionRecorder.finish`.
    stages : sequence of TrainingStage, optional
        Stages of the fit in their order.
    notes : sequence of str, optional
        What the fit decided or warned about, one sentence each.

    Examples
    --------
    >>> from skadl.adaptation.report import BatchDecision, DecisionRecorder
    >>> recorder = DecisionRecorder(["A7S2", "black"])
    >>> for iteration, (domain, score) in enumerate([("A7S2", 31.2), ("black", 9.5)]):
    ...     recorder.append(BatchDecision(iteration, domain, (0,), (800.0,),
    ...                                   score > 31, score, 31.0, "queue"))
    >>> report = DataSelectionReport(recorder.finish())
    >>> report
    DataSelectionReport(1 of 2 batches accepted; best A7S2 100 %, worst black 0 %)
    >>> report.accepted[0].score
    31.2
    """

    decisions: DecisionTable
    stages: Sequence[TrainingStage] = ()
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        object.__setattr__(self, "notes", tuple(str(note) for note in self.notes))

    def __repr__(self) -> str:
        return f"DataSelectionReport({headline(self.by_domain())})"

    def _repr_html_(self) -> str:
        return html_table(self.by_domain(), self.notes)

    def summary(self) -> str:
        """Describe the report in a few lines for a terminal: domains, reasons, stages.

        Returns
        -------
        str
        """
        return text_table(self.by_domain(), self.by_reason(), self.stages, self.notes)

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the source domains, in the pool's order."""
        return self.decisions.domains

    @property
    def n_offered(self) -> int:
        """Source batches that the gate saw."""
        return len(self.decisions)

    @property
    def n_accepted(self) -> int:
        """Source batches that changed the model."""
        return int(self.decisions.is_accepted.sum())

    @property
    def acceptance_rate(self) -> float:
        """Accepted over offered, in [0, 1]; 0 where nothing was offered."""
        return self.n_accepted / max(self.n_offered, 1)

    @property
    def accepted(self) -> DecisionTable:
        """Decisions on the accepted batches, in order; a fresh table each time."""
        return self.decisions.select(np.flatnonzero(self.decisions.is_accepted))

    @property
    def rejected(self) -> DecisionTable:
        """Decisions on the rejected batches, in order; a fresh table each time."""
        return self.decisions.select(np.flatnonzero(~self.decisions.is_accepted))

    def by_domain(self) -> list[DomainAcceptance]:
        """Count batches per source domain, in the pool's order.

        Returns
        -------
        list of DomainAcceptance
        """
        return count_by_domain(self.decisions)

    def by_epoch(self, n_epochs: int = 10) -> EpochAcceptance:
        """Count batches per domain and epoch, an equal share of the iterations.

        Parameters
        ----------
        n_epochs : int, default=10
            Number of shares between the first and the last iteration.

        Returns
        -------
        EpochAcceptance

        Raises
        ------
        ValueError
            If `n_epochs` is below 1.
        """
        return count_by_epoch(self.decisions, n_epochs)

    def by_pair(self, domain: str) -> AcceptanceCounts:
        """Count, for each pair of a domain, the batches that held it.

        Parameters
        ----------
        domain : str

        Returns
        -------
        AcceptanceCounts
            Arrays of shape (highest id offered + 1,), indexed by pair id. A pair
            drawn twice into one batch counts twice.

        Raises
        ------
        ValueError
            If the report has no such domain; the message lists those it has.
        """
        return count_by_pair(self.decisions, domain)

    def by_reason(self) -> dict[str, int]:
        """Count batches per reason, in the order in which reasons first came up.

        Returns
        -------
        dict of str to int
        """
        return count_by_reason(self.decisions)

    def to_frame(self) -> pandas.DataFrame:
        """Give all decisions as a pandas table, one row a batch.

        Returns
        -------
        pandas.DataFrame
            Columns as the fields of `BatchDecision`; `pair_ids` and `iso` hold
            tuples, NaN marks a missing score or threshold.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = import_extra("pandas", "frame", "to_frame")
        table = self.decisions
        categorical = pandas.Categorical.from_codes
        bounds = table.offsets.tolist()
        spans = [slice(*ends) for ends in zip(bounds, bounds[1:], strict=False)]
        pair_ids = table.pair_id.tolist()
        isos = table.iso_levels[table.iso_code].tolist()
        columns = {
            "iteration": table.iteration,
            "domain": categorical(table.domain_code, table.domains),
            "pair_ids": [tuple(pair_ids[span]) for span in spans],
            "iso": [tuple(isos[span]) for span in spans],
            "accepted": table.is_accepted,
            "score": table.score,
            "threshold": table.threshold,
            "reason": categorical(table.reason_code, table.reasons),
        }
        return pandas.DataFrame(columns)

    def equals(self, other: DataSelectionReport) -> bool:
        """Tell whether two reports hold the same values; NaN equals NaN.

        Parameters
        ----------
        other : DataSelectionReport

        Returns
        -------
        bool
        """
        return (
            self.decisions.equals(other.decisions)
            and self.stages == other.stages
            and self.notes == other.notes
        )

    def save(self, path: str | os.PathLike) -> None:
        """Write the report to one file that `load` reads back, without pickle.

        Parameters
        ----------
        path : str or Path
            Written under exactly this name (.npz by custom), only when complete.
        """
        table, path = self.decisions, Path(path)
        header = {
            "format": _FILE_FORMAT,
            "version": _FILE_VERSION,
            "domains": table.domains,
            "reasons": table.reasons,
            "stages": [(stage.name, stage.n_iter, stage.psnr) for stage in self.stages],
            "notes": self.notes,
        }
        header = np.frombuffer(json.dumps(header).encode(), np.uint8)
        with atomic_write(path) as partial, open(partial, "wb") as file:
            np.savez_compressed(file, header=header, **table.columns())

    @classmethod
    def load(cls, path: str | os.PathLike) -> DataSelectionReport:
        """Read a report that `save` wrote.

        Parameters
        ----------
        path : str or Path

        Returns
        -------
        DataSelectionReport

        Raises
        ------
        OSError
            If the file cannot be opened.
        ValueError
            If it is not a report, is damaged, or comes from a newer skadl.
        """
        with open(path, "rb") as file:
            try:
                return cls._read(file)
            # A damaged archive fails in zipfile, zlib, struct, json or numpy, each
            # with errors of its own; to the caller it is one thing.
            except Exception as error:
                raise ValueError(
                    f"{os.fspath(path)!r} is not a readable skadl report ({error}); "
                    "give a file that DataSelectionReport.save wrote."
                ) from error

    @classmethod
    def _read(cls, file) -> DataSelectionReport:
        with np.load(file, allow_pickle=False) as archive:
            header = json.loads(archive["header"].tobytes())
            if header["format"] != _FILE_FORMAT:
                raise ValueError(f"its format is {header['format']!r}")
            if header["version"] != _FILE_VERSION:
                raise ValueError(
                    f"its version is {header['version']!r}, this skadl reads version "
                    f"{_FILE_VERSION}"
                )
            columns = {name: archive[name] for name in DecisionTable.COLUMN_KINDS}
        table = DecisionTable(
            domains=tuple(header["domains"]),
            reasons=tuple(header["reasons"]),
            **columns,
        )
        stages = [TrainingStage(*stage) for stage in header["stages"]]
        return cls(table, stages, header["notes"])
