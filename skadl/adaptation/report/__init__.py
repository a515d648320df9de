"""Which source batches a fit took and which it refused: look up, count, save."""

from skadl.adaptation.report.acceptance import (
    AcceptanceCounts,
    DomainAcceptance,
    EpochAcceptance,
    TrainingStage,
)
from skadl.adaptation.report.decisions import (
    BatchDecision,
    DecisionRecorder,
    DecisionTable,
)
from skadl.adaptation.report.report import DataSelectionReport

__all__ = [
    "AcceptanceCounts",
    "BatchDecision",
    "DataSelectionReport",
    "DecisionRecorder",
    "DecisionTable",
    "DomainAcceptance",
    "EpochAcceptance",
    "TrainingStage",
]
