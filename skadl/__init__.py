"""skadl: a denoiser for a new camera sensor from about twenty RAW pairs."""

from skadl.capture.plan import CapturePlan as CapturePlan
from skadl.capture.plan import recommend_captures as recommend_captures
from skadl.estimator import PAPER_PARAMS as PAPER_PARAMS
from skadl.estimator import ADLDenoiser as ADLDenoiser
from skadl.evaluation import evaluate as evaluate
from skadl.evaluation import evaluate_pairs as evaluate_pairs
from skadl.export import export_onnx as export_onnx
from skadl.folders.pairs import LoadedPairs as LoadedPairs
from skadl.folders.pairs import load_pairs as load_pairs
from skadl.metrics import psnr as psnr
from skadl.metrics import ssim as ssim
from skadl.modelfile import load as load
from skadl.noise.calibration import calibrate_sensor as calibrate_sensor
from skadl.paircheck.check import check_pairs as check_pairs
from skadl.paircheck.table import PairCheck as PairCheck
from skadl.pool import SourcePool as SourcePool
from skadl.protocols import Score as Score
from skadl.raw.dng import write_dng as write_dng
from skadl.raw.imagefile import write_image as write_image
from skadl.raw.imagefile import write_tiff as write_tiff
from skadl.raw.rawfile import open_raw as open_raw
from skadl.raw.rawfile import read_raw as read_raw
from skadl.raw.records import RawImage as RawImage
from skadl.raw.records import RawPair as RawPair
from skadl.raw.records import make_pairs as make_pairs
from skadl.report import DataSelectionReport as DataSelectionReport
from skadl.sensors import SensorInfo as SensorInfo
from skadl.sensors import SensorTable as SensorTable
from skadl.stars.evaluation import StarReport as StarReport
from skadl.stars.evaluation import evaluate_stars as evaluate_stars
from skadl.stars.finding import Stars as Stars
from skadl.stars.finding import find_stars as find_stars
from skadl.store.patch_store import PatchStore as PatchStore
from skadl.versions import show_versions as show_versions

__version__ = "0.1.0"
