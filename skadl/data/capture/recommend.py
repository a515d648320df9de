"""Which pairs to shoot, or which are missing still."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from skadl.data.capture.gaps import (
    LEAST_SCENES,
    SAME_STOPS,
    count_scenes,
    coverage_gaps,
    measure_noise,
)
from skadl.data.capture.plan import CaptureGap, CapturePlan, CaptureSetting
from skadl.noise.sensors import SensorInfo
from skadl.raw.image import check_positive
from skadl.raw.pair import RawPair, check_pairs_sequence

# What cameras print on their dials: ten steps a decade, as third stops.
_DIAL = (100, 125, 160, 200, 250, 320, 400, 500, 640, 800)


def recommend_captures(
    iso_range: tuple[float, float],
    *,
    ratios: float | Sequence[float] = (1.0,),
    n_scenes: int = 20,
    stops: float = 1.0,
    margin: float = 10.0,
    base_time: float | None = None,
    info: SensorInfo | None = None,
    pairs: Sequence[RawPair] | None = None,
) -> CapturePlan:
    """Plan the pairs to shoot for a sensor, or those that are missing still.

    Parameters
    ----------
    iso_range : tuple of two floats
        Lowest and highest ISO that images to denoise have.
    ratios : float or sequence of floats, default=1
        Light factors to denoise, at least 1: how many times too short the noisy
        frame is exposed.
    n_scenes : int, default=20
        Different scenes to spread over the settings; each gets two at least.
    stops : float, default=1
        Distance between the ISOs: 1 for octaves, 1/3 for each click of the dial.
    margin : float, default=10
        By how many dB the clean frame shall be better than the noisy one. At 10 dB
        its own noise adds 0.4 dB to the error that the noisy frame seems to have.
    base_time : float, optional
        Seconds that expose the scene well at the lowest ISO; the plan then names
        exposure times.
    info : SensorInfo, optional
        Gain and read noise; where not given they are measured on `pairs`.
    pairs : sequence of RawPair, optional
        What has been shot already, of one sensor.

    Returns
    -------
    CapturePlan

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range, or pairs are of several sensors or do not
        fit together.

    Notes
    -----
    In units of the well-exposed frame, whose signal is s counts, a noisy frame at
    ISO i and light factor R has the variance (Eq. 3 of the paper, times R squared)
    ``R * K_i * s + R**2 * r_i**2``, with K the gain and r the read noise. A
    well-exposed frame at ISO j has ``K_j * s + r_j**2``. The mean of N frames is
    better by ``10 * log10(N * noisy / one)`` dB, so ``N = 10**(margin / 10) * one /
    noisy``, rounded up:

    - frames of the same exposure: ``one = noisy``, ten frames for 10 dB, whatever
      the sensor;
    - longer frames at the same ISO (j = i), or at the lowest ISO. N is what the worse
      of black (s = 0) and white needs; between them it is less. Where the noise is not
      known, it is taken to be photon noise with gain in proportion to ISO, which is
      the worst case for j = i: then N = 10**(margin / 10) * j / (i * R).

    What all frames share, such as a fixed pattern, no average removes. The noisy
    frame must not be among those averaged.

    Examples
    --------
    >>> plan = recommend_captures((100, 1600), ratios=4, base_time=1 / 15)
    >>> [setting.iso for setting in plan.settings]
    [100.0, 200.0, 400.0, 800.0, 1600.0]
    >>> plan.settings[0].n_same, plan.settings[0].n_long, plan.settings[-1].n_lowest
    (10, 3, 1)
    """
    isos = _iso_series(iso_range, stops)
    light_factors = _check_ratios(ratios)
    check_positive("margin", margin)
    if base_time is not None:
        check_positive("base_time", base_time)
    if int(n_scenes) != n_scenes or n_scenes < 1:
        raise ValueError(f"n_scenes must be a whole number of 1 or more: {n_scenes!r}.")
    gaps: list[CaptureGap] = []
    noise = "given" if info is not None and info.knows_noise else "unknown"
    shot = None if pairs is None else _check_pairs(pairs)
    if shot and noise == "unknown":
        info, gaps = measure_noise(shot)
        noise = "measured" if info is not None else "unknown"
    known = None if noise == "unknown" else info
    n_settings = len(isos) * len(light_factors)
    scenes_each = max(LEAST_SCENES, math.ceil(n_scenes / n_settings))
    settings = [
        _setting(iso, ratio, isos[0], known, 10 ** (margin / 10), scenes_each)
        for iso in isos
        for ratio in light_factors
    ]
    if shot is not None:
        settings = count_scenes(settings, shot, stops)
        gaps = [*coverage_gaps(settings, shot, int(n_scenes)), *gaps]
    return CapturePlan(
        tuple(settings),
        tuple(gaps),
        float(margin),
        noise,
        base_time,
        None if shot is None else len(shot),
    )


def _iso_series(iso_range: Any, stops: float) -> list[float]:
    """ISOs from low to high, as near to `stops` apart as the dial allows."""
    check_positive("stops", stops)
    try:
        low, high = (check_positive("each of iso_range", iso) for iso in iso_range)
    except TypeError:
        low, high = 1.0, 0.0
    if low > high:
        raise ValueError(
            "iso_range must be the lowest and the highest ISO, such as (100, 12800), "
            f"got {iso_range!r}."
        )
    n_steps = math.ceil(math.log2(high / low) / stops - 1e-3)
    inner = (_on_dial(low * 2 ** (stops * step)) for step in range(1, n_steps))
    apart = 2 ** (SAME_STOPS / 2)  # what the dial moved to an end is that end
    inner = (iso for iso in inner if low * apart < iso < high / apart)
    return list(dict.fromkeys([low, *inner, high]))


def _on_dial(iso: float) -> float:
    decade = 10 ** math.floor(math.log10(iso / 100))
    dial = [mark * power for power in (decade, 10 * decade) for mark in _DIAL]
    return float(min(dial, key=lambda mark: abs(math.log(mark / iso))))


def _check_ratios(ratios: Any) -> list[float]:
    values = [ratios] if np.ndim(ratios) == 0 else list(ratios)
    values = sorted({check_positive("each of ratios", value) for value in values})
    if not values or values[0] < 1:
        raise ValueError(
            "ratios must be light factors of 1 or more: how many times less light the "
            f"noisy frame gets than the clean one; got {ratios!r}."
        )
    return values


def _check_pairs(pairs: Sequence[RawPair]) -> tuple[RawPair, ...]:
    checked = check_pairs_sequence(pairs, "pairs")
    sensors = list(dict.fromkeys(pair.sensor for pair in checked))
    if len(sensors) > 1:
        raise ValueError(
            f"a plan is for one sensor, got pairs of {sensors}; call it once for each."
        )
    return checked


def _setting(
    iso: float,
    ratio: float,
    lowest: float,
    info: SensorInfo | None,
    factor: float,
    n_scenes: int,
) -> CaptureSetting:
    def frames(clean_iso: float) -> int:
        needed = factor * _variance_share(iso, clean_iso, ratio, info)
        return max(1, math.ceil(needed - 1e-6))

    return CaptureSetting(
        iso,
        ratio,
        lowest / (iso * ratio),
        math.ceil(factor - 1e-6),
        frames(iso) if ratio > 1 else None,
        frames(lowest) if iso > lowest else None,
        n_scenes,
    )


def _variance_share(
    iso: float, clean_iso: float, ratio: float, info: SensorInfo | None
) -> float:
    """Variance of one well-exposed frame over that of the noisy one, at the worst."""
    if info is None:
        return clean_iso / (iso * ratio)
    gain, read = info.noise_at(iso)
    clean_gain, clean_read = info.noise_at(clean_iso)
    signals = (0.0, info.span)
    return max(
        (clean_gain * s + clean_read) / (ratio * gain * s + ratio**2 * read)
        for s in signals
    )
