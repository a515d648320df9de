"""Reading untrusted model files: nothing in them is run, nothing is believed.

The header comes first and is bounded. Every tensor in it is compared with the network
that it declares, and all of them with the length of the file, before memory is taken
for a weight. Numbers must be finite, names known, and every record passes the checks
that it passes when a user builds it.
"""

from __future__ import annotations

import math
import os
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import safetensors
import safetensors.numpy
import torch

import skadl
from skadl.adaptation.report.acceptance import TrainingStage
from skadl.adaptation.report.decisions import DecisionTable
from skadl.adaptation.report.report import DataSelectionReport
from skadl.estimators.model_files.classes import DEFAULT_ESTIMATOR, check_parameters
from skadl.estimators.model_files.training import (
    Training,
    parse_training,
    training_shapes,
)
from skadl.network.base import N_PLANES, ModulatedNetwork
from skadl.network.choice import DEFAULT_NETWORK, NETWORKS, declare_network
from skadl.network.conditioning import CONDITIONINGS, Conditioning
from skadl.noise.sensor_records import declared_arrays, parse_sensors
from skadl.noise.sensors import SensorTable
from skadl.support.digest import check_digest
from skadl.support.strictjson import (
    as_tuple,
    check_int,
    check_names,
    check_strings,
    check_type,
    parse_json,
)

FORMAT = "skadl model"
# Also to be raised when a parameter or a fact of a sensor is added.
FORMAT_VERSION = 4
_WITHOUT_START = 2  # the last one whose models all began at random weights
_WITHOUT_DIGEST = 3  # the last one whose files do not tell that they are damaged
ENTRY = "skadl"  # of safetensors' metadata; holds the description as JSON
NETWORK_PREFIX, REPORT_PREFIX = "network.", "report."  # of names of tensors

# All that checks, parsers and records raise at bad content.
REFUSALS = (ValueError, OverflowError, RecursionError, safetensors.SafetensorError)

# Generous for what skadl writes, small for what an untrusted file may cost.
_LARGEST_HEADER = 4 << 20
_LARGEST_FILE = 2 << 30
_HIGHEST_PAIR_ID = 2**24  # a report counts pairs in an array as long as this
_HIGHEST_ITERATION = 2**40
_HIGHEST_SCORE = 1e100  # so that sums stay finite

# The types that the recorder of decisions writes: sums over others overflow.
_TYPES_OF_KIND = {"b": ("BOOL",), "f": ("F64",), "iu": ("U8", "U16", "U32")}
_COLUMN_TYPES = {
    name: _TYPES_OF_KIND[kind] for name, kind in DecisionTable.COLUMN_KINDS.items()
} | {"iteration": ("I64",), "offsets": ("I64",)}
_N_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "U16": 2,
    "U32": 4,
    "I64": 8,
    "F16": 2,
    "F32": 4,
    "F64": 8,
}

_FIRST_BYTES = {
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x89PNG": "a PNG picture",
    b"II*\0": "a TIFF or RAW file",
    b"MM\0*": "a TIFF or RAW file",
    b"PK\x03\x04": "a zip archive, as numpy and torch.save write",
    b"\x80": "a pickle, as pickle and joblib write (if you trust where it comes from, "
    "load it with joblib.load and save the model anew)",
}


@dataclass(frozen=True, eq=False)
class ModelFile:
    """What a model file holds."""

    parameters: Mapping[str, Any]  # of the estimator's constructor
    network: ModulatedNetwork
    conditioning: Conditioning
    sensors: SensorTable
    report: DataSelectionReport
    n_iter: int  # of all stages
    skadl_version: str = skadl.__version__  # that wrote it
    training: Training | None = None  # of a checkpoint
    estimator: str = DEFAULT_ESTIMATOR  # its class


def read_model_file(path: str | os.PathLike) -> ModelFile:
    """Read and check what a model file holds, with the network on the CPU.

    OSError if there is no such file or it cannot be read; ValueError if it is no model
    file, is damaged, or comes from a newer skadl.
    """
    path = Path(path)
    if not path.is_file():  # a pipe or a device might never end
        raise FileNotFoundError(
            f"there is no file {str(path)!r}; check the name and the folder."
        )
    with open(path, "rb") as file:
        try:
            return unpack(file, os.fstat(file.fileno()).st_size)
        except _NewerFormatError as error:
            raise ValueError(f"{path.name} {error}") from error
        except REFUSALS as error:
            raise ValueError(
                f"{path.name} is not a model file that can be loaded: "
                f"{reason_of(error)}. Give a file that ADLDenoiser.save wrote; if this "
                "is one, it is damaged: copy it from its source again."
            ) from error


def looks_like_model_file(path: str | os.PathLike) -> bool:
    """Tell by name or first bytes whether an existing file means to be a model file."""
    with open(path, "rb") as file:
        head = file.read(9)
    length = int.from_bytes(head[:8], "little")
    begins_so = head[8:] == b"{" and length <= _LARGEST_HEADER
    return begins_so or Path(path).suffix == ".safetensors"


class _NewerFormatError(Exception):
    """The file is of a later format than this skadl reads."""


def reason_of(error: Exception) -> str:
    """Write an error of `REFUSALS` as part of a sentence, however long its text."""
    if isinstance(error, RecursionError):
        return "its description is nested too deeply"
    text = " ".join(str(error).split()).rstrip(".")
    return text if len(text) <= 300 else f"{text[:300]}..."


def unpack(file: BinaryIO, size: int) -> ModelFile:
    """Read a model file of `size` bytes; one of `REFUSALS` at the first fault."""
    if size > _LARGEST_FILE:
        raise ValueError(f"it has {size} bytes, more than the {_LARGEST_FILE} allowed")
    head = _read_header(file, size)
    is_sealed = check_digest(head, file)
    header = parse_json(head[8:].decode())
    check_type("the header", header, dict)
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or list(metadata) != [ENTRY]:
        raise ValueError("it is a safetensors file without skadl's description")
    description = _parse_description(metadata[ENTRY])
    if description["format_version"] > _WITHOUT_DIGEST and not is_sealed:
        raise ValueError("its digest cannot be read")
    conditioning = _parse_conditioning(description["conditioning"])
    network = _declare_network(description["network"], conditioning)
    training = description.get("training")
    patterns = declared_arrays(description["sensors"])
    n_bytes = _count_bytes(header, network, training, patterns)
    if len(head) + n_bytes != size:
        what = "cut off" if len(head) + n_bytes > size else "too long"
        raise ValueError(f"it is {what}: {size} bytes, not {len(head) + n_bytes}")
    arrays = safetensors.numpy.load(head + file.read(n_bytes))
    parameters = {k: as_tuple(v) for k, v in description["parameters"].items()}
    if description["format_version"] <= _WITHOUT_START:
        parameters.setdefault("start", "random")
    estimator = description.get("estimator", DEFAULT_ESTIMATOR)
    check_type("estimator", estimator, str)
    check_parameters(estimator, parameters)
    _fill(network, arrays)
    report = _parse_report(description["report"], arrays)
    return ModelFile(
        parameters,
        network,
        conditioning,
        _parse_sensors(description["sensors"], conditioning, arrays),
        report,
        description["n_iter"],
        description["skadl_version"],
        None if training is None else parse_training(training, arrays, network, report),
        estimator,
    )


def _read_header(file: BinaryIO, size: int) -> bytes:
    """Length and JSON of the header, as they are in the file."""
    head = file.read(8)
    length = int.from_bytes(head, "little")
    if len(head) < 8 or length > _LARGEST_HEADER:
        kinds = (kind for first, kind in _FIRST_BYTES.items() if head.startswith(first))
        kind = next(kinds, None)
        raise ValueError(
            f"it is {kind}" if kind else "it does not begin like a safetensors file"
        )
    if 8 + length > size:
        raise ValueError(f"it is cut off within its header, after {size} bytes")
    return head + file.read(length)


def _parse_description(text: Any) -> dict[str, Any]:
    """Check the top level; the functions below check the records in it."""
    check_type("the description", text, str)
    description = parse_json(text)
    check_type("the description", description, dict)
    if description.get("format") != FORMAT:
        raise ValueError(f"its format is {reprlib.repr(description.get('format'))}")
    version, writer = map(description.get, ("format_version", "skadl_version"))
    check_type("format_version", version, int)
    check_type("skadl_version", writer, str)
    if version > FORMAT_VERSION:
        raise _NewerFormatError(
            f"was written by skadl {writer[:40]!r} in format {version}; this skadl "
            f"{skadl.__version__} reads formats up to {FORMAT_VERSION}. Upgrade skadl "
            "to load it."
        )
    records = ("parameters", "network", "conditioning", "sensors", "report")
    needed = ["format", "format_version", "skadl_version", "n_iter", *records]
    needed += ["digest"] if version > _WITHOUT_DIGEST else []
    known = [*needed, "digest", "training", "estimator"]
    check_names("the description", description, known, needed)
    for name in (*records, *(["training"] if "training" in description else [])):
        check_type(name, description[name], dict)
    check_int("format_version", version, 1, FORMAT_VERSION)
    check_int("n_iter", description["n_iter"], 0, _HIGHEST_ITERATION)
    return description


def _parse_conditioning(record: dict[str, Any]) -> Conditioning:
    check_names("conditioning", record, ("kind", "sensors"), ("kind", "sensors"))
    if record["kind"] not in CONDITIONINGS:
        raise ValueError(f"its conditioning is {reprlib.repr(record['kind'])}")
    sensors = check_strings("sensors of conditioning", record["sensors"])
    needed = Conditioning(
        record["kind"], ()
    ).uses_sensor  # others may know none by name
    if needed > len(sensors) or len(set(sensors)) != len(sensors):
        raise ValueError("sensors of conditioning must be named, each once")
    return Conditioning(record["kind"], sensors)


def _declare_network(
    record: dict[str, Any], conditioning: Conditioning
) -> ModulatedNetwork:
    """Build the network with shapes, but without memory for its weights."""
    kind, record = record.get("kind", DEFAULT_NETWORK), dict(record)
    record.pop("kind", None)
    check_type("kind of the network", kind, str)
    if kind not in NETWORKS:
        raise ValueError(
            f"its network is of kind {reprlib.repr(kind)}; this skadl "
            f"{skadl.__version__} knows {sorted(NETWORKS)}"
        )
    sizes = NETWORKS[kind].SIZES
    if "n_planes" in sizes:
        record.setdefault("n_planes", N_PLANES)
    check_names("network", record, sizes, sizes)
    for name, largest in sizes.items():
        check_int(name, record[name], 1, largest)
    if record["n_metadata"] != conditioning.length:
        raise ValueError(
            f"its network takes {record['n_metadata']} facts of an image, its "
            f"conditioning gives {conditioning.length}"
        )
    if NETWORKS[kind].needs_noise and not conditioning.uses_noise:
        raise ValueError(
            "its network reads the noise out of what it is told, and its conditioning "
            f"{conditioning.kind!r} does not tell it"
        )
    return declare_network(record, kind)


def _count_bytes(
    entries: dict[str, Any],
    network: ModulatedNetwork,
    training: Mapping[str, Any] | None,
    patterns: Mapping[str, tuple[str, list[int]]],
) -> int:
    """Compare the declared tensors with the network, and add up their lengths."""
    wanted = {
        NETWORK_PREFIX + name: ("F32", list(tensor.shape))
        for name, tensor in network.state_dict().items()
    }
    if training is not None:
        wanted |= training_shapes(training, network)
    wanted |= patterns
    shapes = {name: shape for name, (_, shape) in wanted.items()}
    types = {name: (dtype,) for name, (dtype, _) in wanted.items()}
    types |= {REPORT_PREFIX + name: types for name, types in _COLUMN_TYPES.items()}
    check_names("the file", entries, types, types)
    n_bytes = 0
    for name, entry in entries.items():
        check_type(f"tensor {name!r}", entry, dict)
        dtype, shape = entry.get("dtype"), entry.get("shape")
        fits_column = (
            isinstance(shape, list)
            and [type(length) for length in shape] == [int]
            and 0 <= shape[0] < _LARGEST_FILE
        )
        fits = shape == shapes[name] if name in shapes else fits_column
        if dtype not in types[name] or not fits:
            raise ValueError(
                f"tensor {name!r} cannot be {reprlib.repr(dtype)} of shape "
                f"{reprlib.repr(shape)}"
            )
        n_bytes += math.prod(shape) * _N_BYTES[dtype]
    return n_bytes


def _fill(network: ModulatedNetwork, arrays: Mapping[str, np.ndarray]) -> None:
    weights = {name: arrays[NETWORK_PREFIX + name] for name in network.state_dict()}
    for name, array in weights.items():
        if not np.isfinite(array).all():
            raise ValueError(f"the weights {name!r} hold NaN or infinity")
    tensors = {name: torch.tensor(array) for name, array in weights.items()}
    network.load_state_dict(tensors, assign=True)
    network.to(memory_format=torch.channels_last).eval()


def _parse_sensors(
    record: dict[str, Any],
    conditioning: Conditioning,
    arrays: Mapping[str, np.ndarray],
) -> SensorTable:
    missing = [name for name in conditioning.sensors if name not in record]
    if missing:
        raise ValueError(f"sensors lacks {reprlib.repr(missing[0])}")
    return parse_sensors(record, arrays)


def _parse_report(
    record: dict[str, Any], arrays: Mapping[str, np.ndarray]
) -> DataSelectionReport:
    names = ("domains", "reasons", "stages", "notes")
    check_names("report", record, names, names)
    columns = {name: arrays[REPORT_PREFIX + name] for name in _COLUMN_TYPES}
    for name, highest in (
        ("is_accepted", 1),  # other bytes are neither true nor false
        ("pair_id", _HIGHEST_PAIR_ID),
        ("iteration", _HIGHEST_ITERATION),
    ):
        values = columns[name]
        values = values.view(np.uint8) if values.dtype == bool else values
        if values.min(initial=0) < 0 or values.max(initial=0) > highest:
            raise ValueError(f"column {name!r} must be 0 to {highest}")
    for name in ("score", "threshold"):
        if np.nan_to_num(np.abs(columns[name])).max(initial=0) > _HIGHEST_SCORE:
            raise ValueError(f"column {name!r} holds a number beyond reason")
    table = DecisionTable(
        domains=check_strings("domains", record["domains"]),
        reasons=check_strings("reasons", record["reasons"]),
        **columns,
    )
    check_type("stages", record["stages"], list)
    stages = [_parse_stage(stage) for stage in record["stages"]]
    return DataSelectionReport(table, stages, check_strings("notes", record["notes"]))


def _parse_stage(stage: Any) -> TrainingStage:
    if not isinstance(stage, list) or len(stage) != 3:
        raise ValueError(f"a stage is {reprlib.repr(stage)}")
    name, n_iter, psnr = stage
    check_type("name of a stage", name, str)
    check_int("length of a stage", n_iter, 0, _HIGHEST_ITERATION)
    if psnr is not None:
        check_type("PSNR of a stage", psnr, float)
    return TrainingStage(name, n_iter, psnr)
