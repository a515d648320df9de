"""The benchmark: tables in the shape of the paper's, on simulated cameras.

Needs the extra ``skadl[bench]``. From a shell it is ``skadl bench``.
"""

try:
    import pandas  # noqa: F401
except ImportError as error:
    raise ImportError(
        "the benchmark needs pandas, which is not installed; get it with "
        'pip install "skadl[bench]".'
    ) from error

from benchmarks.tables.campaign import Campaign, reduced
from benchmarks.tables.running import run_campaign
from benchmarks.tables.runs import Run, Settings, estimator_parameters
from benchmarks.tables.strategies import STRATEGIES
from benchmarks.tables.tables import TABLES

__all__ = [
    "STRATEGIES",
    "TABLES",
    "Campaign",
    "Run",
    "Settings",
    "estimator_parameters",
    "reduced",
    "run_campaign",
]
