"""What the baselines share: their parameters, their begin, their stages.

A baseline with a network derives from `NetworkBaseline` and says in `train` how it
trains; any other derives from `skadl.estimators.base.RawDenoiser` and finds the noise
of its sensors by `measured_sensors`.
"""

from __future__ import annotations

import numbers
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions

from skadl.adaptation.gates.accept_all import AcceptAll
from skadl.adaptation.held_out import hold_out_judges, part_trained_on
from skadl.adaptation.learner import Learner
from skadl.adaptation.patches import TrainingPair
from skadl.adaptation.report.report import DataSelectionReport
from skadl.adaptation.stage_record import StageRecord
from skadl.adaptation.stages import finetune
from skadl.data.pool import SourcePool
from skadl.estimators.base import NetworkDenoiser
from skadl.estimators.baselines.shared_parameters import spell_out
from skadl.estimators.fitting import Fitting, begin_fit
from skadl.estimators.start import find_start
from skadl.estimators.training_pairs import LOSS_WEIGHTINGS, to_training_pair
from skadl.estimators.validation import check_meta
from skadl.network.base import ModulatedNetwork
from skadl.network.choice import NETWORKS
from skadl.network.conditioning import CONDITIONINGS, Conditioning
from skadl.noise.calibration import calibrate
from skadl.noise.noise_level import expected_noise
from skadl.noise.sensors import SensorTable
from skadl.raw.pair import RawPair
from skadl.screening.screen import Screening, analyse_residual
from skadl.support.device import PRECISIONS
from skadl.support.progress import Progress

POSITIVE = [Interval(numbers.Real, 0, None, closed="neither")]
COUNT = [Interval(numbers.Integral, 0, None, closed="left")]
POSITIVE_COUNT = [Interval(numbers.Integral, 1, None, closed="left")]


class NetworkBaseline(NetworkDenoiser):
    """Base of baselines with a network; a subclass needs `train`.

    A subclass with parameters of its own writes them, and those whose default differs,
    into its `__init__` and its docstring before ``**shared``: these are the ones here.

    Parameters
    ----------
    batch_size : int, default=8
        Patches in a step.
    patch_size : int, default=64
        Side of a patch in packed pixels; made smaller where an image is smaller.
    learning_rate : float, default=2e-3
        Peak rate of AdamW.
    weight_decay : float, default=0.01
        Of AdamW.
    network : str, default="unet"
        A name of :data:`skadl.network.choice.NETWORKS`.
    base_channels, n_levels, mlp_width : int, default=16, 4 and 32
        Width and depth of the network, hidden width of the modulation MLPs.
    loss_weighting : {"none", "noise"}, default="none"
        Whether an image's L1 error counts as it is or in units of its own noise.
    conditioning : {"none", "noise", "sensor_iso", "sensor_iso_noise"}, default="none"
        What the network knows of an image: by default nothing, which makes it a plain
        U-Net.
    shot_noise_augmentation : float, default=0
        Fraction of training images made brighter or darker with the shot noise of their
        new signal.
    safeguard : bool, default=False
        Whether `predict` holds back corrections that would do an image more harm than
        good; see `skadl.ADLDenoiser`.
    on_bad_pair : {"warn", "raise", "drop"}, default="warn"
        What `fit` does with target pairs whose frames do not belong together; see
        `skadl.ADLDenoiser`.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of the convolutions in training and prediction.
    device : str or torch.device, default="auto"
        "auto" is a CUDA GPU if there is one, else the CPU.
    random_state : int, RandomState or None, default=None
        An int gives the same fit again on the same machine.
    verbose : int, default=0
        1 shows a progress bar for each stage.
    """

    _parameter_constraints: dict = {
        "batch_size": POSITIVE_COUNT,
        "patch_size": [Interval(numbers.Integral, 8, None, closed="left")],
        "learning_rate": POSITIVE,
        "weight_decay": [Interval(numbers.Real, 0, None, closed="left")],
        "network": [StrOptions(set(NETWORKS))],
        "base_channels": POSITIVE_COUNT,
        "n_levels": [Interval(numbers.Integral, 1, 8, closed="both")],
        "mlp_width": POSITIVE_COUNT,
        "loss_weighting": [StrOptions(set(LOSS_WEIGHTINGS))],
        "conditioning": [StrOptions(set(CONDITIONINGS))],
        "shot_noise_augmentation": [Interval(numbers.Real, 0, 1, closed="both")],
        "safeguard": ["boolean"],
        "on_bad_pair": [StrOptions({"warn", "raise", "drop"})],
        "precision": [StrOptions(set(PRECISIONS))],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        batch_size: int = 8,
        patch_size: int = 64,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.01,
        network: str = "unet",
        base_channels: int = 16,
        n_levels: int = 4,
        mlp_width: int = 32,
        loss_weighting: str = "none",
        conditioning: str = "none",
        shot_noise_augmentation: float = 0.0,
        safeguard: bool = False,
        on_bad_pair: str = "warn",
        precision: str = "auto",
        device: str | torch.device = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.batch_size = batch_size
        self.patch_size = patch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.network = network
        self.base_channels = base_channels
        self.n_levels = n_levels
        self.mlp_width = mlp_width
        self.loss_weighting = loss_weighting
        self.conditioning = conditioning
        self.shot_noise_augmentation = shot_noise_augmentation
        self.safeguard = safeguard
        self.on_bad_pair = on_bad_pair
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give a subclass the parameters, constraints and texts of its base."""
        super().__init_subclass__(**kwargs)
        own = cls.__dict__.get("_parameter_constraints", {})
        above = cls.__mro__[1]._parameter_constraints
        cls._parameter_constraints = {**above, **own}
        spell_out(cls)
        if "train" in cls.__dict__ and cls.train.__doc__:
            first, base = cls.train.__doc__.strip(), NetworkBaseline.train.__doc__
            cls.train.__doc__ = f"{first}\n{base[base.index(chr(10)) :]}"

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        target_pairs: Sequence[RawPair],
        source_pairs: SourcePool
        | Mapping[str, Sequence[RawPair]]
        | Sequence[RawPair]
        | None = None,
        meta: SensorTable | None = None,
    ) -> Self:
        """Fit a denoiser for the target's sensor.

        Parameters
        ----------
        target_pairs : sequence of RawPair
            At least two pairs of the new sensor.
        source_pairs : SourcePool, mapping of domain to pairs, or sequence, optional
            Pairs of other sensors.
        meta : SensorTable, optional
            Facts of the sensors, above all their noise where it is known.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If the pairs, the pool, `meta` or a parameter cannot be used.
        FloatingPointError
            If training diverged.
        """
        parameters = self.chosen_parameters()
        start = find_start(parameters.get("start", "random"))
        begun = begin_fit(parameters, start, target_pairs, source_pairs, meta)
        network, report = self.train(begun, Progress(self.verbose))
        begun.finish(self, report, network)
        return self

    @abstractmethod
    def train(
        self, begun: Fitting, progress: Progress
    ) -> tuple[ModulatedNetwork, DataSelectionReport]:
        """Return the trained network, and the report of the training.

        Parameters
        ----------
        begun : Fitting
            The data, and a network to train.
        progress : Progress

        Returns
        -------
        network : ModulatedNetwork
            For the conditioning of `begun`.
        report : DataSelectionReport
        """

    def chosen_parameters(self) -> dict[str, Any]:
        """Return all parameters; a subclass decides here what None means.

        Returns
        -------
        dict
        """
        return self.get_params(deep=False)


class Stages:
    """The stages of one baseline, run one after the other on any pairs.

    After a trained start a part of the target is held out of `target_pairs`: it decides
    in `report` how far from there the network may go, as in `skadl.ADLDenoiser`.
    """

    def __init__(self, begun: Fitting, learner: Learner, progress: Progress) -> None:
        self.begun = begun
        target, validation = begun.data.target, begun.data.target.validation
        if begun.is_trained:
            side = begun.data.patch_side
            target, validation = hold_out_judges(target, side, begun.rng)
        self.trainable = target.trainable
        self.target_pairs = [target.pairs[i] for i in self.trainable]
        self.record = StageRecord(learner, validation, begun.rng, AcceptAll(), progress)
        self.record.note_noisy()
        if begun.is_trained:
            self.record.close("start", 0)
        self._parts_frames = bool(target.aside)
        self._beginning = learner.weights()

    def train_on(
        self,
        name: str,
        pairs: Sequence[TrainingPair],
        n_iter: int,
        learning_rate: float | None = None,
    ) -> None:
        """Train on some pairs, drawn uniformly, at a rate that falls to zero."""
        changes = {} if learning_rate is None else {"learning_rate": learning_rate}
        schedule = self.begun.schedule(n_finetune_iter=n_iter, **changes)
        learner = self.record.learner
        losses = partial(finetune, learner, pairs, schedule, self.begun.rng)
        self.record.run(name, n_iter, losses)

    def go_on_with(self, learner: Learner) -> None:
        """Train with another learner from here: other weights are free, or new."""
        self.record.learner = learner

    def without_judges(self, made: Sequence[TrainingPair]) -> list[TrainingPair]:
        """Leave out of pairs made of `clean_scenes` what decides of the only scene."""
        if not self._parts_frames or self.begun.domains:
            return list(made)
        side = self.begun.parameters["patch_size"]  # that the frames were parted by
        return [replace(p, part=part_trained_on(p.sides, side)) for p in made]

    def report(self) -> DataSelectionReport:
        """Return what the stages came to; no gate decided anything."""
        if self.begun.is_trained:
            judges = self.record.validation
            unit = "window" if self._parts_frames else "pair"
            self.record.walk_back(self._beginning, judges, "the training", unit)
        return self.record.report()


def source_training_pairs(begun: Fitting) -> list[TrainingPair]:
    """Return the pairs of all sources, or say that there are none."""
    pairs = [pair for domain in begun.data.sources.values() for pair in domain]
    if not pairs:
        raise ValueError(
            "got no source_pairs, which this method trains on first; give fit "
            "source_pairs=SourcePool(...), or fit TargetOnly."
        )
    return pairs


def to_training_pairs(
    pairs: Iterable[RawPair],
    sensors: SensorTable,
    conditioning: Conditioning,
    device: torch.device,
) -> list[TrainingPair]:
    """Bring pairs whose noise is that of their sensor in the table onto the device."""
    made = []
    for pair in pairs:
        noise = expected_noise(sensors.get(pair.sensor), pair.iso, pair.ratio)
        codes = conditioning.vector(pair.sensor, pair.iso, pair.ratio, noise)
        faultless = Screening()
        made.append(to_training_pair(pair, codes, noise, 0.0, faultless, device))
    return made


def measured_sensors(
    pairs: Sequence[RawPair], meta: SensorTable | None = None
) -> SensorTable:
    """Return every sensor of some pairs with its noise: as `meta` says, or measured.

    For denoisers without a network, which must know the noise of an image.
    """
    curves: dict[str, list] = {}
    for pair in pairs:
        curves.setdefault(pair.sensor, []).append(analyse_residual(pair).curve)
    return calibrate(check_meta(meta, pairs), curves)


def with_metadata(pair: TrainingPair, codes: np.ndarray) -> TrainingPair:
    """Return a training pair of which the network is told something else."""
    metadata = torch.as_tensor(codes, dtype=torch.float32, device=pair.metadata.device)
    return replace(pair, metadata=metadata)
