"""ADLDenoiser: the scikit-learn estimator around adaptive domain learning."""

from __future__ import annotations

import numbers
import os
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions

from skadl.adaptation.gates.base import Gate
from skadl.adaptation.gates.choice import GATES, make_gate
from skadl.adaptation.run import train
from skadl.adaptation.stages import FEW_PAIRS
from skadl.data.pool import SourcePool
from skadl.estimators.base import NetworkDenoiser
from skadl.estimators.checkpoints import DEFAULT_EVERY, Checkpoint
from skadl.estimators.fitting import begin_fit
from skadl.estimators.start import find_start
from skadl.estimators.training_pairs import LOSS_WEIGHTINGS
from skadl.estimators.validation import check_val_fraction
from skadl.network.choice import NETWORKS
from skadl.network.conditioning import CONDITIONINGS
from skadl.noise.renoising import RENOISED
from skadl.noise.sensors import SensorTable
from skadl.raw.pair import RawPair
from skadl.support.device import PRECISIONS
from skadl.support.progress import Progress

PAPER_PARAMS = {
    "start": "random",
    "gate": "queue",
    "val_fraction": (0.2, 0.5),
    "n_iter": 300_000,
    "patch_size": 256,
    "learning_rate": 3e-3,
    "network": "dense_unet",
    "base_channels": 64,
    "n_levels": 5,
    "renoised_share": 0.0,
    "loss_weighting": "none",
    "conditioning": "sensor_iso",
}
"""What the paper and its appendix state; the rest keeps skadl's defaults."""

NO_SOURCES = (
    "n_iter={} does nothing without source_pairs: the second stage is left out. Give "
    "sources, or say with n_pretrain_iter, here {}, how long to train on the target."
)


class ADLDenoiser(NetworkDenoiser):
    """Denoiser for a new camera sensor, from few pairs of it and many of others.

    Fits a modulated U-Net in three stages (Algorithm 1 of the paper): pre-training
    on the target pairs, adaptation on source batches that a gate accepts or
    rejects, fine-tuning on the target pairs. It begins at a network that denoises
    already, and never ends below it on what of the target is held out of training. The
    parameters come in this order: the method, its schedule, the network, the task,
    the machine. None stands for what suits the start.

    Parameters
    ----------
    start : {"universal", "random"}, path or fitted denoiser, default="universal"
        Where training begins: the network that comes with skadl
        (:func:`skadl.load_universal`), random weights as in the paper, or a model of
        one's own. In a search give a path, or a `sklearn.frozen.FrozenEstimator`.
    gate : {"evidence", "queue", "paired", "none"} or callable, default="evidence"
        What decides on a source batch: the residuals of its pairs and evidence
        pooled over its domain, the paper's queue of best PSNRs, the same V' before
        and after the step, or nothing; or your own: what builds a
        :class:`skadl.adaptation.gates.Gate` from `queue_size`, such as a class. See
        :mod:`skadl.adaptation.gates`.
    queue_size : int, default=40
        M: validation scores that the gate remembers; of each domain, if the gate
        keeps domains apart.
    val_fraction : float or pair of floats, default=(0.2, 0.5)
        Size of the validation subset V' as a fraction of the target pairs, at the
        first and at the last iteration of the second stage.
    diverse_below : int, default=10
        Of fewer target pairs than this, V' is chosen so that its system gains span
        their range (section 3.1.2 of the paper). With 0 it is always drawn at random.
    source_share : float or None, default=None
        Fraction of a batch that comes from the sources in the second stage; the
        rest comes from the target pairs outside V'. None is 0.875 after a trained
        start, 0.5 after a random one.
    renoised_share : float, default=0.8
        Fraction of source batches drawn from one more domain: the sources' clean
        frames under the noise measured on the target pairs; after a trained start
        scenes of skadl's own, too. After a random start without sources, fraction of
        the patches of the first stage that show the target's own clean frames under
        that noise, drawn anew. 0 leaves it out. See :mod:`skadl.noise.renoising`.
    n_pretrain_iter, n_iter, n_finetune_iter : int or None, default=None
        Iterations of the three stages; 0 leaves a stage out. None is 0, 1000 and 100
        after a trained start, 1200, 5400 and 600 after a random one. After a random
        start without sources there is no second stage, and `n_pretrain_iter` None is
        the sum of the first two.
    batch_size : int, default=8
        Patches in a step.
    patch_size : int, default=64
        Side of a patch in packed pixels; made smaller where an image is smaller.
    learning_rate : float, default=2e-3
        Peak rate of AdamW.
    finetune_rate : float, default=0.3
        Where fine-tuning starts, as a fraction of `learning_rate`.
    weight_decay : float, default=0.01
        Of AdamW.
    network : str or None, default=None
        A name of :data:`skadl.network.choice.NETWORKS`, such as "unet",
        "pyramid_unet" (that of the network that comes with skadl) or the paper's
        "dense_unet". None is that of the start, "unet" for a random one.
    base_channels, n_levels, mlp_width : int or None, default=None
        Width and depth of the network, hidden width of the modulation MLPs. None is
        what the start has: 16, 4 and 32 for a random one.
    loss_weighting : {"noise", "none"}, default="noise"
        Whether an image's L1 error counts in units of its own noise or, as in the
        paper, as it is. See :func:`skadl.estimators.training_pairs.noise_weight`.
    conditioning : {"noise", "sensor_iso_noise", "sensor_iso", "none"}, default="noise"
        What the network knows of an image: light factor and noise level, which lets
        sensors share what they have in common and `predict` take a sensor never seen
        in `fit`; these and sensor and ISO; sensor and ISO alone (the paper); or
        nothing, which makes it a plain U-Net. See
        :mod:`skadl.network.conditioning`.
    shot_noise_augmentation : float, default=0
        Fraction of training images made brighter or darker with the shot noise of
        their new signal. See
        :class:`skadl.estimators.training_pairs.ShotNoiseAugmentation`.
    safeguard : bool, default=True
        Whether `predict` holds back what Stein's risk estimate says would do an image
        more harm than good, mostly in images of little noise, and what is more than
        noise can be; hot pixels stay. An image whose smooth parts show another noise
        level than that of its sensor is denoised by what they show. It takes about
        one more pass for a small image, a fifth of one for a photograph. See
        :mod:`skadl.prediction.safeguard`.
    on_bad_pair : {"warn", "raise", "drop"}, default="warn"
        What `fit` does with target pairs whose frames do not belong together: names
        them in a warning and trains on them all the same, refuses them, or leaves
        out, with a note in `selection_report_`, those that `skadl.check_pairs` finds
        bad.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of the convolutions in training and prediction. Gates always compute in
        float32.
    device : str or torch.device, default="auto"
        "auto" is a CUDA GPU if there is one, else the CPU.
    random_state : int, RandomState or None, default=None
        An int gives the same fit again on the same machine.
    verbose : int, default=0
        1 shows a progress bar for each stage.

    Attributes
    ----------
    module_ : ModulatedNetwork
        The trained network.
    conditioning_ : Conditioning
        What it knows of an image.
    sensors_ : SensorTable
        Every sensor seen in `fit`, with its noise as given or as measured, and the
        others of `meta` as they were given.
    device_ : torch.device
        Where the network is.
    n_iter_ : int
        Iterations of all three stages.
    selection_report_ : DataSelectionReport
        Which source batches were accepted and rejected, and why.

    Notes
    -----
    Not a Pipeline step: `fit` takes pairs, not ``X, y``. In a search pass sources
    by keyword and as a `SourcePool`: ``search.fit(pairs, source_pairs=pool)``.

    References
    ----------
    Qian et al., "Adaptive Domain Learning for Cross-domain Image Denoising",
    NeurIPS 2024.
    """

    _parameter_constraints: dict = {
        "start": [str, os.PathLike, BaseEstimator],
        "gate": [StrOptions(set(GATES)), callable],
        "queue_size": [Interval(numbers.Integral, 1, None, closed="left")],
        "val_fraction": [
            Interval(numbers.Real, 0, 1, closed="neither"),
            tuple,
            list,
        ],
        "diverse_below": [Interval(numbers.Integral, 0, None, closed="left")],
        "source_share": [Interval(numbers.Real, 0, 1, closed="right"), None],
        "renoised_share": [Interval(numbers.Real, 0, 1, closed="both")],
        "n_pretrain_iter": [Interval(numbers.Integral, 0, None, closed="left"), None],
        "n_iter": [Interval(numbers.Integral, 0, None, closed="left"), None],
        "n_finetune_iter": [Interval(numbers.Integral, 0, None, closed="left"), None],
        "batch_size": [Interval(numbers.Integral, 1, None, closed="left")],
        "patch_size": [Interval(numbers.Integral, 8, None, closed="left")],
        "learning_rate": [Interval(numbers.Real, 0, None, closed="neither")],
        "finetune_rate": [Interval(numbers.Real, 0, None, closed="neither")],
        "weight_decay": [Interval(numbers.Real, 0, None, closed="left")],
        "network": [StrOptions(set(NETWORKS)), None],
        "base_channels": [Interval(numbers.Integral, 1, None, closed="left"), None],
        "n_levels": [Interval(numbers.Integral, 1, 8, closed="both"), None],
        "mlp_width": [Interval(numbers.Integral, 1, None, closed="left"), None],
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
        # The method
        start: str | os.PathLike | BaseEstimator = "universal",
        gate: str | Callable[[int], Gate] = "evidence",
        queue_size: int = 40,
        val_fraction: float | tuple[float, float] = (0.2, 0.5),
        diverse_below: int = FEW_PAIRS,
        source_share: float | None = None,
        renoised_share: float = 0.8,
        # Its schedule
        n_pretrain_iter: int | None = None,
        n_iter: int | None = None,
        n_finetune_iter: int | None = None,
        batch_size: int = 8,
        patch_size: int = 64,
        learning_rate: float = 2e-3,
        finetune_rate: float = 0.3,
        weight_decay: float = 0.01,
        # The network
        network: str | None = None,
        base_channels: int | None = None,
        n_levels: int | None = None,
        mlp_width: int | None = None,
        # The task
        loss_weighting: str = "noise",
        conditioning: str = "noise",
        shot_noise_augmentation: float = 0.0,
        safeguard: bool = True,
        on_bad_pair: str = "warn",
        # The machine
        precision: str = "auto",
        device: str | torch.device = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.start = start
        self.gate = gate
        self.queue_size = queue_size
        self.val_fraction = val_fraction
        self.diverse_below = diverse_below
        self.source_share = source_share
        self.renoised_share = renoised_share
        self.n_pretrain_iter = n_pretrain_iter
        self.n_iter = n_iter
        self.n_finetune_iter = n_finetune_iter
        self.batch_size = batch_size
        self.patch_size = patch_size
        self.learning_rate = learning_rate
        self.finetune_rate = finetune_rate
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

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        target_pairs: Sequence[RawPair],
        source_pairs: SourcePool
        | Mapping[str, Sequence[RawPair]]
        | Sequence[RawPair]
        | None = None,
        meta: SensorTable | None = None,
        *,
        checkpoint: str | os.PathLike | None = None,
        checkpoint_every: float = DEFAULT_EVERY,
    ) -> ADLDenoiser:
        """Fit a denoiser for the target's sensor.

        Parameters
        ----------
        target_pairs : sequence of RawPair
            T^adp: at least two pairs of the new sensor; about twenty is usual, of
            several scenes: pairs of one scene are held out of training together.
        source_pairs : SourcePool, mapping of domain to pairs, or sequence, optional
            Pairs of other sensors. None trains on the target and on scenes of skadl's
            own.
        meta : SensorTable, optional
            Facts of the sensors, above all their noise where it is known; None
            derives everything from the pairs. With ``conditioning="noise"`` sensors
            without pairs can be predicted by the name that they have here.
        checkpoint : str or Path, optional
            File that the training is kept in while it runs. If it is there already the
            fit goes on from it, and ends bit for bit as one that was never stopped.
            It stays when the fit is finished: delete it once the model is saved. Not
            for a search, whose fits would share it.
        checkpoint_every : float, default=120
            Least time between two writings of it, in seconds; more where writing takes
            longer than a hundredth of that. 0 writes before each iteration.

        Returns
        -------
        self : ADLDenoiser

        Raises
        ------
        TypeError, ValueError
            If the pairs, the pool, `meta` or a parameter cannot be used; for bad
            target pairs with ``on_bad_pair="raise"``, or if "drop" leaves fewer than
            two.
        FloatingPointError
            If training diverged.
        """
        val_fraction = check_val_fraction(self.val_fraction)
        start = find_start(self.start)
        gate = make_gate(self.gate, int(self.queue_size))
        kept = None
        if checkpoint is not None:
            gate.memory()  # raises now what would else be raised in the first writing
            kept = Checkpoint(checkpoint, checkpoint_every, self)
        begun = begin_fit(
            self.get_params(deep=False), start, target_pairs, source_pairs, meta, kept
        )
        chosen = begun.parameters
        n_pretrain_iter = chosen["n_pretrain_iter"]
        if not begun.data.sources:
            if self.n_pretrain_iter is None:  # all that would be before fine-tuning
                n_pretrain_iter += start.defaults["n_iter"]
            if self.n_iter:
                message = NO_SOURCES.format(self.n_iter, n_pretrain_iter)
                warnings.warn(message, UserWarning, stacklevel=4)
        schedule = begun.schedule(
            n_pretrain_iter=n_pretrain_iter,
            n_iter=chosen["n_iter"],
            n_finetune_iter=chosen["n_finetune_iter"],
            finetune_rate=self.finetune_rate,
            source_share=chosen["source_share"],
            domain_rates={RENOISED: self.renoised_share},
            pretrain_falls=begun.is_trained and not begun.data.sources,
            renoised_share=self.renoised_share,
            val_fraction=val_fraction,
            diverse_below=self.diverse_below,
            least_admitted=0.0 if begun.is_trained else 0.5,
        )
        report = train(
            begun.learner(),
            begun.data.target,
            begun.data.sources,
            gate,
            schedule,
            begun.rng,
            Progress(self.verbose),
            begun.is_trained,
            begun.snapshots,
        )
        begun.finish(self, report)
        return self

    def _validate_params(self) -> None:
        super()._validate_params()
        check_val_fraction(self.val_fraction)
