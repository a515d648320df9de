"""From checked pairs to what the stages train on: noise known, frames on the device."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TypeVar

import numpy as np
import torch

from skadl.adaptation.held_out import set_aside
from skadl.adaptation.patches import TrainingPair, cut_fixed
from skadl.adaptation.stages import TargetData
from skadl.data.store.disk_space import TemporaryFrames
from skadl.data.store.patch_store import scratch_for
from skadl.estimators.clean_scenes import noise_of_clean, without_clean_noise
from skadl.estimators.own_scenes import ONLY_SCENES, OTHER_SCENES, OWN, draw_scenes
from skadl.estimators.start import Witness
from skadl.estimators.training_pairs import to_training_pair
from skadl.network.conditioning import Conditioning
from skadl.noise.calibration import calibrate
from skadl.noise.frame_offsets import treat_pair, without_pattern
from skadl.noise.noise_level import NoiseLevel, measured_noise
from skadl.noise.pair_pattern import LEAST_PAIRS, with_pair_pattern
from skadl.noise.renoising import RENOISED, renoise_target, renoised_domain
from skadl.noise.residual import TransferCurve
from skadl.noise.sensors import SensorInfo, SensorTable
from skadl.prediction.together import MOST_PIXELS
from skadl.raw.pair import RawPair, target_labels
from skadl.screening.across_pairs import (
    find_duplicates,
    judge_saturation,
    saturation_levels,
)
from skadl.screening.screen import (
    FaultKind,
    ResidualAnalysis,
    Screening,
    analyse_residuals,
    screen,
)
from skadl.screening.witness import judge_pair, middle_of_pair
from skadl.support.progress import Progress

_T = TypeVar("_T")
MOST_CURVES = 24  # of a sensor that its noise is measured on
ONE_SCENE = (
    "all target pairs show one scene: a part of its frame was held out of training to "
    "judge it, in place of pairs. Pairs of more scenes say more of what comes next."
)
_LEAST_GOOD = 2  # pairs that a measurement needs before it leaves faulty ones out


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
    renoises: bool,
    n_own_scenes: float = np.inf,
    most_ratio: float | None = None,
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
    its noisy frame, without it by comparison with the others. Where there is one, at
    most `n_own_scenes` of skadl's own are shown too. ValueError if a pair cannot be
    used: frames of different shapes, NaN, too small.
    """
    domains = {
        name: tuple(without_pattern(pair, sensors.get(pair.sensor)) for pair in d)
        for name, d in domains.items()
    }
    plain = tuple(without_pattern(pair, sensors.get(pair.sensor)) for pair in pairs)
    members = {None: plain, **domains}
    progress = Progress(0) if progress is None else progress
    n_members = sum(map(len, members.values()))
    looks = analyse_residuals(
        list(chain.from_iterable(members.values())), torch.get_num_threads()
    )
    looks = progress.track("measuring", looks, n_members, unit="pair")
    looks = iter(list(looks))
    residuals = {name: list(islice(looks, len(d))) for name, d in members.items()}
    screenings = {name: screen(d, residuals[name]) for name, d in members.items()}
    curves = {name: [r.curve for r in domain] for name, domain in residuals.items()}
    notes = (
        *_describe_faulty(pairs, screenings[None]),
        *_describe_together(pairs, residuals[None]),
    )
    for note in notes:
        warnings.warn(note, UserWarning, stacklevel=3)
    sensors = calibrate(sensors, _by_sensor(members, curves, screenings))
    sensors = _with_target_pattern(
        sensors, _without_faulty(pairs, screenings[None], LEAST_PAIRS)
    )

    def store(
        pair: RawPair,
        noise: NoiseLevel,
        offset: np.ndarray | float,
        screening: Screening,
        scratch: TemporaryFrames | None = None,
    ) -> TrainingPair:
        vector = conditioning.vector(pair.sensor, pair.iso, pair.ratio, noise)
        return to_training_pair(pair, vector, noise, offset, screening, device, scratch)

    def treated(
        pair: RawPair,
        info: SensorInfo,
        offset: np.ndarray | float,
        screening: Screening,
        scratch: TemporaryFrames | None,
    ) -> TrainingPair:
        shown, noise = treat_pair(pair, info)
        scratch = None if shown is pair else scratch
        return store(shown, noise, offset, screening, scratch)

    def offset(curve: TransferCurve, screening: Screening) -> np.ndarray | float:
        # The mean residual of a wrong pair is no error of the black level.
        return 0.0 if screening.is_faulty else curve.offset

    measured = {
        name: [
            measured_noise(pair, curve, sensors.get(pair.sensor))
            for pair, curve in zip(domain, curves[name], strict=True)
        ]
        for name, domain in domains.items()
    }
    if witness is not None:
        known = (
            member
            for name, domain in domains.items()
            for member in zip(domain, residuals[name], measured[name], strict=True)
        )
        judged = progress.track(
            "judging", _judge(known, witness), n_members - len(pairs), unit="pair"
        )
        for name, domain in domains.items():
            screenings[name] = list(islice(judged, len(domain)))

    def renoised(pair: RawPair, scratch: TemporaryFrames | None) -> TrainingPair:
        # Row noise and clipped blacks as the target's, but nothing fixed in the frame.
        info = replace(sensors.get(pair.sensor), fixed_pattern=None)
        shown, noise = treat_pair(pair, info)
        return store(shown, noise, 0.0, Screening(), scratch)

    clean_noise = {
        pair: noise_of_clean(noise, curve.clean_share)
        for name, domain in domains.items()
        for pair, noise, curve in zip(domain, measured[name], curves[name], strict=True)
    }

    def cleaned(pair: RawPair, rng: np.random.Generator) -> RawPair:
        noise = clean_noise[pair]
        if noise is None or witness is None:
            return pair
        return without_clean_noise(pair, noise, witness, rng)

    # The target's noise is pooled over its pairs, as `predict` will know it; each
    # source pair speaks for itself, because its label may be wrong.
    scratch = scratch_for(pairs)
    target = tuple(
        treated(
            pair,
            sensors.get(pair.sensor),
            offset(curve, screening),
            screening,
            scratch,
        )
        for pair, curve, screening in zip(
            pairs, curves[None], screenings[None], strict=True
        )
    )
    sources = {
        name: tuple(
            store(pair, noise, offset(curve, screening), screening)
            for pair, noise, curve, screening in zip(
                domain, measured[name], curves[name], screenings[name], strict=True
            )
        )
        for name, domain in domains.items()
    }
    models = _without_faulty(pairs, screenings[None], 1)
    if renoises and domains:
        scenes = {
            name: _without_faulty(d, screenings[name], 0) for name, d in domains.items()
        }
        scenes = {name: d for name, d in scenes.items() if d} or domains
        # Made here, and as many as the sources: they go where the sources are.
        scratch = scratch_for(pair for domain in domains.values() for pair in domain)
        made = renoised_domain(
            models, scenes, sensors, rng, most_ratio, cleaned=cleaned
        )
        sources[RENOISED] = tuple(renoised(pair, scratch) for pair in made)
    if renoises and witness is not None and n_own_scenes > 0:
        n_scenes = int(min(n_own_scenes, OTHER_SCENES if domains else ONLY_SCENES))
        drawn = {OWN: draw_scenes(n_scenes, pairs[0].noisy.cfa, patch_size, rng)}
        made = renoised_domain(models, drawn, sensors, rng, most_ratio)
        others = tuple(renoised(pair, None) for pair in made)
        sources[RENOISED] = (*sources.get(RENOISED, ()), *others)
    gains = np.array([sensors.get(p.sensor).noise_at(p.iso)[0] for p in pairs])
    of_scene, aside = _number_scenes(pairs), ()
    # Random weights are not judged by what they began with.
    if witness is not None and not of_scene.any():
        target, aside = set_aside(target, gains, patch_size, rng)
        notes = (*notes, ONE_SCENE) if aside else notes
    again: tuple[TrainingPair, ...] = ()
    # Their scenes are the only ones there are. A trained start holds some of them out.
    if renoises and not domains and witness is None:
        made = renoise_target(models, sensors, rng)
        scratch = scratch_for(pairs)
        again = tuple(renoised(pair, scratch) for pair in made)
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


def _number_scenes(pairs: Sequence[RawPair]) -> np.ndarray:
    """Give the scenes of pairs numbers (n,) from 0; a pair without one has its own."""
    keys = [(i if p.scene is None else None, p.scene) for i, p in enumerate(pairs)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys])


def _with_target_pattern(sensors: SensorTable, pairs: Sequence[RawPair]) -> SensorTable:
    by_sensor: dict[str, list[RawPair]] = {}
    for pair in pairs:
        by_sensor.setdefault(pair.sensor, []).append(pair)
    return sensors.updated(
        {
            name: with_pair_pattern(sensors.get(name), members)
            for name, members in by_sensor.items()
        }
    )


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


def _without_faulty(
    items: Sequence[_T], screenings: Sequence[Screening], least: int
) -> list[_T]:
    """Leave out what belongs to faulty pairs, if `least` or more would be left."""
    good = [x for x, s in zip(items, screenings, strict=True) if not s.is_faulty]
    return good if len(good) >= least else list(items)


def _by_sensor(
    members: Mapping[str | None, Sequence[RawPair]],
    curves: Mapping[str | None, Sequence[TransferCurve]],
    screenings: Mapping[str | None, Sequence[Screening]],
) -> dict[str, list[TransferCurve]]:
    """Group the curves by sensor, without those of faulty pairs where others remain.

    At most `MOST_CURVES`, spread over the ISOs: more say hardly more, and the time of
    a fit grows with their cube.
    """
    found: dict[str, tuple[list[TransferCurve], list[Screening]]] = {}
    for name, domain in members.items():
        for pair, curve, screening in zip(
            domain, curves[name], screenings[name], strict=True
        ):
            of_sensor = found.setdefault(pair.sensor, ([], []))
            of_sensor[0].append(curve)
            of_sensor[1].append(screening)
    return {
        sensor: _spread_over_iso(_without_faulty(*of_sensor, _LEAST_GOOD))
        for sensor, of_sensor in found.items()
    }


def _spread_over_iso(curves: Sequence[TransferCurve]) -> list[TransferCurve]:
    ordered = sorted(curves, key=lambda curve: curve.iso)
    size = min(MOST_CURVES, len(ordered))
    return [ordered[i] for i in np.linspace(0, len(ordered) - 1, size).astype(int)]


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
