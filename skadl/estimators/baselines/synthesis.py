"""Pairs made of clean frames, for the baselines that train on synthetic noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice

import numpy as np
from scipy.stats import norm

from skadl.estimators.fitting import Fitting
from skadl.noise.noise_level import NoiseLevel, info_of
from skadl.noise.renoising import draw_exposures, draw_row_noise, read_scale, renoise
from skadl.noise.sensors import SensorInfo
from skadl.noise.tukey_lambda import draw_tukey_lambda, tukey_lambda_variance
from skadl.raw.image import RawImage
from skadl.raw.mosaic import mosaic_of, to_common_geometry
from skadl.raw.pair import RawPair

# Of the cameras that ELD calibrates, in counts of 14 bits: gain, and how the logarithms
# of read and row noise follow that of the gain (Wei et al., CVPR 2020, and the
# parameters released with it): lowest and highest slope, lowest and highest bias.
GAINS = (0.1, 30.0)
READ_SLOPES, READ_BIASES, READ_SPREAD = (0.54, 0.68), (0.80, 2.08), 0.25
ROW_SLOPES, ROW_BIASES, ROW_SPREAD = (0.45, 0.73), (-1.80, -0.59), 0.25
SPAN_OF_14_BITS = 16383.0

# Of normalised images, as variances: from clean daylight to a dark indoor scene.
SHOT_LEVELS, READ_LEVELS = (1e-4, 3e-2), (1e-6, 1e-2)


@dataclass(frozen=True)
class VirtualCamera:
    """A camera that does not exist: the line that its noise follows as its gain grows.

    Examples
    --------
    >>> camera = VirtualCamera(0.5, 1.0, 0.5, -1.0)
    >>> camera.read_noise(1.0), camera.row_noise(1.0)  # e**1, e**-1
    (2.718281828459045, 0.36787944117144233)
    """

    read_slope: float
    read_bias: float
    row_slope: float
    row_bias: float

    def read_noise(self, gain: float) -> float:
        """Return its standard deviation, in counts of 14 bits."""
        return float(np.exp(self.read_slope * np.log(gain) + self.read_bias))

    def row_noise(self, gain: float) -> float:
        """Return its standard deviation, in counts of 14 bits."""
        return float(np.exp(self.row_slope * np.log(gain) + self.row_bias))

    def info(self, model: RawImage, rng: np.random.Generator) -> SensorInfo:
        """Draw a gain, and return the noise at the ISO of an image."""
        gain = float(np.exp(rng.uniform(*np.log(GAINS))))
        read = self.read_noise(gain) * float(np.exp(rng.normal(scale=READ_SPREAD)))
        row = self.row_noise(gain) * float(np.exp(rng.normal(scale=ROW_SPREAD)))
        scale = model.span / SPAN_OF_14_BITS
        iso = model.iso
        return SensorInfo(
            model.cfa,
            model.black_level,
            model.white_level,
            gain={iso: gain * scale},
            read_noise={iso: float(np.hypot(read, row)) * scale},
            row_noise={iso: row * scale},
        )


def virtual_cameras(n_cameras: int, rng: np.random.Generator) -> list[VirtualCamera]:
    """Spread cameras over the range of the calibrated ones, each line on its own."""

    def spread(low: float, high: float) -> np.ndarray:
        return rng.permutation(np.linspace(low, high, n_cameras))

    columns = (READ_SLOPES, READ_BIASES, ROW_SLOPES, ROW_BIASES)
    lines = zip(*(spread(*limits) for limits in columns), strict=True)
    return [VirtualCamera(*map(float, line)) for line in lines]


def clean_scenes(
    begun: Fitting, n_scenes: int, trainable: Sequence[int] | None = None
) -> list[RawPair]:
    """Take pairs for their clean frames: of the sources, or the target's without any.

    In turn from each domain, and again from the first where there are too few. Of the
    target all pairs are taken, or those at some positions.
    """
    shown = range(len(begun.pairs)) if trainable is None else trainable
    domains = list(begun.domains.values()) or [[begun.pairs[i] for i in shown]]
    by_turn = [
        pair
        for i in range(max(map(len, domains)))
        for domain in domains
        for pair in domain[i : i + 1]
    ]
    return list(islice(cycle(by_turn), n_scenes))


def frames_of(begun: Fitting, n_frames: int) -> list[RawImage]:
    """Return frames like the target's, at its exposures, for their facts alone."""
    models = []
    exposures = draw_exposures(begun.pairs, n_frames, begun.rng)
    # Only metadata and dtype are used.
    few = slice(mosaic_of(begun.pairs[0].noisy.cfa).period)
    small = [
        pair.noisy.with_mosaic(pair.noisy.mosaic[few, few]) for pair in begun.pairs
    ]
    for index, (iso, ratio) in zip(
        begun.rng.randint(len(small), size=n_frames), exposures, strict=True
    ):
        models.append(replace(small[index], iso=iso, ratio=ratio))
    return models


def with_virtual_noise(
    scenes: Sequence[RawPair],
    models: Sequence[RawImage],
    camera: VirtualCamera,
    rng: np.random.Generator,
) -> Iterator[tuple[RawPair, SensorInfo]]:
    """Photograph scenes with a virtual camera; yield also what its noise was."""
    for scene, model in zip(scenes, models, strict=True):
        info = camera.info(model, rng)
        yield renoise(scene, np.ones(1), model, info, rng), info


def with_random_noise(
    scenes: Sequence[RawPair], models: Sequence[RawImage], rng: np.random.Generator
) -> Iterator[tuple[RawPair, SensorInfo]]:
    """Photograph scenes under noise of any level; yield also what it was."""
    for scene, model in zip(scenes, models, strict=True):
        shot, read = (
            float(np.exp(rng.uniform(*np.log(limits))))
            for limits in (SHOT_LEVELS, READ_LEVELS)
        )
        info = info_of(NoiseLevel(shot, read), model)
        yield renoise(scene, np.ones(1), model, info, rng), info


@dataclass(frozen=True)
class TukeyLambdaReadNoise:
    """ELD's read noise: Tukey-lambda of a shape, with Gaussian row noise."""

    shape: float

    def __call__(
        self,
        model: RawImage,
        info: SensorInfo,
        shape: tuple[int, ...],
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Draw planes (4, h, w), in counts; of the sensor's own variance."""
        scale = read_scale(model, info) / tukey_lambda_variance(self.shape) ** 0.5
        rows = draw_row_noise(info.row_noise_at(model.iso), shape, rng, model.cfa)
        return scale * draw_tukey_lambda(self.shape, shape, rng) + rows


class DarkFrameNoise:
    """Read noise cut out of dark frames, at their own places of the CFA pattern.

    Parameters
    ----------
    frames : sequence of RawImage
        Taken without light, of one sensor. ValueError where there are none, or of
        several patterns.
    """

    def __init__(self, frames: Sequence[RawImage]) -> None:
        frames = list(frames)
        if not frames or not all(isinstance(frame, RawImage) for frame in frames):
            raise ValueError(
                "dark_frames must be RawImages, at least one; read them with "
                "skadl.read_raw, or give None to draw the noise from its measured size."
            )
        if len({frame.cfa for frame in frames}) > 1:
            raise ValueError(
                "dark_frames have different CFA patterns; give those of one sensor."
            )
        self.frames = frames

    def __call__(
        self,
        model: RawImage,
        info: SensorInfo,
        shape: tuple[int, ...],
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Cut planes (4, h, w), in counts, out of a frame of the nearest ISO.

        Where that ISO is another, the noise is scaled as the sensor's read noise is.
        """
        distances = [abs(np.log(frame.iso / model.iso)) for frame in self.frames]
        nearest = np.flatnonzero(np.isclose(distances, min(distances)))
        frame = self.frames[rng.choice(nearest)]
        planes = recover_bits(frame.packed(), rng)
        planes = planes - frame.black_planes[:, None, None]
        planes = to_common_geometry(planes, frame.cfa)
        # A window that goes on at the other side where the frame is too small.
        for axis in (1, 2):
            first = rng.integers(planes.shape[axis])
            places = (first + np.arange(shape[axis])) % planes.shape[axis]
            planes = planes.take(places, axis=axis)
        variances = [info.noise_at(iso)[1] for iso in (model.iso, frame.iso)]
        in_counts = model.span / frame.span  # of files of another bit depth
        return planes * in_counts * (variances[0] / variances[1]) ** 0.5


def recover_bits(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw what whole counts were before they were rounded: high-bit reconstruction.

    Each is drawn from the Gaussian of its plane, (4, h, w), cut to the half counts
    around it, so that rounding gives the same counts again.
    """
    if counts.dtype.kind == "f":
        return counts
    counts = counts.astype(float)
    mean = counts.mean(axis=(1, 2), keepdims=True)
    # Sheppard: rounding has added a twelfth to the variance.
    variance = counts.var(axis=(1, 2), keepdims=True) - 1 / 12
    scale = np.sqrt(np.maximum(variance, 1 / 12))
    low, high = (norm.cdf((counts + side - mean) / scale) for side in (-0.5, 0.5))
    drawn = norm.ppf(rng.uniform(low, high)) * scale + mean
    # Where the Gaussian has no mass left its quantile is infinite.
    return np.clip(drawn, counts - 0.499, counts + 0.499)
