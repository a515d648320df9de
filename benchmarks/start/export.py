"""Files to pass on: a network as a model file, a checkpoint without averages."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.start.batches import CONDITIONING
from benchmarks.start.training import load_network, read_checkpoint
from skadl.adaptation.report.acceptance import TrainingStage
from skadl.adaptation.report.decisions import DecisionRecorder
from skadl.adaptation.report.report import DataSelectionReport
from skadl.estimators.adl import ADLDenoiser
from skadl.estimators.model_files.parameters import parameters_to_save
from skadl.estimators.model_files.reader import ModelFile
from skadl.estimators.model_files.writer import write_model_file
from skadl.noise.sensors import SensorTable
from skadl.support.writing import atomic_write

_NOTE = (
    "trained on simulated noise of all levels, on drawn scenes and photographs, and on "
    "no pair of any sensor; skadl's model card says on which, and what it can do."
)


def export_model(checkpoint: Path, path: Path) -> int:
    """Write a checkpoint's network as a model that `skadl.load` reads; return its size.

    It knows no sensor by name and has the default parameters of `ADLDenoiser`.
    """
    step = read_checkpoint(checkpoint)["step"]
    report = DataSelectionReport(
        DecisionRecorder({}).finish(), [TrainingStage("simulated noise", step)], [_NOTE]
    )
    contents = ModelFile(
        parameters_to_save(ADLDenoiser()),
        load_network(checkpoint),
        CONDITIONING,
        SensorTable({}),
        report,
        step,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_model_file(path, contents)
    return path.stat().st_size


def export_checkpoint(checkpoint: Path, path: Path) -> int:
    """Write a checkpoint without its averaged weights; return the file's bytes.

    Training goes on from it; the averages begin anew, within 1,000 steps.
    """
    contents = read_checkpoint(checkpoint)
    contents["average"] = None
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as part:
        torch.save(contents, part)
    return path.stat().st_size
