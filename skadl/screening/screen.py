"""Physics before networks: which pairs cannot be a noisy and a clean frame of a scene.

What noisy minus clean leaves must be noise: without a picture in it, of the
brightness that the light factor promises, and as strong as in other pairs of the same
sensor at that ISO. No training is needed to see where it is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from skadl.noise.residual import (
    LEAST_WHITE,
    TransferCurve,
    measure_residual,
    transfer_curve,
)
from skadl.raw.pair import RawPair
from skadl.screening.outliers import noise_shifts
from skadl.screening.symptoms import LEAST_BINS, find_symptoms, severity

LEAST_PEERS = 5  # before a pair's noise can be compared
_NOISE = (2.5, 0.5)  # standard errors; logarithm of the variance: a factor 1.65


@dataclass(frozen=True)
class Screening:
    """How odd a pair is, and in what respect; all zero for a pair without fault.

    Every part, and the score, is relative to its threshold: above 1 is odd. Over the
    simulated cameras of `skadl.datasets`, at 128 to 512 pixels a side, less than 1 %
    of honest pairs are.

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

    Examples
    --------
    >>> Screening(brightness=3.2)
    Screening(picture=0.0, misaligned=0.0, exchanged=0.0, brightness=3.2, noise=0.0)
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

    @property
    def score(self) -> float:
        """The largest part: 0 is faultless, above 1 is odd."""
        return max(getattr(self, part.name) for part in fields(self))

    @property
    def is_faulty(self) -> bool:
        """Whether some part is above 1."""
        return self.score > 1

    @property
    def reason(self) -> str | None:
        """What is odd, None for nothing; of several parts that which explains most.

        A wrong scene is of wrong brightness, too, and has too much noise.
        """
        return next(
            (REASONS[name] for name in REASONS if getattr(self, name) > 1), None
        )


REASONS = {
    "exchanged": "the noise is in the clean frame",
    "picture": "clean frame is misaligned or shows something else",
    "misaligned": "clean frame is misaligned or shows something else",
    "brightness": "brightness does not fit the light factor",
    "noise": "noise does not fit the ISO",
}
REMEDIES = {
    REASONS["exchanged"]: "Exchange the two frames.",
    REASONS["picture"]: "Align the frames, or give the clean frame of that scene.",
    REASONS["brightness"]: "Correct ratio or the black levels; a frame that is blurred "
    "or moved by part of a pixel looks the same.",
    REASONS["noise"]: "Correct iso, or give these pairs a sensor name of their own.",
}


@dataclass(frozen=True, eq=False)
class ResidualAnalysis:
    """What one pair shows without its peers.

    Parameters
    ----------
    curve : TransferCurve
    screening : Screening
        Without a verdict on the noise.
    """

    curve: TransferCurve
    screening: Screening


def analyse_residual(pair: RawPair) -> ResidualAnalysis:
    """Look at the residual of one pair.

    Parameters
    ----------
    pair : RawPair
        Of large frames the middle is looked at. Lazy frames are read once.

    Returns
    -------
    ResidualAnalysis

    Raises
    ------
    ValueError
        As `measure_residual`.
    """
    measured = measure_residual(pair)
    return ResidualAnalysis(
        transfer_curve(measured), Screening(**find_symptoms(measured))
    )


def screen(
    pairs: Sequence[RawPair], examinations: Sequence[ResidualAnalysis]
) -> list[Screening]:
    """Complete the screening of a domain: compare the noise of pairs of one sensor.

    Parameters
    ----------
    pairs : sequence of RawPair
        Of one domain; the pairs of each sensor are one another's peers.
    examinations : sequence of ResidualAnalysis
        Of these pairs.

    Returns
    -------
    list of Screening
        In the same order. Noise is judged where at least `LEAST_PEERS` other pairs
        are not odd by themselves and not clipped nearly throughout.
    """
    screenings = [seen.screening for seen in examinations]
    for sensor in dict.fromkeys(pair.sensor for pair in pairs):
        comparable = [
            i
            for i, (pair, seen) in enumerate(zip(pairs, examinations, strict=True))
            if pair.sensor == sensor
            and len(seen.curve.signal) >= LEAST_BINS
            and not seen.screening.is_faulty
        ]
        if len(comparable) <= LEAST_PEERS:
            continue
        shifts, sigmas = noise_shifts([examinations[i].curve for i in comparable])
        for i, shift, sigma in zip(comparable, shifts, sigmas, strict=True):
            # More than noise, and not white: half a pixel off, say.
            whiteness = examinations[i].curve.whiteness
            name = "picture" if shift > 0 and whiteness < LEAST_WHITE else "noise"
            part = max(getattr(screenings[i], name), severity(sigma, shift, _NOISE))
            screenings[i] = replace(screenings[i], **{name: part})
    return screenings


def screen_pairs(pairs: Sequence[RawPair]) -> list[Screening]:
    """Find the pairs of a domain that would harm a training, without any training.

    Parameters
    ----------
    pairs : sequence of RawPair
        Of one domain; the pairs of each sensor are one another's peers.

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
    >>> [seen.reason for seen in screen_pairs(pairs) if seen.is_faulty]
    ['brightness does not fit the light factor']
    """
    return screen(pairs, [analyse_residual(pair) for pair in pairs])
