"""Which pairs are fit for training, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from skadl.noise.frame_offsets import without_pattern
from skadl.noise.sensors import SensorInfo, SensorTable
from skadl.raw.image import LazyRawImage, check_positive
from skadl.raw.pair import RawPair, check_pairs_sequence, pair_names, read_pair
from skadl.screening.across_pairs import (
    check_set,
    find_duplicates,
    find_noise_outliers,
    judge_saturation,
    saturation_levels,
)
from skadl.screening.denoised import Denoiser, sharpen
from skadl.screening.judgement import judge, unreadable
from skadl.screening.measurements import PairMeasurements, measure_pair
from skadl.screening.pattern import describe_patterns, take_off_patterns
from skadl.screening.result import Finding, PairCheck
from skadl.screening.saturation import mask_beyond
from skadl.screening.screen import mask_saturated, screen
from skadl.support.progress import Progress
from skadl.support.side_by_side import MOST_PROCESSES, side_by_side

_SECONDS = (5e-3, 5e-7)  # that a pair takes, and each of its pixels
_SECONDS_OF_FILE = 0.5


def check_pairs(
    pairs: Sequence[RawPair],
    *,
    iso_range: tuple[float, float] | None = None,
    denoiser: Denoiser | None = None,
    verbose: int = 0,
) -> PairCheck:
    """Tell which pairs are fit for training, and what to do about the others.

    Misalignment to a part of a pixel, motion, brightness against the light factor,
    black and white level, clipping, CFA pattern, identical and exchanged frames, and
    noise against that of the other pairs are looked at; no training is needed.

    Parameters
    ----------
    pairs : sequence of RawPair
        Pairs that would be trained on together. Lazy ones are read one at a time.
    iso_range : tuple of two floats, optional
        Lowest and highest ISO that images will be denoised at: says which ISOs are
        missing.
    denoiser : callable, optional
        Takes a `RawImage` of at most 512 pixels a side, whose ``noise_profile`` holds
        the noise measured on its pair, and returns planes (4, h, w) as
        ``RawImage.normalised`` does, denoised. With one that never saw the pairs, shift
        and exposure are looked for under a tenth of the noise.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    PairCheck
        With a verdict for each pair. "doubtful": if all pairs were like that, training
        would lose more than about 0.1 dB. "bad": one such pair among twenty costs as
        much, or the pair is none at all. A pair that cannot be read is bad; the
        others are checked all the same.

    Raises
    ------
    TypeError
        If `pairs` is no sequence of `RawPair`.
    ValueError
        If there is none, or `iso_range` is no rising pair of positive numbers.

    Notes
    -----
    Frames beyond 1024 pixels are looked at in their middle, for motion as a whole at
    reduced size. Not to be seen: red and blue exchanged in both frames, a black level
    wrong by the same in both at a light factor of 1, and a white level too high where
    nothing is saturated.

    Examples
    --------
    >>> from skadl.datasets import make_domain, spoil_pairs
    >>> pairs = make_domain("NikonD850", 3, size=64, iso=400, random_state=0)
    >>> pairs, spoiled = spoil_pairs(pairs, "ratio times 2", 0.3, random_state=0)
    >>> spoiled
    {2: 'ratio times 2'}
    >>> check_pairs(pairs).bad
    (2,)
    """
    checked = check_pairs_sequence(pairs, "pairs")
    if not checked:
        raise ValueError("got no pairs to check; give at least one RawPair.")
    iso_range = _check_iso_range(iso_range)
    # A pair at a time in each process, so that memory holds no more. A denoiser has
    # threads of its own.
    measured = list(
        Progress(verbose).track(
            "checking",
            side_by_side(
                partial(_measure, denoiser=denoiser),
                checked,
                sum(map(_seconds, checked)),
                1 if denoiser else MOST_PROCESSES,
            ),
            len(checked),
            unit="pair",
        )
    )
    levels = _levels(checked, measured)
    for index, (pair, found) in enumerate(zip(checked, measured, strict=True)):
        if isinstance(found, PairMeasurements):
            level = levels.get(pair.sensor)
            if _overlooks(found, level):
                measured[index] = _measure(pair, denoiser, level)
    measured, patterns = _without_patterns(checked, measured, levels, denoiser)
    result = judge_pairs(checked, measured, iso_range)
    return replace(result, findings=(*patterns, *result.findings))


def _measure(
    pair: RawPair, denoiser: Denoiser | None, saturation: float | None = None
) -> PairMeasurements | Exception:
    try:
        pair = read_pair(pair)
        measured = measure_pair(pair, saturation)
    except (OSError, ValueError) as error:
        return error
    if denoiser is None:
        return measured
    own = measured.analysis.saturation
    masked = mask_saturated(pair, own)
    if saturation is not None:
        masked = mask_beyond(pair, saturation)
    return sharpen(measured, masked, denoiser)


def _without_patterns(
    pairs: Sequence[RawPair],
    measured: Sequence[PairMeasurements | Exception],
    levels: Mapping[str, float],
    denoiser: Denoiser | None,
) -> tuple[list[PairMeasurements | Exception], list[Finding]]:
    """Measure anew the pairs that a fixed pattern makes look like others."""
    measured = list(measured)
    readable = [i for i, m in enumerate(measured) if isinstance(m, PairMeasurements)]
    members = [pairs[index] for index in readable]
    if not members:
        return measured, []
    given = SensorTable.from_pairs(members)
    analyses = [measured[index].analysis for index in readable]
    sensors, _ = take_off_patterns(members, analyses, given)
    for index, pair in zip(readable, members, strict=True):
        info, first = sensors.get(pair.sensor), measured[index]
        if info.fixed_pattern is not None and not first.analysis.is_copy:
            level = levels.get(pair.sensor)
            measured[index] = _measure_again(pair, first, info, level, denoiser)
    return measured, describe_patterns(given, sensors)


def _measure_again(
    pair: RawPair,
    first: PairMeasurements,
    info: SensorInfo,
    level: float | None,
    denoiser: Denoiser | None,
) -> PairMeasurements | Exception:
    """Measure a pair without its pattern; of the file as it is stays what was found."""
    own = first.analysis.saturation
    if own is not None and own.is_sure:
        level = own.level
    try:
        pair = without_pattern(read_pair(pair), info)
    except (OSError, ValueError) as error:
        return error
    again = _measure(pair, denoiser, 1.0 if level is None else level)
    if isinstance(again, Exception):
        return again
    analysis = replace(again.analysis, contents=first.analysis.contents, saturation=own)
    return replace(
        again,
        analysis=analysis,
        brightest=first.brightest,
        clipped_share=first.clipped_share,
    )


def _seconds(pair: RawPair) -> float:
    """About how long a pair takes to be measured."""
    if isinstance(pair.noisy, LazyRawImage):  # to be read
        return _SECONDS_OF_FILE
    return _SECONDS[0] + _SECONDS[1] * pair.noisy.mosaic.size


def _levels(
    pairs: Sequence[RawPair], measured: Sequence[PairMeasurements | Exception]
) -> dict[str, float]:
    """Where sensors saturate, if not at white: see `saturation_levels`."""
    known = [
        (pair, m.analysis)
        for pair, m in zip(pairs, measured, strict=True)
        if isinstance(m, PairMeasurements)
    ]
    return saturation_levels(*zip(*known, strict=True)) if known else {}


def _overlooks(measured: PairMeasurements, level: float | None) -> bool:
    """Whether a pair is saturated where only the others show that it is."""
    own = measured.analysis.saturation
    is_masked = own is not None and own.is_sure
    return level is not None and not is_masked and measured.brightest > 0.98 * level


def judge_pairs(
    pairs: Sequence[RawPair],
    measured: Sequence[PairMeasurements | Exception],
    iso_range: tuple[float, float] | None = None,
) -> PairCheck:
    """Judge pairs from what `measure_pair` found, or why it failed: `check_pairs`."""
    readable = {i: m for i, m in enumerate(measured) if isinstance(m, PairMeasurements)}
    analyses = {index: m.analysis for index, m in readable.items()}
    members = [pairs[index] for index in readable]
    screenings = screen(members, list(analyses.values()))
    screening_of = dict(zip(readable, screenings, strict=True))
    outliers = find_noise_outliers(members, list(readable.values()), screenings)
    names = pair_names(pairs)
    labels = [f"pair {name}" for name in names]
    beside_others = find_duplicates(analyses, labels)
    for index, findings in zip(readable, outliers, strict=True):
        beside_others.setdefault(index, []).extend(findings)
    levels = _levels(pairs, measured)
    checked = tuple(
        judge(
            index,
            names[index],
            pair,
            m,
            screening_of[index],
            beside_others[index],
            knows_white=pair.sensor in levels,
        )
        if isinstance(m, PairMeasurements)
        else unreadable(index, names[index], m)
        for index, (pair, m) in enumerate(zip(pairs, measured, strict=True))
    )
    white = judge_saturation(pairs, levels)
    return PairCheck(checked, (*white, *check_set(checked, iso_range)))


def _check_iso_range(
    iso_range: tuple[float, float] | None,
) -> tuple[float, float] | None:
    if iso_range is None:
        return None
    ends = tuple(iso_range) if np.ndim(iso_range) == 1 else ()
    if len(ends) != 2:
        raise ValueError(
            f"iso_range must be a pair (lowest, highest), got {iso_range!r}."
        )
    low, high = (check_positive("iso_range", iso) for iso in ends)
    if low > high:
        raise ValueError(f"iso_range must rise, got {iso_range!r}.")
    return low, high
