"""Physics before networks: which pairs cannot be a noisy and a clean frame of a scene.

What noisy minus clean leaves must be noise: without a picture in it, of the
brightness that the light factor promises, and as strong as in other pairs of the same
sensor at that ISO. No training is needed to see where it is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

from skadl.noise.residual import (
    LEAST_WHITE,
    Residual,
    TransferCurve,
    measure_residual,
)
from skadl.raw.image import LazyRawImage, content_digest
from skadl.raw.pair import RawPair, read_pair
from skadl.screening.outliers import compare_noise
from skadl.screening.saturation import Saturation, find_saturation, mask_beyond
from skadl.screening.sky import judged_on_sky
from skadl.screening.symptoms import find_symptoms, severity
from skadl.support.side_by_side import MOST_PROCESSES, side_by_side

_SECONDS = (2.5e-3, 1.7e-7)  # that a pair takes, and each of its pixels
_SECONDS_OF_FILE = 0.2
_NOISE = (2.5, 0.5)  # standard errors; logarithm of the variance: a factor 1.65


@dataclass(frozen=True)
class FaultKind:
    """What can be wrong with a pair, and what to do about it."""

    check: str  # that it belongs to in a `PairCheck`
    reason: str  # a clause
    remedy: str  # a sentence


_ANOTHER_PICTURE = FaultKind(
    "content",
    "clean frame is misaligned or shows something else",
    "Align the frames, or give the clean frame of that scene.",
)
# By part of a `Screening`; of several that comes first which explains most: a wrong
# scene is of wrong brightness, too, and has too much noise.
FAULTS = {
    "identical": FaultKind(
        "duplicates",
        "noisy and clean frame are the same",
        "Give the clean frame: a long exposure, or a mean of several.",
    ),
    "exchanged": FaultKind(
        "exchange", "the noise is in the clean frame", "Exchange the two frames."
    ),
    "picture": _ANOTHER_PICTURE,
    "misaligned": _ANOTHER_PICTURE,
    "brightness": FaultKind(
        "brightness",
        "brightness does not fit the light factor",
        "Correct ratio or the black levels; a frame that is blurred or moved by part "
        "of a pixel looks the same.",
    ),
    "differs": FaultKind(
        "content",
        "clean frame shows something else than a denoiser makes of the noisy frame",
        "Align the frames, or give the clean frame of that scene and moment.",
    ),
    "smoothed": FaultKind(
        "sharpness",
        "clean frame lacks detail that its noisy frame shows",
        "Give a clean frame in focus that no program has denoised.",
    ),
    "processed": FaultKind(
        "noise",
        "neighbouring pixels share their noise, as in a frame that was denoised or "
        "resampled",
        "Give the raw frame as the sensor read it: turn noise reduction off.",
    ),
    "noise": FaultKind(
        "noise",
        "noise does not fit the ISO",
        "Correct iso, or give these pairs a sensor name of their own.",
    ),
}


@dataclass(frozen=True)
class Screening:
    """How faulty a pair is, and in what respect; all zero for a pair without fault.

    Every part, and the score, is relative to its threshold: above 1 is a fault. Over
    the simulated cameras of `skadl.datasets`, at 128 to 512 pixels a side, less than
    1 % of good pairs have one.

    Parameters
    ----------
    picture : float
        The residual shows what pixels share with their diagonal neighbours, which
        noise does not, nor noise of whole rows and columns.
    misaligned : float
        The clean frame fits better when it is moved.
    exchanged : float
        The noise is in the clean frame.
    brightness : float
        The noisy frame is brighter or darker than its light factor says.
    noise : float
        The noise is stronger or weaker than that of other pairs of the sensor at
        this ISO; 0 where too few can be compared.
    differs : float
        The clean frame is further from what a denoiser makes of the noisy frame than
        noise explains. This and the next two are 0 where no denoiser was asked.
    smoothed : float
        The clean frame lacks detail that the denoised noisy frame has.
    processed : float
        The noise of neighbouring pixels is correlated.
    identical : float
        The clean frame holds the noise of the noisy one: it is a copy of it.

    Examples
    --------
    >>> Screening(brightness=3.2, noise=0.5).score
    3.2
    >>> Screening(brightness=3.2).reason
    'brightness does not fit the light factor'
    >>> Screening(brightness=0.4).is_faulty
    False
    """

    picture: float = 0.0
    misaligned: float = 0.0
    exchanged: float = 0.0
    brightness: float = 0.0
    noise: float = 0.0
    differs: float = 0.0
    smoothed: float = 0.0
    processed: float = 0.0
    identical: float = 0.0

    @property
    def score(self) -> float:
        """The largest part: 0 is faultless, above 1 is a fault."""
        return max(getattr(self, part.name) for part in fields(self))

    @property
    def is_faulty(self) -> bool:
        """Whether some part is above 1."""
        return self.score > 1

    @property
    def fault(self) -> FaultKind | None:
        """What is wrong, None for nothing; of several faults what explains most."""
        return next((f for part, f in FAULTS.items() if getattr(self, part) > 1), None)

    @property
    def reason(self) -> str | None:
        """What is wrong, in words; None for nothing."""
        return None if self.fault is None else self.fault.reason


@dataclass(frozen=True, eq=False)
class ResidualAnalysis:
    """What one pair shows by itself."""

    curve: TransferCurve
    screening: Screening  # without a verdict on the noise
    contents: tuple[str, str]  # digests of noisy and clean frame
    saturation: Saturation | None  # where that is not the white level

    @property
    def is_copy(self) -> bool:
        """Whether the clean frame is a copy of the noisy one."""
        noisy, clean = self.contents
        return noisy == clean or self.screening.identical > 1


def analyse_residual(pair: RawPair) -> ResidualAnalysis:
    """Look at the residual of one pair; raises as `measure_residual`."""
    pair = read_pair(pair)
    return analyse_unsaturated(pair, find_saturation(pair))


def analyse_unsaturated(
    pair: RawPair, saturation: Saturation | None
) -> ResidualAnalysis:
    """Look at a pair in memory whose saturation is known."""
    measured = measure_residual(mask_saturated(pair, saturation))
    sky = judged_on_sky(measured)
    return analysis_of(pair, sky or measured, saturation, has_detail=sky is None)


def analyse_residuals(
    pairs: Sequence[RawPair], most_processes: int = MOST_PROCESSES
) -> Iterator[ResidualAnalysis]:
    """Yield the analysis of each pair, in their order; several at a time if many."""
    seconds = sum(map(seconds_to_analyse, pairs))
    return side_by_side(analyse_residual, pairs, seconds, most_processes)


def seconds_to_analyse(pair: RawPair) -> float:
    """About how long one pair takes."""
    if isinstance(pair.noisy, LazyRawImage):  # to be read
        return _SECONDS_OF_FILE
    return _SECONDS[0] + _SECONDS[1] * pair.noisy.mosaic.size


def mask_saturated(pair: RawPair, saturation: Saturation | None) -> RawPair:
    """Mask where the sensor saturates, if the pair alone says so for sure."""
    is_sure = saturation is not None and saturation.is_sure
    return mask_beyond(pair, saturation.level if is_sure else None)


def analysis_of(
    pair: RawPair,
    measured: Residual,
    saturation: Saturation | None,
    has_detail: bool = True,
) -> ResidualAnalysis:
    """Put together what the residual of a pair, held in memory, says.

    Without detail it is that of a sky between its stars, see `find_symptoms`.
    """
    return ResidualAnalysis(
        measured.curve,
        Screening(**find_symptoms(measured, has_detail)),
        (content_digest(pair.noisy), content_digest(pair.clean)),
        saturation,
    )


def screen(
    pairs: Sequence[RawPair], analyses: Sequence[ResidualAnalysis]
) -> list[Screening]:
    """Complete the screening of a domain: compare the noise of pairs of one sensor.

    Noise is judged where at least five other pairs of the sensor are not faulty by
    themselves and not clipped nearly throughout.
    """
    screenings = [analysis.screening for analysis in analyses]
    curves = [analysis.curve for analysis in analyses]
    is_faulty = [screening.is_faulty for screening in screenings]
    for i, shift, sigmas in compare_noise(pairs, curves, is_faulty):
        # More than noise, and not white: half a pixel off, say.
        is_picture = shift > 0 and curves[i].whiteness < LEAST_WHITE
        part = "picture" if is_picture else "noise"
        value = max(getattr(screenings[i], part), severity(sigmas, shift, _NOISE))
        screenings[i] = replace(screenings[i], **{part: value})
    return screenings


def screen_pairs(pairs: Sequence[RawPair]) -> list[Screening]:
    """Find the pairs of a domain that would harm a training, without any training.

    Parameters
    ----------
    pairs : sequence of RawPair
        Of one domain; the pairs of each sensor are compared with one another.

    Returns
    -------
    list of Screening
        In the same order.

    Raises
    ------
    ValueError
        If the frames of a pair differ in shape or hold NaN or infinity.

    Examples
    --------
    >>> from skadl.datasets import make_domain, spoil_pairs
    >>> pairs = make_domain("NikonD850", 8, size=64, random_state=0)
    >>> pairs, spoiled = spoil_pairs(pairs, "ratio times 2", 0.1, random_state=0)
    >>> spoiled
    {6: 'ratio times 2'}
    >>> [pair.reason for pair in screen_pairs(pairs) if pair.is_faulty]
    ['brightness does not fit the light factor']
    """
    return screen(pairs, list(analyse_residuals(pairs)))
