"""Model files of earlier versions load, as long as they are worth anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_fits import TARGET, target_pairs

import skadl

FILES = sorted((Path(__file__).parent / "files").glob("*.safetensors"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_load__file_of_an_earlier_version__predicts_and_reports(path):
    model = skadl.load(path, device="cpu")
    pair = target_pairs(1)[0]
    assert model.sensors_.get(TARGET).knows_noise
    assert model.predict(pair.noisy).mosaic.shape == pair.noisy.mosaic.shape
    report = model.selection_report_
    assert report.domains == ("NikonD850", "re-noised")
    assert sum(stage.n_iter for stage in report.stages) == model.n_iter_ == 9


def test_files__are_there():
    assert FILES
