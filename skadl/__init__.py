"""skadl: a denoiser for a new camera sensor from about twenty RAW pairs."""

from skadl.adaptation.report.report import DataSelectionReport as DataSelectionReport
from skadl.data.capture.plan import CapturePlan as CapturePlan
from skadl.data.capture.recommend import recommend_captures as recommend_captures
from skadl.data.folders.load import LoadedPairs as LoadedPairs
from skadl.data.folders.load import load_pairs as load_pairs
from skadl.data.pool import SourcePool as SourcePool
from skadl.data.store.patch_store import PatchStore as PatchStore
from skadl.estimators.adl import PAPER_PARAMS as PAPER_PARAMS
from skadl.estimators.adl import ADLDenoiser as ADLDenoiser
from skadl.estimators.model_files.onnx import export_onnx as export_onnx
from skadl.estimators.model_files.writer import load as load
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
from skadl.noise.sensors import SensorInfo as SensorInfo
from skadl.noise.sensors import SensorTable as SensorTable
from skadl.raw.dng import write_dng as write_dng
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
