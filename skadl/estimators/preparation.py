"""From checked pairs to what the stages train on: noise known, patches at hand."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from skadl.adaptation.patches import TrainingPair, cut_fixed
from skadl.adaptation.stages import TargetData
from skadl.data.store.disk_space import TemporaryFrames
from skadl.data.store.patch_store import scratch_for
from skadl.estimators.training_pairs import to_training_pair
from skadl.network.conditioning import Conditioning
from skadl.noise.calibration import calibrate
from skadl.noise.noise_level import NoiseLevel, expected_noise, measured_noise
from skadl.noise.renoising import RENOISED, renoised_domain
from skadl.noise.residual import TransferCurve
from skadl.noise.sensors import SensorTable
from skadl.raw.pair import RawPair
from skadl.screening.screen import Fault, Screening, analyse_residual, screen

_T = TypeVar("_T")
MOST_CURVES = 24  # of a sensor that its noise is measured on
_LEAST_GOOD = 2  # pairs, before those that are odd can be left out of a measurement


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that training needs of the data.

    Parameters
    ----------
    target : TargetData
    sources : mapping of domain name to tuple of TrainingPair
    sensors : SensorTable
        With noise, given or measured.
    conditioning : Conditioning
    patch_side : int
        In packed pixels, fit for every pair and for the network.
    notes : tuple of str
        What is odd about target pairs.
    """

    target: TargetData
    sources: Mapping[str, tuple[TrainingPair, ...]]
    sensors: SensorTable
    conditioning: Conditioning
    patch_side: int
    notes: tuple[str, ...]


def prepare(
    pairs: Sequence[RawPair],
    domains: Mapping[str, Sequence[RawPair]],
    sensors: SensorTable,
    *,
    conditioning: str,
    patch_size: int,
    multiple: int,
    renoises: bool,
    device: torch.device,
    rng: np.random.RandomState,
) -> Prepared:
    """Measure noise, choose the patch size and bring all pairs to hand.

    Parameters
    ----------
    pairs : sequence of RawPair
        T^adp.
    domains : mapping of domain name to sequence of RawPair
        Source pairs; those of a store stay on disk, and so do their re-noised ones.
    sensors : SensorTable
        Covers every sensor of the pairs.
    conditioning : str
        Kind of metadata; see `Conditioning`.
    patch_size : int
        Wanted side of a patch, in packed pixels.
    multiple : int
        That the network needs sides to be multiples of.
    renoises : bool
        Whether to add a domain of the sources' clean frames under the target's noise.
    device : torch.device
    rng : RandomState
        Draws the new noise and places the validation patches.

    Returns
    -------
    Prepared

    Raises
    ------
    ValueError
        If a pair cannot be used: frames of different shapes, NaN, too small.

    Warns
    -----
    UserWarning
        If target pairs are odd. They are trained on all the same, but noise is
        measured, and frames are re-noised, without odd pairs where good ones remain.
    """
    members = {None: tuple(pairs), **{name: tuple(d) for name, d in domains.items()}}
    seen = {name: [analyse_residual(pair) for pair in d] for name, d in members.items()}
    screenings = {name: screen(d, seen[name]) for name, d in members.items()}
    curves = {name: [e.curve for e in own] for name, own in seen.items()}
    notes = _describe_odd(pairs, screenings[None])
    for note in notes:
        warnings.warn(note, UserWarning, stacklevel=3)
    sensors = calibrate(sensors, _by_sensor(members, curves, screenings))
    names = dict.fromkeys(p.sensor for domain in members.values() for p in domain)
    codes = Conditioning(conditioning, tuple(names))

    def store(
        pair: RawPair,
        noise: NoiseLevel,
        offset: np.ndarray,
        screening: Screening,
        scratch: TemporaryFrames | None = None,
    ) -> TrainingPair:
        vector = codes.vector(pair.sensor, pair.iso, pair.ratio, noise)
        return to_training_pair(pair, vector, noise, offset, screening, device, scratch)

    def expected(pair: RawPair) -> NoiseLevel:
        return expected_noise(sensors.get(pair.sensor), pair.iso, pair.ratio)

    def measured(pair: RawPair, curve: TransferCurve) -> NoiseLevel:
        return measured_noise(pair, curve, sensors.get(pair.sensor))

    def offset(curve: TransferCurve, screening: Screening) -> np.ndarray:
        # The mean residual of a wrong pair is no error of the black level.
        return np.zeros(4) if screening.is_faulty else curve.offset

    # The target's noise is pooled over its pairs, as `predict` will know it; each
    # source pair speaks for itself, because its label may be wrong.
    target = tuple(
        store(pair, expected(pair), offset(curve, odd), odd)
        for pair, curve, odd in zip(pairs, curves[None], screenings[None], strict=True)
    )
    sources = {
        name: tuple(
            store(pair, measured(pair, curve), offset(curve, odd), odd)
            for pair, curve, odd in zip(
                domain, curves[name], screenings[name], strict=True
            )
        )
        for name, domain in domains.items()
    }
    if renoises and domains:
        good = _without_odd(pairs, screenings[None], 1)
        scenes = {
            name: _without_odd(d, screenings[name], 0) for name, d in domains.items()
        }
        scenes = {name: d for name, d in scenes.items() if d} or domains
        # Made here, and as many as the sources: they go where the sources are.
        scratch = scratch_for(pair for domain in domains.values() for pair in domain)
        sources[RENOISED] = tuple(
            store(pair, expected(pair), np.zeros(4), Screening(), scratch)
            for pair in renoised_domain(good, scenes, sensors, rng)
        )
    every_pair = [*target, *(pair for domain in sources.values() for pair in domain)]
    patch_side = _patch_side(patch_size, multiple, every_pair)
    gains = [sensors.get(pair.sensor).noise_at(pair.iso)[0] for pair in pairs]
    return Prepared(
        TargetData(target, cut_fixed(target, patch_side, rng), np.array(gains)),
        sources,
        sensors,
        codes,
        patch_side,
        notes,
    )


def _describe_odd(
    pairs: Sequence[RawPair], screenings: Sequence[Screening]
) -> tuple[str, ...]:
    """Say which target pairs are odd, why, and what to do: a sentence a reason."""
    odd: dict[Fault, list[str]] = {}
    for index, (pair, seen) in enumerate(zip(pairs, screenings, strict=True)):
        if seen.fault is not None:
            scene = "" if pair.scene is None else f" (scene {pair.scene!r})"
            odd.setdefault(seen.fault, []).append(f"{index}{scene}")
    return tuple(
        f"target {'pair' if len(found) == 1 else 'pairs'} {', '.join(found)}, counted "
        f"from 0: {fault.reason}. {fault.remedy} Trained on all the same."
        for fault, found in odd.items()
    )


def _without_odd(
    items: Sequence[_T], screenings: Sequence[Screening], least: int
) -> list[_T]:
    """Leave out what belongs to odd pairs, unless fewer than `least` would remain."""
    good = [x for x, seen in zip(items, screenings, strict=True) if not seen.is_faulty]
    return good if len(good) >= least else list(items)


def _by_sensor(
    members: Mapping[str | None, Sequence[RawPair]],
    curves: Mapping[str | None, Sequence[TransferCurve]],
    screenings: Mapping[str | None, Sequence[Screening]],
) -> dict[str, list[TransferCurve]]:
    """Group the curves by sensor, without odd ones where enough others remain.

    At most `MOST_CURVES`, spread over the ISOs: more say hardly more, and the time of
    a fit grows with their cube.
    """
    grouped: dict[str, list[tuple[TransferCurve, Screening]]] = {}
    for name, domain in members.items():
        for pair, *own in zip(domain, curves[name], screenings[name], strict=True):
            grouped.setdefault(pair.sensor, []).append(own)
    good = {
        sensor: _without_odd(*zip(*own, strict=True), _LEAST_GOOD)
        for sensor, own in grouped.items()
    }
    return {sensor: _spread_over_iso(own) for sensor, own in good.items()}


def _spread_over_iso(curves: Sequence[TransferCurve]) -> list[TransferCurve]:
    ordered = sorted(curves, key=lambda curve: curve.iso)
    size = min(MOST_CURVES, len(ordered))
    return [ordered[i] for i in np.linspace(0, len(ordered) - 1, size).astype(int)]


def _patch_side(wanted: int, multiple: int, pairs: Sequence[TrainingPair]) -> int:
    smallest = min(min(pair.sides) for pair in pairs)
    # One pixel is spent on mirroring; see `cut_patches`.
    side = min(wanted, smallest - 1) // multiple * multiple
    if side < multiple:
        raise ValueError(
            f"the smallest pair has a side of {2 * smallest} pixels; this network "
            f"needs at least {2 * (multiple + 1)}. Use larger frames or fewer n_levels."
        )
    return side
