"""From checked pairs to what the stages train on: noise known, patches at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from skadl.adapt import Target
from skadl.calibration import calibrate, expected_noise, measured_noise
from skadl.conditioning import Conditioning, NoiseLevel
from skadl.noise import TransferCurve, transfer_curve
from skadl.patches import StoredPair, cut_fixed, store_pair
from skadl.records import RawPair
from skadl.renoising import RENOISED, renoised_domain
from skadl.sensors import SensorTable


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that training needs of the data.

    Parameters
    ----------
    target : Target
    sources : mapping of domain name to tuple of StoredPair
    sensors : SensorTable
        With noise, given or measured.
    conditioning : Conditioning
    patch_side : int
        In packed pixels, fit for every pair and for the network.
    """

    target: Target
    sources: Mapping[str, tuple[StoredPair, ...]]
    sensors: SensorTable
    conditioning: Conditioning
    patch_side: int


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
    """Measure noise, choose the patch size and bring all pairs onto the device.

    Parameters
    ----------
    pairs : sequence of RawPair
        T^adp.
    domains : mapping of domain name to sequence of RawPair
        Source pairs.
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
    """
    members = {None: tuple(pairs), **{name: tuple(d) for name, d in domains.items()}}
    curves = {
        name: [transfer_curve(pair) for pair in domain]
        for name, domain in members.items()
    }
    sensors = calibrate(sensors, _by_sensor(members, curves))
    if renoises and domains:
        domains = dict(domains)
        domains[RENOISED] = renoised_domain(pairs, curves[None], domains, sensors, rng)
        curves[RENOISED] = [transfer_curve(pair) for pair in domains[RENOISED]]
    names = dict.fromkeys(p.sensor for domain in members.values() for p in domain)
    codes = Conditioning(conditioning, tuple(names))
    # The target's noise is pooled over its pairs, as `predict` will know it; each
    # source pair speaks for itself, because its label may be wrong.

    def store(pair: RawPair, noise: NoiseLevel, curve: TransferCurve) -> StoredPair:
        vector = codes.vector(pair.sensor, pair.iso, pair.ratio, noise)
        return store_pair(pair, vector, noise, curve.whiteness, device)

    target = tuple(
        store(
            pair,
            expected_noise(sensors.get(pair.sensor), pair.iso, pair.ratio),
            curve,
        )
        for pair, curve in zip(pairs, curves[None], strict=True)
    )
    sources = {
        name: tuple(
            store(pair, measured_noise(pair, curve, sensors.get(pair.sensor)), curve)
            for pair, curve in zip(domain, curves[name], strict=True)
        )
        for name, domain in domains.items()
    }
    every_pair = [*target, *(pair for domain in sources.values() for pair in domain)]
    patch_side = _patch_side(patch_size, multiple, every_pair)
    gains = [sensors.get(pair.sensor).noise_at(pair.iso)[0] for pair in pairs]
    return Prepared(
        Target(target, cut_fixed(target, patch_side, rng), np.array(gains)),
        sources,
        sensors,
        codes,
        patch_side,
    )


def _by_sensor(
    members: Mapping[str | None, Sequence[RawPair]],
    curves: Mapping[str | None, Sequence[TransferCurve]],
) -> dict[str, list[TransferCurve]]:
    grouped: dict[str, list[TransferCurve]] = {}
    for name, domain in members.items():
        for pair, curve in zip(domain, curves[name], strict=True):
            grouped.setdefault(pair.sensor, []).append(curve)
    return grouped


def _patch_side(wanted: int, multiple: int, pairs: Sequence[StoredPair]) -> int:
    smallest = min(min(pair.sides) for pair in pairs)
    # One pixel is spent on mirroring; see `cut_patches`.
    side = min(wanted, smallest - 1) // multiple * multiple
    if side < multiple:
        raise ValueError(
            f"the smallest pair has a side of {2 * smallest} pixels; this network "
            f"needs at least {2 * (multiple + 1)}. Use larger frames or fewer n_levels."
        )
    return side
