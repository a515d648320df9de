"""Other sensors' clean frames under the new sensor's own noise.

With the noise measured on a handful of target pairs, every clean frame of the
sources becomes a target pair of a scene that the target never saw. In the method of
Jin et al., "Lighting Every Darkness in Two Pairs" (ICCV 2023), and in ELD (Wei et
al., CVPR 2020) such pairs come from a calibration in the laboratory; here they come
from the pairs themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from skadl.noise.clipped_black import LEAST_AT_BLACK, share_at_black
from skadl.noise.residual import QUANTISATION_VARIANCE
from skadl.noise.sensors import SensorInfo, SensorTable, in_counts_of
from skadl.raw.image import RawImage, window_of
from skadl.raw.levels import cast_counts
from skadl.raw.lines import share_rows
from skadl.raw.mosaic import (
    colours_of,
    mosaic_of,
    pack_mosaic,
    to_common_geometry,
    unpack_mosaic,
)
from skadl.raw.pair import RawPair, read_pair

# Draws all noise that no signal makes, in counts before they are rounded: of a sensor
# at the ISO of an image, for planes of a shape (4, h, w).
ReadNoise = Callable[
    [RawImage, SensorInfo, tuple[int, ...], np.random.Generator], np.ndarray
]
# Gives a pair whose clean frame is photographed again without the noise in that.
CleanScene = Callable[[RawPair, np.random.Generator], RawPair]

RENOISED = "re-noised"
BALANCE_RANGE = (0.5, 2.0)  # beyond it a difference is of the scenes, not the sensors
DARK = 1e-4  # mean of a plane, over the range from black to white
NEAR = 4.0  # scenes at most so many times darker or brighter than the target's fit
MOST_READ = 1.5  # read noise of an image, over the range, that still shows something
MOST_PAIRS = 400  # of the re-noised domain: more scenes than a fit can use
OWN_FRAMES = 192  # made of the target's own scenes, of all of them together
OWN_SIDE = 256  # packed pixels of one of these, at most


def renoised_domain(
    target_pairs: Sequence[RawPair],
    domains: Mapping[str, Sequence[RawPair]],
    sensors: SensorTable,
    rng: np.random.RandomState,
    most_ratio: float | None = None,
    read_noise: ReadNoise | None = None,
    cleaned: CleanScene | None = None,
) -> Iterator[RawPair]:
    """Show the sources' clean frames as the target's sensor would have seen them.

    Yields one pair for each source pair, at most `MOST_PAIRS`, with sensor and levels
    of a target pair drawn at random and an exposure from the range that these span.
    Red and blue are scaled so that each domain's mean colour is the target's: a raw
    image shows the sensor's colour response as much as its noise. Scenes far brighter
    or darker than all of the target's are dimmed or lit; see `draw_dimming`. Half of
    the light factors are drawn up to `most_ratio`, where it is given: a network that
    knows them all must go on seeing them, or it forgets them. `read_noise` is as for
    `renoise`. `cleaned` takes the noise out of a scene first; without it clean frames
    are taken as they are.
    """
    target_levels = plane_levels(target_pairs)
    colour = mean_colour(target_levels)
    scenes = []
    for members in domains.values():
        levels = plane_levels(members)
        balance = np.clip(colour / mean_colour(levels), *BALANCE_RANGE)
        means = levels.mean(axis=1)
        scenes += [(*scene, balance) for scene in zip(members, means, strict=True)]
    chosen = [scenes[i] for i in rng.permutation(len(scenes))[:MOST_PAIRS]]
    noise_rng = np.random.default_rng(rng.randint(np.iinfo(np.int32).max))
    dimming = draw_dimming(
        np.array([mean for _, mean, _ in chosen]),
        target_levels.mean(axis=1),
        noise_rng.spawn(1)[0],
    )
    scene_rng = noise_rng.spawn(1)[0]
    scenes = (
        (pair if cleaned is None else cleaned(pair, scene_rng), factor * balance)
        for (pair, _, balance), factor in zip(chosen, dimming, strict=True)
    )
    yield from _photograph(
        scenes,
        len(chosen),
        target_pairs,
        sensors,
        rng,
        noise_rng,
        most_ratio,
        read_noise,
    )


def renoise_target(
    target_pairs: Sequence[RawPair],
    sensors: SensorTable,
    rng: np.random.RandomState,
) -> Iterator[RawPair]:
    """Photograph the target's own clean frames again, where there are no sources.

    Yields the new pairs of each target pair in turn, `OWN_FRAMES` of all together, or
    one of each: at the exposures of `renoised_domain`, windows of `OWN_SIDE` where
    frames are larger. Trained on the same noise again and again, a network learns it by
    heart.
    """
    noise_rng = np.random.default_rng(rng.randint(np.iinfo(np.int32).max))
    n_each = max(1, OWN_FRAMES // len(target_pairs))
    windows = (w for pair in target_pairs for w in cut_windows(pair, n_each, noise_rng))
    plain = np.ones(len(target_pairs[0].noisy.black_planes))
    yield from _photograph(
        ((window, plain) for window in windows),
        n_each * len(target_pairs),
        target_pairs,
        sensors,
        rng,
        noise_rng,
        most_ratio=None,
    )


def cut_windows(
    pair: RawPair, n_windows: int, rng: np.random.Generator
) -> Iterator[RawPair]:
    """Cut windows out of a pair at random; of a small one, the whole of it."""
    pair = read_pair(pair)  # a lazy frame reads at every access
    shape = np.array(pair.noisy.packed().shape[1:])
    sides = np.minimum(shape, OWN_SIDE)
    for _ in range(n_windows):
        corner = rng.integers(shape - sides + 1)
        rows, columns = map(slice, corner.tolist(), (corner + sides).tolist())
        frames = (window_of(frame, rows, columns) for frame in (pair.noisy, pair.clean))
        yield RawPair(*frames, pair.scene)


def _photograph(
    scenes: Iterable[tuple[RawPair, np.ndarray]],
    n_scenes: int,
    target_pairs: Sequence[RawPair],
    sensors: SensorTable,
    rng: np.random.RandomState,
    noise_rng: np.random.Generator,
    most_ratio: float | None,
    read_noise: ReadNoise | None = None,
) -> Iterator[RawPair]:
    """Show scenes, each with factors for its planes, as the target would see them."""
    models, at_black = [], []
    for pair in target_pairs:
        # A lazy frame reads at every access.
        frame = pair.noisy.with_mosaic(pair.noisy.mosaic)
        at_black.append(share_at_black(frame))
        # Only metadata and dtype are used below.
        few = slice(mosaic_of(frame.cfa).period)
        models.append(frame.with_mosaic(frame.mosaic[few, few]))
    clips_black = None not in at_black and max(at_black) >= LEAST_AT_BLACK
    drawn = rng.randint(len(models), size=n_scenes)
    exposures = draw_exposures(target_pairs, n_scenes, rng)
    if most_ratio is not None:
        exposures = widen_exposures(exposures, sensors, models, most_ratio, rng)
    for (pair, factors), j, (iso, ratio) in zip(scenes, drawn, exposures, strict=True):
        model = replace(models[j], iso=iso, ratio=ratio)
        info = sensors.get(model.sensor)
        yield renoise(pair, factors, model, info, noise_rng, clips_black, read_noise)


def draw_exposures(
    pairs: Sequence[RawPair], size: int, rng: np.random.RandomState
) -> list[tuple[float, float]]:
    """Draw ISOs and light factors between those of some pairs, each by itself.

    ISO in third stops, light factor log-uniform. A few pairs hold a few points of a
    plane. A network that has seen these alone fails between them, by several dB; the
    noise between them is known as well as at them.
    """
    isos = [pair.iso for pair in pairs]
    n_steps = max(1, round(3 * np.log2(max(isos) / min(isos))))
    steps = rng.randint(n_steps + 1, size=size)
    drawn = np.geomspace(min(isos), max(isos), n_steps + 1)[steps].round()
    drawn = drawn.clip(min(isos), max(isos))  # rounding must not leave the range
    log_ratios = np.log([pair.ratio for pair in pairs])
    ratios = np.exp(rng.uniform(log_ratios.min(), log_ratios.max(), size=size))
    return list(zip(drawn.tolist(), ratios.tolist(), strict=True))


def widen_exposures(
    exposures: Sequence[tuple[float, float]],
    sensors: SensorTable,
    models: Sequence[RawImage],
    most_ratio: float,
    rng: np.random.RandomState,
) -> list[tuple[float, float]]:
    """Draw every other light factor from 1 to `most_ratio`, less where noise is all."""
    span = models[0].span
    info = in_counts_of(sensors.get(models[0].sensor), span)
    widened = []
    for iso, ratio in exposures:
        gain, read_variance = info.noise_at(iso)
        most = min(most_ratio, MOST_READ * span / read_variance**0.5, span / gain)
        if rng.random_sample() < 0.5:
            ratio = float(np.exp(rng.uniform(0, np.log(max(most, 1.0)))))
        widened.append((iso, ratio))
    return widened


def draw_dimming(
    levels: np.ndarray, target_levels: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Choose factors that make scenes, of mean signals (n,), as bright as the target's.

    Of the sky of one night, photographs by day hold nothing: trained on both, a network
    knows the one level of that night's sky, and fails on the next night's.
    """
    levels = levels.clip(DARK)
    low = max(target_levels.min(), DARK) / NEAR
    high = max(target_levels.max(), DARK) * NEAR
    aims = np.exp(rng.uniform(np.log(low), np.log(high), size=levels.shape))
    is_far = (levels < low) | (levels > high)
    # Half of what is far off stays, so that bright light is not forgotten.
    is_moved = is_far & (rng.random(levels.shape) < 0.5)
    return np.where(is_moved, aims / levels, 1.0)


def renoise(
    pair: RawPair,
    balance: np.ndarray,
    model: RawImage,
    info: SensorInfo,
    rng: np.random.Generator,
    clips_black: bool = False,
    read_noise: ReadNoise | None = None,
) -> RawPair:
    """Photograph the clean frame of a pair again, with another sensor.

    `model` is a noisy frame of that sensor, `info` its noise, `balance` (4,) factors
    for the scene's planes. Poisson shot noise, Gaussian read and row noise (Eq. 3 of
    the paper); clipped and rounded where `model` holds integers. `clips_black` tells
    that files of the sensor hold nothing below the black level: dark noise has a mean.
    `read_noise` draws something else than Gaussian read and row noise.
    """
    info = in_counts_of(replace(info, fixed_pattern=None), model.span)
    gain, _ = info.noise_at(model.iso)
    is_integer = np.issubdtype(model.mosaic.dtype, np.integer)
    black = model.black_planes[:, None, None]
    span = model.span
    scene = pair.clean.normalised() * balance[:, None, None]
    scene = scene.clip(0, 1).astype(float)
    scene = to_common_geometry(to_common_geometry(scene, pair.clean.cfa), model.cfa)
    gains = gain * info.plane_gain_at(model.iso)[:, None, None]
    noisy = rng.poisson(scene * (span / (model.ratio * gains))) * gains
    noisy += (read_noise or gaussian_read_noise)(model, info, scene.shape, rng)
    if clips_black:
        noisy = noisy.clip(0)
    noisy += black
    if is_integer:
        noisy = cast_counts(noisy.clip(0, model.white_level), model.mosaic.dtype)
    clean = (scene * span + black).astype(np.float32)
    image = model.with_mosaic(unpack_mosaic(noisy, model.cfa))
    truth = replace(model.with_mosaic(unpack_mosaic(clean, model.cfa)), ratio=1.0)
    return RawPair(image, truth, pair.scene)


def gaussian_read_noise(
    model: RawImage, info: SensorInfo, shape: tuple[int, ...], rng: np.random.Generator
) -> np.ndarray:
    """Draw Gaussian read and row noise; a `ReadNoise`."""
    scale, row_noise = read_scale(model, info), info.row_noise_at(model.iso)
    return rng.normal(scale=scale, size=shape) + draw_row_noise(
        row_noise, shape, rng, model.cfa
    )


def read_scale(model: RawImage, info: SensorInfo) -> float:
    """Return the standard deviation of read noise without row noise and rounding."""
    _, variance = info.noise_at(model.iso)
    is_integer = np.issubdtype(model.mosaic.dtype, np.integer)
    # Row noise and rounding are in the measured read variance, and are added apart.
    variance -= info.row_noise_at(model.iso) ** 2
    variance -= QUANTISATION_VARIANCE if is_integer else 0
    return max(variance, 0) ** 0.5


def draw_row_noise(
    row_noise: float, shape: tuple[int, ...], rng: np.random.Generator, cfa: str
) -> np.ndarray:
    """Draw what the rows of a mosaic share, as planes (4, h, 1), or of `shape`."""
    side = mosaic_of(cfa).side
    rows = rng.normal(scale=row_noise, size=(side, shape[1], 1))
    if share_rows(shape[0]):
        return np.repeat(rows, side, axis=0)  # R and Gr share rows, Gb and B do
    rows = rows[..., 0].T.reshape(-1, 1)  # (side h, 1)
    return pack_mosaic(np.repeat(rows, side * shape[2], axis=1), cfa)


def plane_levels(pairs: Sequence[RawPair]) -> np.ndarray:
    """Mean signal (n_pairs, n_planes) of clean frames, over black to white."""
    return np.array([pair.clean.normalised().mean(axis=(1, 2)) for pair in pairs])


def mean_colour(levels: np.ndarray) -> np.ndarray:
    """Mean colour (n_planes,) relative to green; ones where it is too dark to tell."""
    total = levels.sum(axis=0)
    if total.min() <= DARK * len(levels):
        return np.ones(len(total))
    own = np.array(list(colours_of(len(total))))
    green = total[own == "G"].mean()
    of_colour = {colour: total[own == colour].mean() / green for colour in "RB"}
    return np.array([of_colour.get(colour, 1.0) for colour in own])
