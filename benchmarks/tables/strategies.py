"""Ways to train for a new sensor: changes of what goes into `ADLDenoiser`, and others.

Other denoisers are in `benchmarks.tables.methods`. All of these take the same number of
steps, ``n_pretrain_iter + n_iter + n_finetune_iter``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from skadl.data.pool import SourcePool
from skadl.datasets import get_camera
from skadl.estimators.adl import ADLDenoiser
from skadl.estimators.base import RawDenoiser
from skadl.noise.calibration import calibrate_sensor
from skadl.noise.fixed_pattern import FixedPattern, PatternAtIso
from skadl.noise.sensors import SensorInfo, SensorTable
from skadl.raw.image import RawImage
from skadl.raw.pair import RawPair


@dataclass(frozen=True, eq=False)
class Training:
    """What goes into a fit and into its measurement."""

    parameters: Mapping[str, Any]  # of `ADLDenoiser`
    target: Sequence[RawPair]
    sources: Mapping[str, Sequence[RawPair]]
    test: Sequence[RawPair]
    meta: SensorTable | None = None
    kind: Callable[..., RawDenoiser] = ADLDenoiser  # takes the parameters
    most_test_images: int | None = None  # for what trains on each image
    # Of the target's sensor and of sources, by sensor.
    darks: Mapping[str, Sequence[RawImage]] = field(default_factory=dict)

    def changed(self, **parameters: Any) -> Training:
        """Return the training with some parameters of the estimator replaced."""
        return replace(self, parameters={**self.parameters, **parameters})

    @property
    def n_steps_before_finetuning(self) -> int:
        """Steps of the first two stages."""
        return self.parameters["n_pretrain_iter"] + self.parameters["n_iter"]


Strategy = Callable[[Training], Training]


def adl(training: Training) -> Training:
    """Adaptive domain learning with skadl's defaults."""
    return training


def target_only(training: Training) -> Training:
    """Train on the target's pairs alone, as they are."""
    steps = training.n_steps_before_finetuning
    alone = replace(training, sources={})
    return alone.changed(n_pretrain_iter=steps, n_iter=0, renoised_share=0.0)


def source_only(training: Training) -> Training:
    """Train on all sources alone; the target's pairs only tell its noise."""
    steps = training.n_steps_before_finetuning + training.parameters["n_finetune_iter"]
    return _plain(training).changed(
        source_share=1.0, n_pretrain_iter=0, n_iter=steps, n_finetune_iter=0
    )


def fine_tune(training: Training) -> Training:
    """Train on all sources, then on the target's pairs."""
    steps = training.n_steps_before_finetuning
    return _plain(training).changed(source_share=1.0, n_pretrain_iter=0, n_iter=steps)


def plain_target_only(training: Training) -> Training:
    """Train on the target's pairs alone, with none of skadl's own parts."""
    return _without_own_parts(target_only(training))


def plain_fine_tune(training: Training) -> Training:
    """Train on all sources, then on the target's pairs, without skadl's own parts."""
    return _without_own_parts(fine_tune(training))


def joint(training: Training) -> Training:
    """Mix all sources with the target's pairs, half of each batch."""
    return _plain(training).changed(source_share=0.5)


def joint_7_of_8(training: Training) -> Training:
    """Mix all sources with the target's pairs, seven of eight from the sources."""
    return _plain(training).changed(source_share=0.875)


def adl_queue(training: Training) -> Training:
    """ADL with the paper's gate."""
    return training.changed(gate="queue")


def adl_paired(training: Training) -> Training:
    """ADL that accepts a step if the same V' is better after it."""
    return training.changed(gate="paired")


def no_gate(training: Training) -> Training:
    """ADL that accepts everything."""
    return training.changed(gate="none")


def no_renoising(training: Training) -> Training:
    """ADL on the given sources only."""
    return training.changed(renoised_share=0.0)


def oracle_noise(training: Training) -> Training:
    """ADL that is told the target's true noise, row noise and black-level error."""
    camera = get_camera(training.target[0].sensor)
    info = camera.info()
    info = replace(
        info,
        row_noise={iso: camera.row_noise_at(iso) for iso in info.gain},
        black_offset={iso: tuple(camera.colour_bias_at(iso)) for iso in info.gain},
    )
    return replace(training, meta=SensorTable({camera.name: info}))


def sensor_iso(training: Training) -> Training:
    """ADL that tells the network sensor and ISO, as in the paper, and no noise."""
    return training.changed(conditioning="sensor_iso")


def no_iso(training: Training) -> Training:
    """As `sensor_iso`, and every image has nearly the same ISO.

    All noise is measured under the true ISOs first. Then they are drawn together to a
    thousandth of a stop a stop: the network cannot tell them apart any more, but each
    still has its own noise, so that only the metadata changes.
    """
    training = sensor_iso(training)
    isos: dict[str, set[float]] = {}
    for pair in _all_pairs(training):
        isos.setdefault(pair.sensor, set()).add(pair.iso)
    sensors = {
        name: _with_isos_together(info, isos[name])
        for name, info in _calibrated(training).items()
    }

    def relabelled(pair: RawPair) -> RawPair:
        return _relabelled(pair, iso=_together(pair.iso))

    return replace(_each_pair(training, relabelled), meta=SensorTable(sensors))


def no_sensor(training: Training) -> Training:
    """As `sensor_iso`, and every image is said to be from one sensor.

    The noise is measured on the target's pairs first, so that other cameras do not
    mix into it; a source pair's own noise is measured on that pair, as ever.
    """
    training = sensor_iso(training)
    info = _calibrated(training).get(training.target[0].sensor)

    def relabelled(pair: RawPair) -> RawPair:
        return _relabelled(pair, sensor=ANY_SENSOR)

    meta = SensorTable({ANY_SENSOR: info})
    return replace(_each_pair(training, relabelled), meta=meta)


def no_pretraining(training: Training) -> Training:
    """ADL from an untrained network, for as many steps."""
    steps = training.n_steps_before_finetuning
    return training.changed(n_pretrain_iter=0, n_iter=steps)


def no_finetuning(training: Training) -> Training:
    """ADL without the last stage, for as many steps."""
    steps = training.parameters["n_iter"] + training.parameters["n_finetune_iter"]
    return training.changed(n_iter=steps, n_finetune_iter=0)


def fixed_validation(training: Training) -> Training:
    """ADL whose V' does not grow."""
    start = np.min(training.parameters["val_fraction"])
    return training.changed(val_fraction=float(start))


def random_validation(training: Training) -> Training:
    """ADL whose V' is drawn without regard to system gain."""
    return training.changed(diverse_below=0)


def shot_augmented(training: Training) -> Training:
    """Augment the shot noise as PMN does."""
    return training.changed(shot_noise_augmentation=AUGMENTED_SHARE)


def dark_shading(training: Training) -> Training:
    """Take off what dark frames show to be fixed in the frame, as PMN does.

    Off the target's frames, and off those of the sources that have dark frames. Noise
    is measured on what is left. ValueError where the target has none.
    """
    sensor = training.target[0].sensor
    if sensor not in training.darks:
        raise ValueError(
            f"dark shading is measured on dark frames of {sensor!r}, and there are "
            f"none: got some of {sorted(training.darks) or 'no sensor'}. Measure it on "
            "the pool 'rough', or leave the strategy out."
        )
    with warnings.catch_warnings():  # dark frames do not show the gain; pairs do
        warnings.simplefilter("ignore", UserWarning)
        sensors = {
            name: calibrate_sensor(darks=frames)
            for name, frames in training.darks.items()
        }
    return replace(training, meta=SensorTable(sensors))


def pmn(training: Training) -> Training:
    """Do both: dark shading and augmented shot noise."""
    return shot_augmented(dark_shading(training))


def pattern_kept(training: Training) -> Training:
    """Take nothing off: not even the pattern that the target's pairs show."""
    image = training.target[0].noisy
    nothing = PatternAtIso(*(np.zeros(side) for side in image.mosaic.shape))
    info = SensorInfo(
        image.cfa,
        image.black_level,
        image.white_level,
        fixed_pattern=FixedPattern({image.iso: nothing}),
    )
    return replace(training, meta=SensorTable({image.sensor: info}))


def no_safeguard(training: Training) -> Training:
    """ADL whose predictions hold nothing back."""
    return training.changed(safeguard=False)


def no_loss_weighting(training: Training) -> Training:
    """ADL in which every image's error counts as it is."""
    return training.changed(loss_weighting="none")


ANY_SENSOR = "any"
AUGMENTED_SHARE = 0.5  # of the images of a batch
_ISO, _NARROWING = 1000.0, 1e-3


def _together(iso: float) -> float:
    return _ISO * (iso / _ISO) ** _NARROWING


def _with_isos_together(info: SensorInfo, isos: Iterable[float]) -> SensorInfo:
    """Tabulate a sensor's noise and offsets anew, under the ISOs drawn together."""
    noise = {_together(iso): info.noise_at(iso) for iso in isos}
    row_noise = info.row_noise or {}
    return SensorInfo(
        info.cfa,
        info.black_level,
        info.white_level,
        gain={iso: gain for iso, (gain, _) in noise.items()},
        read_noise={iso: variance**0.5 for iso, (_, variance) in noise.items()},
        black_offset={_together(iso): tuple(info.offset_at(iso)) for iso in isos},
        row_noise={_together(iso): value for iso, value in row_noise.items()} or None,
    )


def _calibrated(training: Training) -> SensorTable:
    """Measure every sensor's noise, as a fit does, and train nothing."""
    untrained = training.changed(
        n_pretrain_iter=0, n_iter=0, n_finetune_iter=0, renoised_share=0.0
    )
    estimator = ADLDenoiser(**untrained.parameters, random_state=0)
    sources = SourcePool(training.sources) if training.sources else None
    return estimator.fit(training.target, sources, meta=training.meta).sensors_


def _relabelled(pair: RawPair, **facts: Any) -> RawPair:
    noisy, clean = (replace(image, **facts) for image in (pair.noisy, pair.clean))
    return replace(pair, noisy=noisy, clean=clean)


def _all_pairs(training: Training) -> Iterator[RawPair]:
    yield from (*training.target, *training.test)
    for pairs in training.sources.values():
        yield from pairs


def _each_pair(training: Training, change: Callable[[RawPair], RawPair]) -> Training:
    return replace(
        training,
        target=[change(pair) for pair in training.target],
        sources={
            name: [change(pair) for pair in pairs]
            for name, pairs in training.sources.items()
        },
        test=[change(pair) for pair in training.test],
    )


def _without_own_parts(training: Training) -> Training:
    """Tell the network sensor and ISO, count errors as they are, hold nothing back."""
    return training.changed(
        conditioning="sensor_iso", loss_weighting="none", safeguard=False
    )


def _plain(training: Training) -> Training:
    """Leave out everything that selects or adds data."""
    return training.changed(gate="none", renoised_share=0.0)


STRATEGIES: dict[str, Strategy] = {
    "target-only": target_only,
    "source-only": source_only,
    "fine-tune": fine_tune,
    "plain-target-only": plain_target_only,
    "plain-fine-tune": plain_fine_tune,
    "joint": joint,
    "joint-7of8": joint_7_of_8,
    "adl": adl,
    "adl-queue": adl_queue,
    "adl-paired": adl_paired,
    "no-gate": no_gate,
    "no-renoising": no_renoising,
    "oracle-noise": oracle_noise,
    "sensor-iso": sensor_iso,
    "no-iso": no_iso,
    "no-sensor": no_sensor,
    "no-pretraining": no_pretraining,
    "no-finetuning": no_finetuning,
    "fixed-validation": fixed_validation,
    "random-validation": random_validation,
    "no-loss-weighting": no_loss_weighting,
    "no-safeguard": no_safeguard,
}
TAKES_NO_SOURCES = frozenset({"target-only", "plain-target-only"})
"""Of `STRATEGIES`."""


@dataclass(frozen=True)
class Ablation:
    """A part that a strategy leaves out."""

    label: str  # the part, in words
    base: str = "adl"  # strategy that has it, and is the same otherwise


ABLATIONS: dict[str, Ablation] = {
    "no-gate": Ablation("ADL (selection of batches)"),
    "sensor-iso": Ablation("noise conditioning"),
    "no-iso": Ablation("ISO", "sensor-iso"),
    "no-sensor": Ablation("sensor type", "sensor-iso"),
    "no-pretraining": Ablation("pre-training"),
    "fixed-validation": Ablation("dynamic V'"),
    "random-validation": Ablation("diverse gains in V'"),
    "no-renoising": Ablation("re-noising"),
    "no-loss-weighting": Ablation("loss weighting"),
    "no-finetuning": Ablation("fine-tuning"),
    "no-safeguard": Ablation("safeguard"),
    "start-no-gate": Ablation("ADL (selection of batches)", "ADL-start"),
    "start-fixed-validation": Ablation("dynamic V'", "ADL-start"),
    "start-random-validation": Ablation("diverse gains in V'", "ADL-start"),
    "start-no-renoising": Ablation("re-noising", "ADL-start"),
    "start-no-sources": Ablation("sources", "ADL-start"),
}
"""Strategies of the ablation table; those of the start are in `methods`."""


def make_estimator(training: Training, seed: int) -> RawDenoiser:
    """Build the unfitted estimator of a training."""
    estimator = training.kind(**training.parameters)
    if "random_state" in estimator.get_params(deep=False):
        estimator.set_params(random_state=seed)
    return estimator
