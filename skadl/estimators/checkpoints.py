"""A fit kept in a file while it runs, so that a killed one goes on from there."""

from __future__ import annotations

import hashlib
import numbers
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

import skadl
from skadl.adaptation.patches import TrainingPair
from skadl.adaptation.snapshot import Snapshot, Snapshots
from skadl.data.store.frames import StoredFrame
from skadl.data.store.patch_store import EntryFrame
from skadl.estimators.model_files.parameters import plain_parameters
from skadl.estimators.model_files.reader import ModelFile, read_model_file
from skadl.estimators.model_files.training import FitRecord, Training
from skadl.estimators.model_files.writer import pack
from skadl.network.base import ModulatedNetwork
from skadl.network.conditioning import Conditioning
from skadl.noise.sensors import SensorTable
from skadl.raw.image import HEADER_FIELDS
from skadl.raw.pair import RawPair
from skadl.support.device import resolve_device
from skadl.support.writing import atomic_write, check_folder, remove_leftovers

DEFAULT_EVERY = 120.0  # seconds between two writings
_NOT_COMPARED = ("verbose", "device", "random_state")  # seeds are in the file
_MOST_NAMED = 3  # differences in a message


class Checkpoint:
    """The file of one fit: what is in it already, and what is written to it.

    ValueError if the file is no checkpoint, is damaged, or is of other parameters.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        every: float,
        estimator: BaseEstimator,
    ) -> None:
        if not (isinstance(every, numbers.Real) and every >= 0):  # NaN is not
            raise ValueError(
                f"checkpoint_every must be 0 or more, in seconds, got {every!r}."
            )
        self.path = Path(path)
        check_folder(self.path)
        remove_leftovers(self.path)
        self._every = every
        self._parameters, _ = plain_parameters(estimator)
        self._same = _describe_parameters(estimator)
        self._alike = {
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "threads": str(torch.get_num_threads()),
            "device": str(resolve_device(estimator.device)),
        }
        self._begun: Training | None = None
        if os.path.lexists(self.path):
            contents = read_model_file(self.path)
            if contents.training is None:
                raise ValueError(
                    f"{str(self.path)!r} is the model of a finished fit and no "
                    "checkpoint; name another file for the checkpoint."
                )
            self._begun = contents.training
            self._compare(self._begun.fit.same, self._same)

    def seeds(self, drawn: Sequence[int]) -> tuple[int, int]:
        """Return the seeds of the fit: those of the file, or else those drawn."""
        return tuple(map(int, drawn)) if self._begun is None else self._begun.fit.seeds

    def snapshots(
        self,
        network: ModulatedNetwork,
        conditioning: Conditioning,
        sensors: SensorTable,
        data: Mapping[str, str],
        seeds: tuple[int, int],
    ) -> Snapshots:
        """Return where a training goes on from and where it goes to.

        `data` tells the pairs, and whatever else the training starts from, from
        others. ValueError where the file is of others.
        """
        fit = FitRecord(seeds, {**self._same, **data}, self._alike)
        if self._begun is not None:
            self._compare(self._begun.fit.same, fit.same, complete=True)
            changed = _differences(self._begun.fit.alike, fit.alike)
            if changed:
                warnings.warn(
                    f"the checkpoint {str(self.path)!r} was written elsewhere "
                    f"({'; '.join(changed)}): the fit goes on, but may end "
                    "otherwise in the last bits.",
                    UserWarning,
                    stacklevel=6,
                )

        def keep(snapshot: Snapshot) -> None:
            weights = snapshot.learner["weights"]
            if not all(np.isfinite(array).all() for array in weights):
                return  # it has diverged, and is soon found to have
            contents = ModelFile(
                self._parameters,
                network,
                conditioning,
                sensors,
                snapshot.report,
                sum(s.n_iter for s in snapshot.report.stages) + snapshot.iteration,
                training=Training(snapshot, fit),
            )
            try:
                with atomic_write(self.path) as partial:
                    partial.write_bytes(pack(contents))
            except OSError as error:  # no reason to lose the fit
                warnings.warn(f"no checkpoint: {error}", UserWarning, stacklevel=8)

        begun = None if self._begun is None else self._begun.snapshot
        return Snapshots(keep, self._every, begun)

    def _compare(
        self, then: Mapping[str, str], now: Mapping[str, str], complete: bool = False
    ) -> None:
        """Refuse a file of another fit; while not `complete`, by what is known now."""
        then = then if complete else {name: then.get(name, "none") for name in now}
        found = _differences(then, now)
        if found:
            more = len(found) - _MOST_NAMED
            listed = "; ".join(found[:_MOST_NAMED])
            listed += f"; and {more} more" if more > 0 else ""
            raise ValueError(
                f"the checkpoint {str(self.path)!r} is of another fit: {listed}. Fit "
                "with what it was begun with, or name another file; delete this one if "
                "its fit is of no more use."
            )


def describe_data(
    pairs: Sequence[RawPair],
    domains: Mapping[str, Sequence[RawPair]],
    meta: SensorTable,
    target: Sequence[TrainingPair],
    sources: Mapping[str, Sequence[TrainingPair]],
    network: nn.Module,
) -> dict[str, str]:
    """Tell what a training starts from: pairs, facts of sensors, weights."""
    # What was measured on the pairs follows from them, and may differ in the last bits
    # from one machine to another.
    return {
        "target pairs": _count_and_digest(pairs, target),
        **{
            f"pairs of source domain {name!r}": _count_and_digest(d, sources[name])
            for name, d in domains.items()
        },
        "facts of sensors": _digest([repr(list(meta.items())).encode()]),
        "network at the start": _digest(
            _bytes_of(tensor) for tensor in network.state_dict().values()
        ),
    }


def _describe_parameters(estimator: BaseEstimator) -> dict[str, str]:
    kind = type(estimator)
    described = {
        "version of skadl": skadl.__version__,
        "estimator": f"{kind.__module__}.{kind.__qualname__}",
    }
    for name, value in estimator.get_params(deep=False).items():
        if name not in _NOT_COMPARED:
            described[name] = _describe_value(value)
    seed = estimator.random_state
    is_number = isinstance(seed, (int, np.integer))
    described["random_state"] = str(int(seed)) if is_number else "not a number"
    return described


def _describe_value(value: Any) -> str:
    match value:
        case os.PathLike():
            return os.fspath(value)
        case np.generic():
            return repr(value.item())
        case BaseEstimator():
            return f"a fitted {type(value).__name__}"
        case list() | tuple():
            return ", ".join(map(_describe_value, value))
        case None | bool() | int() | float() | str():
            return str(value)
    # Code: of no name of its own that a process would not change, such as an address.
    return getattr(value, "__qualname__", type(value).__qualname__)


def _differences(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [
        f"{name}: {then.get(name, 'none')} then, {now.get(name, 'none')} now"
        for name in {**then, **now}
        if then.get(name) != now.get(name)
    ]


def _count_and_digest(pairs: Sequence[RawPair], stored: Sequence[TrainingPair]) -> str:
    def parts() -> Iterable[bytes | memoryview]:
        for pair, held in zip(pairs, stored, strict=True):
            for image, frame in ((pair.noisy, held.noisy), (pair.clean, held.clean)):
                facts = [getattr(image, name) for name in HEADER_FIELDS]
                yield repr((facts, frame.shape)).encode()
                yield _bytes_of(frame)

    n_pairs = "1 pair" if len(pairs) == 1 else f"{len(pairs)} pairs"
    return f"{n_pairs} of digest {_digest(parts())}"


def _bytes_of(frame: Tensor | StoredFrame) -> bytes | memoryview:
    if isinstance(frame, EntryFrame):  # verified when it was opened
        return b"%010x" % frame.entry.checksum
    array = np.ascontiguousarray(frame.detach().cpu().numpy())
    return array.reshape(-1).view(np.uint8).data


def _digest(parts: Iterable[bytes | memoryview]) -> str:
    found = hashlib.blake2b(digest_size=6)
    for part in parts:
        found.update(part)
    return found.hexdigest()
