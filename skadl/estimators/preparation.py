"""From checked pairs to what the stages train on: noise known, frames on the device."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch

from skadl.adaptation.held_out import set_aside
from skadl.adaptation.patches import TrainingPair, cut_fixed
from skadl.adaptation.stages import TargetData
from skadl.data.store.disk_space import TemporaryFrames
from skadl.data.store.patch_store import scratch_for
from skadl.estimators.clean_scenes import noise_of_clean, without_clean_noise
from skadl.estimators.measuring import (
    MeasuredPairs,
    know_noise,
    measure_pairs,
    without_faulty,
)
from skadl.estimators.own_scenes import ONLY_SCENES, OTHER_SCENES, OWN, draw_scenes
from skadl.estimators.start import Witness
from skadl.estimators.training_pairs import to_training_pair
from skadl.network.conditioning import Conditioning
from skadl.noise.frame_offsets import treat_pair
from skadl.noise.noise_level import NoiseLevel
from skadl.noise.renoising import RENOISED, renoise_target, renoised_domain
from skadl.noise.sensors import SensorTable
from skadl.prediction.together import MOST_PIXELS
from skadl.raw.pair import RawPair, target_labels
from skadl.screening.across_pairs import (
    find_duplicates,
    judge_saturation,
    saturation_levels,
)
from skadl.screening.pattern import describe_patterns
from skadl.screening.screen import (
    FaultKind,
    ResidualAnalysis,
    Screening,
)
from skadl.screening.witness import judge_pair, middle_of_pair
from skadl.support.progress import Progress

ONE_SCENE = (
    "all target pairs show one scene: a part of its frame was held out of training to "
    "judge it, in place of pairs. Pairs of more scenes say more of what comes next."
)


@dataclass(frozen=True)
class Additions:
    """What a fit shows beside the pairs that it was given."""

    # Scenes of the sources under the target's noise; without any the target's own.
    renoises: bool
    n_own_scenes: float = np.inf  # of skadl's own, at most, after a trained start
    most_ratio: float | None = None  # light factor up to which half of these go


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that training needs of the data."""

    target: TargetData
    sources: Mapping[str, tuple[TrainingPair, ...]]  # by domain
    sensors: SensorTable  # with noise, given or measured
    patch_side: int  # in packed pixels, fit for every pair and for the network
    notes: tuple[str, ...]  # which target pairs are faulty, and how


def prepare(
    pairs: Sequence[RawPair],
    domains: Mapping[str, Sequence[RawPair]],
    sensors: SensorTable,
    *,
    conditioning: Conditioning,
    patch_size: int,
    multiple: int,
    additions: Additions,
    witness: Witness | None = None,
    device: torch.device,
    rng: np.random.RandomState,
    progress: Progress | None = None,
) -> Prepared:
    """Measure noise, choose the patch size and bring all pairs onto the device.

    Pairs of a store stay on disk, and so do their re-noised ones. The network's sides
    must be multiples of `multiple`. Faulty target pairs are warned of and trained on
    all the same, but noise is measured, and frames are re-noised, without them where
    good ones remain. With a `witness` each source pair is judged by what that makes of
    its noisy frame, without it by comparison with the others. Where there is one,
    scenes of skadl's own are shown too. ValueError if a pair cannot be used: frames of
    different shapes, NaN, too small.
    """
    progress = Progress(0) if progress is None else progress
    given = sensors
    of_target, of_sources, sensors = measure_pairs(pairs, domains, given, progress)
    faults = (
        *_describe_faulty(pairs, of_target.screenings),
        *_describe_together(pairs, of_target.residuals),
    )
    for note in faults:
        warnings.warn(note, UserWarning, stacklevel=3)
    patterns = describe_patterns(given, sensors)
    notes = (*faults, *(f"{found.what}. {found.next_step}" for found in patterns))
    sensors = know_noise(sensors, of_target, of_sources, pairs)
    noise = {name: domain.noise(sensors) for name, domain in of_sources.items()}
    if witness is not None:
        of_sources = _judged(of_sources, noise, witness, progress)
    clean_noise = {
        pair: noise_of_clean(level, curve.clean_share)
        for name, domain in of_sources.items()
        for pair, level, curve in zip(
            domain.pairs, noise[name], domain.curves, strict=True
        )
    }

    def cleaned(pair: RawPair, rng: np.random.Generator) -> RawPair:
        level = clean_noise[pair]
        if level is None or witness is None:
            return pair
        return without_clean_noise(pair, level, witness, rng)

    training = _TrainingPairs(conditioning, sensors, device)
    # The target's noise is pooled over its pairs, as `predict` will know it; each
    # source pair speaks for itself, because its label may be wrong.
    target = training.of_target(pairs, of_target)
    sources = {
        name: training.of_source(domain, noise[name])
        for name, domain in of_sources.items()
    }
    models = without_faulty(pairs, of_target.screenings, 1)
    most_ratio = additions.most_ratio
    if additions.renoises and domains:
        scenes = {
            name: without_faulty(domain.pairs, domain.screenings, 0)
            for name, domain in of_sources.items()
        }
        scenes = {name: d for name, d in scenes.items() if d} or {
            name: domain.pairs for name, domain in of_sources.items()
        }
        # Made here, and as many as the sources: they go where the sources are.
        scratch = scratch_for(
            pair for domain in of_sources.values() for pair in domain.pairs
        )
        made = renoised_domain(
            models, scenes, sensors, rng, most_ratio, cleaned=cleaned
        )
        sources[RENOISED] = training.of_renoised(made, scratch)
    if additions.renoises and witness is not None and additions.n_own_scenes > 0:
        most_scenes = OTHER_SCENES if domains else ONLY_SCENES
        n_scenes = int(min(additions.n_own_scenes, most_scenes))
        drawn = {OWN: draw_scenes(n_scenes, pairs[0].noisy.cfa, patch_size, rng)}
        made = renoised_domain(models, drawn, sensors, rng, most_ratio)
        others = training.of_renoised(made, None)
        sources[RENOISED] = (*sources.get(RENOISED, ()), *others)
    gains = np.array([sensors.get(p.sensor).noise_at(p.iso)[0] for p in pairs])
    of_scene, aside = _number_scenes(pairs), ()
    # Random weights are not judged by what they began with.
    if witness is not None and not of_scene.any():
        target, aside = set_aside(target, gains, patch_size, rng)
        notes = (*notes, ONE_SCENE) if aside else notes
    again: tuple[TrainingPair, ...] = ()
    # Their scenes are the only ones there are. A trained start holds some of them out.
    if additions.renoises and not domains and witness is None:
        made = renoise_target(models, sensors, rng)
        again = training.of_renoised(made, scratch_for(pairs))
    every_pair = [*target, *(pair for domain in sources.values() for pair in domain)]
    patch_side = _patch_side(patch_size, multiple, every_pair)
    return Prepared(
        TargetData(
            target,
            cut_fixed(target, patch_side, rng),
            gains,
            renoised=again,
            scenes=of_scene,
            aside=aside,
        ),
        sources,
        sensors,
        patch_side,
        notes,
    )


@dataclass(frozen=True, eq=False)
class _TrainingPairs:
    """Makes pairs that a network of this conditioning is shown, on a device."""

    conditioning: Conditioning
    sensors: SensorTable  # with noise
    device: torch.device

    def of_target(
        self, pairs: Sequence[RawPair], measured: MeasuredPairs
    ) -> tuple[TrainingPair, ...]:
        """Show pairs as files hold them as `predict` will show frames."""
        scratch = scratch_for(pairs)

        def show(
            pair: RawPair, offset: np.ndarray | float, screening: Screening
        ) -> TrainingPair:
            shown, noise = treat_pair(pair, self.sensors.get(pair.sensor))
            where = None if shown is pair else scratch
            return self._make(shown, noise, offset, screening, where)

        return tuple(map(show, pairs, measured.offsets, measured.screenings))

    def of_source(
        self, measured: MeasuredPairs, noise: Sequence[NoiseLevel]
    ) -> tuple[TrainingPair, ...]:
        """Show pairs of a domain as they are."""
        return tuple(
            map(
                self._make,
                measured.pairs,
                noise,
                measured.offsets,
                measured.screenings,
            )
        )

    def of_renoised(
        self, pairs: Iterable[RawPair], scratch: TemporaryFrames | None
    ) -> tuple[TrainingPair, ...]:
        """Show made pairs, which hold nothing fixed in the frame.

        Row noise and clipped blacks are as the target's.
        """

        def show(pair: RawPair) -> TrainingPair:
            info = replace(self.sensors.get(pair.sensor), fixed_pattern=None)
            shown, noise = treat_pair(pair, info)
            return self._make(shown, noise, 0.0, Screening(), scratch)

        return tuple(map(show, pairs))

    def _make(
        self,
        pair: RawPair,
        noise: NoiseLevel,
        offset: np.ndarray | float,
        screening: Screening,
        scratch: TemporaryFrames | None = None,
    ) -> TrainingPair:
        vector = self.conditioning.vector(pair.sensor, pair.iso, pair.ratio, noise)
        return to_training_pair(
            pair, vector, noise, offset, screening, self.device, scratch
        )


def _number_scenes(pairs: Sequence[RawPair]) -> np.ndarray:
    """Give the scenes of pairs numbers (n,) from 0; a pair without one has its own."""
    keys = [(i if p.scene is None else None, p.scene) for i, p in enumerate(pairs)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys])


def _judged(
    sources: Mapping[str, MeasuredPairs],
    noise: Mapping[str, Sequence[NoiseLevel]],
    witness: Witness,
    progress: Progress,
) -> dict[str, MeasuredPairs]:
    """Let a witness judge the pairs of all sources."""
    known = (
        member
        for name, domain in sources.items()
        for member in zip(domain.pairs, domain.residuals, noise[name], strict=True)
    )
    n_pairs = sum(len(domain.pairs) for domain in sources.values())
    judged = progress.track("judging", _judge(known, witness), n_pairs, unit="pair")
    return {
        name: replace(domain, screenings=list(islice(judged, len(domain.pairs))))
        for name, domain in sources.items()
    }


def _judge(
    known: Iterable[tuple[RawPair, ResidualAnalysis, NoiseLevel]], witness: Witness
) -> Iterator[Screening]:
    """Let a witness judge pairs, as many at a time as a batch of it holds."""
    for batch in _batches(
        (middle_of_pair(pair), residual, noise) for pair, residual, noise in known
    ):
        pairs, residuals, noise = zip(*batch, strict=True)
        denoised = witness([pair.noisy for pair in pairs], noise)
        for pair, residual, level, planes in zip(
            pairs, residuals, noise, denoised, strict=True
        ):
            yield judge_pair(pair, planes, level, residual.screening)


def _batches(
    known: Iterable[tuple[RawPair, ResidualAnalysis, NoiseLevel]],
) -> Iterator[list[tuple[RawPair, ResidualAnalysis, NoiseLevel]]]:
    batch, n_pixels = [], 0
    for member in known:
        batch.append(member)
        n_pixels += member[0].noisy.mosaic.size // len(member[0].noisy.black_planes)
        if n_pixels >= MOST_PIXELS:
            yield batch
            batch, n_pixels = [], 0
    if batch:
        yield batch


def _describe_faulty(
    pairs: Sequence[RawPair], screenings: Sequence[Screening]
) -> tuple[str, ...]:
    """Say which target pairs are faulty, why, and what to do: a sentence a reason."""
    faulty: dict[FaultKind, list[str]] = {}
    for label, screening in zip(target_labels(pairs), screenings, strict=True):
        if screening.fault is not None:
            faulty.setdefault(screening.fault, []).append(label)
    return tuple(
        f"{', '.join(found)}: {fault.reason}. {fault.remedy} Trained on all the same."
        for fault, found in faulty.items()
    )


def _describe_together(
    pairs: Sequence[RawPair], residuals: Sequence[ResidualAnalysis]
) -> tuple[str, ...]:
    """Say which target pairs are copies of others, and which sensors saturate early."""
    labels = target_labels(pairs)
    duplicates = find_duplicates(dict(enumerate(residuals)), labels)
    repeated = [
        f"{labels[index]}: {finding.what}. {finding.next_step} Trained on all the same."
        for index, findings in duplicates.items()
        for finding in findings
        if finding.verdict == "bad" and not residuals[index].is_copy
    ]
    white = judge_saturation(pairs, saturation_levels(pairs, residuals))
    return (*repeated, *(f"{finding.what}. {finding.next_step}" for finding in white))


def _patch_side(requested: int, multiple: int, pairs: Sequence[TrainingPair]) -> int:
    smallest = min(min(pair.sides) for pair in pairs)
    # One pixel is spent on mirroring; see `cut_patches`.
    side = min(requested, smallest - 1) // multiple * multiple
    if side < multiple:
        raise ValueError(
            f"the smallest pair has a side of {2 * smallest} pixels; this network "
            f"needs at least {2 * (multiple + 1)}. Use larger frames or fewer n_levels."
        )
    return side
