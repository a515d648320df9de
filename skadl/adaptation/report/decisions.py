"""What the gate decided on each source batch, recorded in columns.

The training loop appends one `BatchDecision` per offered batch to a
`DecisionRecorder`; `finish` gives a `DecisionTable`. Both keep columns, not rows, so
that 300 000 decisions with eight pairs each fit into 30 MB.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, overload

import numpy as np

# Columns with the kinds of numpy dtype that each may have.
_PER_BATCH = {
    "iteration": "iu",
    "domain_code": "iu",
    "reason_code": "iu",
    "is_accepted": "b",
    "score": "f",
    "threshold": "f",
}
_OTHER_COLUMNS = {"iso_levels": "f", "offsets": "iu", "pair_id": "iu", "iso_code": "iu"}


@dataclass(frozen=True, eq=False, slots=True)
class BatchDecision:
    """What the gate decided on one source batch, and on what grounds.

    Parameters
    ----------
    iteration : int
        Of the adaptation loop.
    domain : str
        Source domain that the batch was drawn from.
    pair_ids : tuple of int
        Indices of the source pairs within their domain.
    iso : tuple of float
        ISO of each of these pairs.
    accepted : bool
    score : float
        What the gate compared, in dB; NaN where it was not finite.
    threshold : float
        What the score was compared with, in dB; NaN where there was none.
    reason : str
        From a small set, such as "above the queue's mean" or "non-finite loss".
    """

    iteration: int
    domain: str
    pair_ids: tuple[int, ...]
    iso: tuple[float, ...]
    accepted: bool
    score: float
    threshold: float
    reason: str


@dataclass(frozen=True, eq=False, repr=False)
class DecisionTable:
    """Decisions as columns, read row by row or column by column.

    ``table[i]`` and iteration build a `BatchDecision` when it is asked for; a slice
    gives a shorter table. All arrays are read-only.

    Parameters
    ----------
    domains, reasons : tuple of str
        Names that the codes stand for.
    iso_levels : ndarray of float, shape (n_levels,)
        ISOs that `iso_code` stands for.
    iteration : ndarray of int, shape (n,)
    domain_code, reason_code : ndarray of int, shape (n,)
        Indices into `domains` and `reasons`.
    is_accepted : ndarray of bool, shape (n,)
    score, threshold : ndarray of float, shape (n,)
        In dB; NaN stands for "none".
    offsets : ndarray of int, shape (n + 1,)
        The pairs of batch i are entries ``offsets[i]`` to ``offsets[i + 1] - 1`` of:
    pair_id, iso_code : ndarray of int, shape (offsets[-1],)
        Index of each pair in its domain, and index of its ISO in `iso_levels`.

    Raises
    ------
    ValueError
        If the columns do not fit together; the message names the one that does not.
    """

    domains: tuple[str, ...]
    reasons: tuple[str, ...]
    iso_levels: np.ndarray
    iteration: np.ndarray
    domain_code: np.ndarray
    reason_code: np.ndarray
    is_accepted: np.ndarray
    score: np.ndarray
    threshold: np.ndarray
    offsets: np.ndarray
    pair_id: np.ndarray
    iso_code: np.ndarray

    COLUMN_KINDS: ClassVar[Mapping[str, str]] = _PER_BATCH | _OTHER_COLUMNS

    def __post_init__(self) -> None:
        _check_names(self)
        _check_columns(self)
        _check_codes(self)
        for column in self.columns().values():
            column.flags.writeable = False

    def columns(self) -> dict[str, np.ndarray]:
        """Return the arrays by name."""
        return {name: getattr(self, name) for name in self.COLUMN_KINDS}

    def __len__(self) -> int:
        return len(self.is_accepted)

    @overload
    def __getitem__(self, index: int) -> BatchDecision: ...

    @overload
    def __getitem__(self, index: slice) -> DecisionTable: ...

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.select(np.arange(len(self))[index])
        if not -len(self) <= index < len(self):
            raise IndexError(f"decision {index} of {len(self)} does not exist.")
        index = range(len(self))[index]
        span = slice(self.offsets[index], self.offsets[index + 1])
        return BatchDecision(
            int(self.iteration[index]),
            self.domains[self.domain_code[index]],
            tuple(self.pair_id[span].tolist()),
            tuple(self.iso_levels[self.iso_code[span]].tolist()),
            bool(self.is_accepted[index]),
            float(self.score[index]),
            float(self.threshold[index]),
            self.reasons[self.reason_code[index]],
        )

    def __iter__(self) -> Iterator[BatchDecision]:
        return map(self.__getitem__, range(len(self)))

    def __repr__(self) -> str:
        return f"DecisionTable({len(self)} batches, {self.is_accepted.sum()} accepted)"

    def select(self, rows: np.ndarray) -> DecisionTable:
        """Return a table of some rows, with the same names and codes.

        Parameters
        ----------
        rows : ndarray of int, shape (m,)
            Positions, in the order of the result.

        Returns
        -------
        DecisionTable
        """
        sizes = np.diff(self.offsets)[rows]
        offsets = np.append(0, np.cumsum(sizes))
        # Position of each pair: start of its batch plus rank in the batch.
        shift = np.repeat(self.offsets[rows] - offsets[:-1], sizes)
        pairs = np.arange(offsets[-1]) + shift
        batch_columns = {name: getattr(self, name)[rows] for name in _PER_BATCH}
        return DecisionTable(
            domains=self.domains,
            reasons=self.reasons,
            iso_levels=self.iso_levels,
            **batch_columns,
            offsets=offsets,
            pair_id=self.pair_id[pairs],
            iso_code=self.iso_code[pairs],
        )

    def equals(self, other: DecisionTable) -> bool:
        """Tell whether two tables hold the same values; NaN equals NaN.

        Parameters
        ----------
        other : DecisionTable

        Returns
        -------
        bool
        """
        return (
            self.domains == other.domains
            and self.reasons == other.reasons
            and all(
                np.array_equal(column, getattr(other, name), equal_nan=True)
                for name, column in self.columns().items()
            )
        )


class _Codes(dict):
    """Small integers for repeated values, given out in order of appearance."""

    def __missing__(self, value: object) -> int:
        code = self[value] = len(self)
        return code


class DecisionRecorder:
    """Collects decisions while a fit runs, in about 2 microseconds each.

    The table lists `domains` first and in this order, also when no batch of theirs is
    ever offered.

    >>> recorder = DecisionRecorder(["A7S2", "D850"])
    >>> recorder.append(BatchDecision(0, "A7S2", (3, 1), (800.0, 1600.0), True,
    ...                               31.2, 31.0, "above the queue's mean"))
    >>> recorder.finish()
    DecisionTable(1 batches, 1 accepted)
    """

    def __init__(self, domains: Iterable[str] = ()) -> None:
        self._domains, self._reasons, self._isos = _Codes(), _Codes(), _Codes()
        for name in domains:
            self._domains[name]
        self._iteration = array("i")
        self._domain_code = array("H")
        self._reason_code = array("H")
        self._is_accepted = bytearray()
        self._score = array("d")
        self._threshold = array("d")
        self._batch_size = array("H")
        self._pair_id = array("I")
        self._iso_code = array("I")
        self._n_accepted = 0
        self._is_too_low = False
        self._watched_from = 0

    @property
    def n_offered(self) -> int:
        """Decisions so far."""
        return len(self._is_accepted)

    @property
    def n_accepted(self) -> int:
        """Accepted batches so far."""
        return self._n_accepted

    def append(self, decision: BatchDecision) -> None:
        """Add one decision; ValueError if `pair_ids` and `iso` differ in length."""
        # Whatever can fail comes before the first column grows.
        pair_ids = array("I", decision.pair_ids)
        iso_codes = array("I", map(self._isos.__getitem__, decision.iso))
        size = len(pair_ids)
        if len(iso_codes) != size:
            raise ValueError(
                f"a decision holds one ISO per pair, got {len(iso_codes)} ISOs for "
                f"{size} pair ids."
            )
        accepted = bool(decision.accepted)
        self._pair_id.extend(pair_ids)
        self._iso_code.extend(iso_codes)
        self._batch_size.append(size)
        self._iteration.append(decision.iteration)
        self._domain_code.append(self._domains[decision.domain])
        self._reason_code.append(self._reasons[decision.reason])
        self._score.append(decision.score)
        self._threshold.append(decision.threshold)
        self._is_accepted.append(accepted)
        self._n_accepted += accepted

    def acceptance_too_low(self, window: int = 1000, floor: float = 0.01) -> bool:
        """Say, once per stretch, that acceptance has stayed too low for long.

        True on the first call at which less than the part `floor` of the last `window`
        decisions was accepted. It is False from then on, until acceptance has been back
        at `floor` and a whole further window has passed below it.
        """
        if window < 1 or not 0 < floor <= 1:
            raise ValueError(
                "acceptance_too_low needs window of at least 1 and floor in (0, 1], "
                f"got window={window!r} and floor={floor!r}."
            )
        n_offered = len(self._is_accepted)
        if n_offered - self._watched_from < window:
            return False
        low = self._is_accepted.count(1, n_offered - window) < floor * window
        if low and not self._is_too_low:
            self._is_too_low = True
            return True
        if self._is_too_low and not low:
            # A fresh window, or a rate that hovers at the floor would warn anew
            # with every batch that leaves the window.
            self._is_too_low = False
            self._watched_from = n_offered
        return False

    @property
    def watch(self) -> tuple[bool, int]:
        """What `acceptance_too_low` remembers beside the decisions."""
        return self._is_too_low, self._watched_from

    @classmethod
    def resume(cls, table: DecisionTable, watch: tuple[bool, int]) -> DecisionRecorder:
        """Return the recorder whose table and watch these are, to go on with."""
        recorder = cls(table.domains)
        for reason in table.reasons:
            recorder._reasons[reason]
        for decision in table:
            recorder.append(decision)
        recorder._is_too_low, recorder._watched_from = watch
        return recorder

    def finish(self) -> DecisionTable:
        """Return the table of all decisions so far; the recorder stays usable."""
        return DecisionTable(
            domains=tuple(self._domains),
            reasons=tuple(self._reasons),
            iso_levels=np.array(list(self._isos), dtype=np.float64),
            iteration=np.array(self._iteration, dtype=np.int64),
            domain_code=_narrowed(self._domain_code),
            reason_code=_narrowed(self._reason_code),
            is_accepted=np.array(self._is_accepted, dtype=np.uint8).astype(bool),
            score=_nan_unless_finite(self._score),
            threshold=_nan_unless_finite(self._threshold),
            offsets=np.append(0, np.cumsum(self._batch_size, dtype=np.int64)),
            pair_id=_narrowed(self._pair_id),
            iso_code=_narrowed(self._iso_code),
        )


def _narrowed(codes: array) -> np.ndarray:
    codes = np.asarray(codes)
    return codes.astype(np.min_scalar_type(codes.max(initial=0)))


def _nan_unless_finite(values: array) -> np.ndarray:
    values = np.array(values, dtype=np.float64)
    values[~np.isfinite(values)] = np.nan
    return values


def _check_names(table: DecisionTable) -> None:
    for name in ("domains", "reasons"):
        names = getattr(table, name)
        strings = all(isinstance(entry, str) for entry in names)
        if not strings or len(set(names)) != len(names):
            raise ValueError(f"{name} must be strings, each once, got {names!r}.")


def _check_columns(table: DecisionTable) -> None:
    n_batches, n_pairs = len(table.is_accepted), len(table.pair_id)
    lengths = dict.fromkeys(_PER_BATCH, n_batches)
    lengths |= {"offsets": n_batches + 1, "iso_code": n_pairs}
    for name, column in table.columns().items():
        if column.ndim != 1 or column.dtype.kind not in table.COLUMN_KINDS[name]:
            raise ValueError(
                f"column {name!r} cannot be {column.dtype} of shape {column.shape}."
            )
        if len(column) != lengths.get(name, len(column)):
            raise ValueError(
                f"column {name!r} has {len(column)} entries for {n_batches} batches of "
                f"{n_pairs} pairs; it needs {lengths[name]}."
            )


def _check_codes(table: DecisionTable) -> None:
    offsets, n_pairs = table.offsets, len(table.pair_id)
    if offsets[0] != 0 or offsets[-1] != n_pairs or (offsets[1:] < offsets[:-1]).any():
        raise ValueError(f"column 'offsets' must rise from 0 to {n_pairs}.")
    for name, n_values in (
        ("domain_code", len(table.domains)),
        ("reason_code", len(table.reasons)),
        ("iso_code", len(table.iso_levels)),
        ("pair_id", np.inf),
    ):
        codes = getattr(table, name)
        if ((codes < 0) | (codes >= n_values)).any():
            raise ValueError(f"column {name!r} points outside its values.")
    if not np.isfinite(table.iso_levels).all():
        raise ValueError("column 'iso_levels' must be finite.")
    if np.isinf(table.score).any() or np.isinf(table.threshold).any():
        raise ValueError("score and threshold must be finite, or NaN for none.")
