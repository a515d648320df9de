"""Other sensors' clean frames under the new sensor's own noise.

With the noise measured on a handful of target pairs, every clean frame of the
sources becomes a target pair of a scene that the target never saw. In the method of
Jin et al., "Lighting Every Darkness in Two Pairs" (ICCV 2023), and in ELD (Wei et
al., CVPR 2020) such pairs come from a calibration in the laboratory; here they come
from the pairs themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from skadl.levels import cast_counts
from skadl.mosaic import to_rggb_geometry, unpack_bayer
from skadl.records import RawImage, RawPair
from skadl.sensors import SensorInfo, SensorTable

RENOISED = "re-noised"
MOST_PAIRS = 400  # of the re-noised domain: more scenes than a fit can use


def renoised_domain(
    target_pairs: Sequence[RawPair],
    domains: Mapping[str, Sequence[RawPair]],
    sensors: SensorTable,
    rng: np.random.RandomState,
) -> list[RawPair]:
    """Show the sources' clean frames as the target's sensor would have seen them.

    Parameters
    ----------
    target_pairs : sequence of RawPair
        Each re-noised pair takes sensor, ISO, light factor and levels of one of
        these, drawn at random.
    domains : mapping of domain name to sequence of RawPair
        Sources.
    sensors : SensorTable
        With the noise of the target's sensor.
    rng : RandomState

    Returns
    -------
    list of RawPair
        One for each source pair, at most `MOST_PAIRS`.
    """
    pairs = [pair for members in domains.values() for pair in members]
    chosen = rng.permutation(len(pairs))[:MOST_PAIRS]
    noise_rng = np.random.default_rng(rng.randint(np.iinfo(np.int32).max))
    models = rng.randint(len(target_pairs), size=len(chosen))
    return [
        renoise(
            pairs[i],
            target_pairs[j].noisy,
            sensors.get(target_pairs[j].sensor),
            noise_rng,
        )
        for i, j in zip(chosen, models, strict=True)
    ]


def renoise(
    pair: RawPair, model: RawImage, info: SensorInfo, rng: np.random.Generator
) -> RawPair:
    """Photograph the clean frame of a pair again, with another sensor.

    Parameters
    ----------
    pair : RawPair
        Its clean frame, at full exposure, is the scene.
    model : RawImage
        Noisy frame of the other sensor, whose facts the new frames take.
    info : SensorInfo
        Of the other sensor, with noise.
    rng : Generator

    Returns
    -------
    RawPair
        Poisson shot noise and Gaussian read noise (Eq. 3 of the paper); clipped and
        rounded where `model` holds integers. The scene is that of `pair`.
    """
    gain, read_variance = info.noise_at(model.iso)
    is_integer = np.issubdtype(model.mosaic.dtype, np.integer)
    if is_integer:  # rounding adds it again
        read_variance = max(read_variance - 1 / 12, 0.0)
    black = model.black_planes[:, None, None]
    span = model.white_level - black.mean()
    scene = pair.clean.normalised().clip(0, 1).astype(float)
    scene = to_rggb_geometry(to_rggb_geometry(scene, pair.clean.cfa), model.cfa)
    electrons = scene * (span / (model.ratio * gain))
    noisy = rng.poisson(electrons) * gain
    noisy += rng.normal(scale=read_variance**0.5, size=scene.shape) + black
    if is_integer:
        noisy = cast_counts(noisy.clip(0, model.white_level), model.mosaic.dtype)
    clean = (scene * span + black).astype(np.float32)
    image = model.with_mosaic(unpack_bayer(noisy, model.cfa))
    truth = replace(model.with_mosaic(unpack_bayer(clean, model.cfa)), ratio=1.0)
    return RawPair(image, truth, pair.scene)
