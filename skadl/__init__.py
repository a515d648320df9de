"""skadl: a RAW denoiser for any camera, and for a new one from few pairs.

Names are loaded when they are first used (PEP 562), so that `import skadl` costs next
to nothing and `skadl --help` needs no torch.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from skadl.estimators import baselines as _baselines
from skadl.support.lazy import attach

if TYPE_CHECKING:  # what completion and type checkers read; a test compares
    from skadl.adaptation.report.report import (
        DataSelectionReport as DataSelectionReport,
    )
    from skadl.data.capture.plan import CapturePlan as CapturePlan
    from skadl.data.capture.recommend import recommend_captures as recommend_captures
    from skadl.data.folders.load import LoadedPairs as LoadedPairs
    from skadl.data.folders.load import load_pairs as load_pairs
    from skadl.data.pool import SourcePool as SourcePool
    from skadl.data.store.patch_store import PatchStore as PatchStore
    from skadl.estimators import baselines as baselines
    from skadl.estimators.adl import PAPER_PARAMS as PAPER_PARAMS
    from skadl.estimators.adl import ADLDenoiser as ADLDenoiser
    from skadl.estimators.loading import load as load
    from skadl.estimators.loading import load_universal as load_universal
    from skadl.estimators.model_files.onnx import export_onnx as export_onnx
    from skadl.evaluation.metrics import psnr as psnr
    from skadl.evaluation.metrics import ssim as ssim
    from skadl.evaluation.protocols import Score as Score
    from skadl.evaluation.scores import evaluate as evaluate
    from skadl.evaluation.scores import evaluate_pairs as evaluate_pairs
    from skadl.evaluation.star_finding import Stars as Stars
    from skadl.evaluation.star_finding import find_stars as find_stars
    from skadl.evaluation.star_report import StarReport as StarReport
    from skadl.evaluation.star_report import evaluate_stars as evaluate_stars
    from skadl.noise.calibration import calibrate_sensor as calibrate_sensor
    from skadl.noise.fixed_pattern import FixedPattern as FixedPattern
    from skadl.noise.sensor_files import load_sensors as load_sensors
    from skadl.noise.sensor_files import save_sensors as save_sensors
    from skadl.noise.sensors import SensorInfo as SensorInfo
    from skadl.noise.sensors import SensorTable as SensorTable
    from skadl.raw.dng import write_dng as write_dng
    from skadl.raw.fits_output import write_fits as write_fits
    from skadl.raw.image import RawImage as RawImage
    from skadl.raw.imagefile import write_image as write_image
    from skadl.raw.imagefile import write_tiff as write_tiff
    from skadl.raw.pair import RawPair as RawPair
    from skadl.raw.pair import make_pairs as make_pairs
    from skadl.raw.rawfile import open_raw as open_raw
    from skadl.raw.rawfile import read_raw as read_raw
    from skadl.screening.check import check_pairs as check_pairs
    from skadl.screening.result import PairCheck as PairCheck
    from skadl.support.versions import show_versions as show_versions

__version__ = "0.1.0"

__getattr__, __dir__, _names = attach(
    __name__,
    {
        "skadl.adaptation.report.report": "DataSelectionReport",
        "skadl.data.capture.plan": "CapturePlan",
        "skadl.data.capture.recommend": "recommend_captures",
        "skadl.data.folders.load": "LoadedPairs load_pairs",
        "skadl.data.pool": "SourcePool",
        "skadl.data.store.patch_store": "PatchStore",
        "skadl.estimators": "baselines",
        "skadl.estimators.adl": "ADLDenoiser PAPER_PARAMS",
        "skadl.estimators.loading": "load load_universal",
        "skadl.estimators.model_files.onnx": "export_onnx",
        "skadl.evaluation.metrics": "psnr ssim",
        "skadl.evaluation.protocols": "Score",
        "skadl.evaluation.scores": "evaluate evaluate_pairs",
        "skadl.evaluation.star_finding": "Stars find_stars",
        "skadl.evaluation.star_report": "StarReport evaluate_stars",
        "skadl.noise.calibration": "calibrate_sensor",
        "skadl.noise.fixed_pattern": "FixedPattern",
        "skadl.noise.sensor_files": "load_sensors save_sensors",
        "skadl.noise.sensors": "SensorInfo SensorTable",
        "skadl.raw.dng": "write_dng",
        "skadl.raw.fits_output": "write_fits",
        "skadl.raw.image": "RawImage",
        "skadl.raw.imagefile": "write_image write_tiff",
        "skadl.raw.pair": "RawPair make_pairs",
        "skadl.raw.rawfile": "open_raw read_raw",
        "skadl.screening.check": "check_pairs",
        "skadl.screening.result": "PairCheck",
        "skadl.support.versions": "show_versions",
    },
)
__all__ = ["__version__", *_names]

# So that `from skadl.baselines import LED` works: a face, which loads nothing.
sys.modules[f"{__name__}.baselines"] = _baselines
