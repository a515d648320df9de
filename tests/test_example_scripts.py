"""The scripts of examples/ that are not gallery pages, run as a person runs them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from tiny_fits import TARGET, target_pairs, tiny_denoiser

from skadl import export_onnx, write_dng

EXAMPLES = Path(__file__).parents[1] / "examples"


def run_example(name, *arguments):
    words = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    return subprocess.run(words, check=True, capture_output=True, text=True)


def test_denoise_with_onnxruntime__same_as_predict_without_safeguard(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    # Halos of 12 packed pixels and a frame that needs six tiles.
    fitted = tiny_denoiser(safeguard=False, precision="float32", n_iter=0)
    fitted.fit(target_pairs())
    fitted.module_.head.weight.data += 0.05
    noisy = target_pairs()[0].noisy
    mosaic = np.tile(noisy.mosaic, (34, 68))[:-6, :-2]
    frame = replace(noisy, mosaic=mosaic, ratio=1.0)
    raw = write_dng(tmp_path / "noisy.dng", frame)
    model = export_onnx(fitted, tmp_path / "model.onnx", TARGET, frame.iso)
    out = tmp_path / "denoised.npy"
    run_example("denoise_with_onnxruntime.py", model, raw, out)
    wanted = fitted.predict(replace(frame, mosaic=mosaic.astype(np.float32)))
    assert np.abs(wanted.mosaic - mosaic).max() > 1
    assert_allclose(np.load(out), wanted.mosaic, atol=0.05)
