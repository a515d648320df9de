"""The noise of every sensor, given or measured on its own pairs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from skadl.noise.calibration_frames import check_frames, measure_frames
from skadl.noise.frame_differences import noise_samples
from skadl.noise.frame_offsets import without_pattern
from skadl.noise.pair_pattern import (
    is_picture,
    pattern_before_noise,
    with_pair_pattern,
)
from skadl.noise.photon_transfer import TransferFit, fit_transfer
from skadl.noise.plane_gain import find_plane_gain, with_equal_planes
from skadl.noise.residual import (
    LEAST_WHITE,
    Residual,
    TransferCurve,
    measure_residual,
)
from skadl.noise.sensors import SensorInfo, SensorTable
from skadl.raw.image import RawImage
from skadl.raw.pair import RawPair, check_pairs_sequence

# Relative standard errors from which another frame should be shot for a figure.
LOOSE_GAIN, LOOSE_READ = 0.1, 0.2
_UNKNOWN = 0.5  # from which the prior has more say than the pairs
_MOST_NAMED = 4  # ISOs or pairs in one note

# Why a pair was left out: what it is, and what to do.
_LEFT_OUT = {
    "clipped": (
        "clipped nearly throughout",
        "Expose so that the counts keep clear of black and white",
    ),
    "picture": (
        "whose residual shows a picture and not noise",
        "They are misaligned or have another scene's clean frame: shoot again from a "
        "tripod, or leave them out",
    ),
    "disagrees": (
        "with more or less noise than the other pairs predict",
        "Check their ISO, light factor and levels",
    ),
}


def calibrate_sensor(
    pairs: Sequence[RawPair] | None = None,
    darks: Sequence[RawImage] | None = None,
    flats: Sequence[RawImage] | None = None,
) -> SensorInfo:
    """Measure a sensor: its noise, and what is fixed in its frames.

    On a handful of noisy/clean pairs of it, on frames taken with the lens cap on
    (darks) and of something even and bright (flats), or on any of these together. Two
    pairs are enough for a start; what they leave open is said in a warning, with
    the frame to shoot next. Misaligned, wrongly labelled and clipped pairs are found
    and left out as far as the others give them away.

    Parameters
    ----------
    pairs : sequence of RawPair, optional
        Of one sensor, at one ISO or several. Pattern and levels are those of the
        first; noise is in its counts, also where others have another bit depth.
    darks : sequence of RawImage, optional
        Two or more at each ISO, of the frame's whole size; with eight or more single
        pixels are measured too. They give read noise, row noise, the black level's
        error, dark shading, the pattern of columns and rows, and hot pixels.
    flats : sequence of RawImage, optional
        Two or more of equal exposure at each ISO. They give the gain, of each plane.

    Returns
    -------
    SensorInfo
        With `gain`, `read_noise` and their standard errors at each ISO, `row_noise`,
        `black_offset`, from flats `plane_gain`, from darks `fixed_pattern`, and
        `notes`. Darks tell no gain: alone they give no `gain` and no `read_noise`.
        Good as the `sensor` of ``predict`` where a model was fitted with
        ``conditioning="noise"``, and in the `SensorTable` of ``fit``.

    Raises
    ------
    TypeError
        If `pairs` is no sequence of `RawPair`, `darks` or `flats` none of `RawImage`.
    ValueError
        If there is nothing to measure on, frames are of several sensors, frames of a
        pair do not fit together, or all pairs are clipped throughout; if there is a
        single dark or flat at an ISO, if sizes differ, darks hold light, or flats are
        burnt out or dark.

    Warns
    -----
    UserWarning
        If the frames do not determine everything, or some were left out: the notes.

    Notes
    -----
    The fit to pairs is that of :mod:`skadl.noise.photon_transfer`. Noise that clean
    frames have of their own is taken off; where it is more than 2 % of the variance,
    differences of noisy frames of one `scene` are measured on instead. On the
    simulated cameras of `skadl.datasets`, six pairs of 256x256 pixels give the gain
    within 5 % and the read noise within 10 % where its error is stated as below 20 %.
    What darks and flats tell goes before what pairs tell; see
    :mod:`skadl.noise.dark_frames` and :mod:`skadl.noise.flat_frames`.

    Examples
    --------
    >>> from skadl.datasets import make_domain
    >>> pairs = make_domain("SonyA7S2", 6, size=128, iso=[100, 400, 1600], ratio=30,
    ...                     random_state=0)
    >>> info = calibrate_sensor(pairs)
    >>> round(info.gain[1600.0] / info.gain[400.0], 1)
    4.0
    """
    has_frames = darks is not None or flats is not None
    if pairs is None and has_frames:
        pairs = ()
    checked = check_pairs_sequence(pairs, "pairs")
    darks, flats = check_frames(darks, "darks"), check_frames(flats, "flats")
    frames = (*darks, *flats)
    members = (*checked, *frames)
    names = list(dict.fromkeys(member.sensor for member in members))
    if len(names) != 1:
        what = f"{len(checked)} pairs"
        if has_frames:
            what += f", {len(darks)} dark frames and {len(flats)} flats"
        raise ValueError(
            f"calibrate_sensor takes pairs of one sensor, got {what} of "
            f"{names or 'none'}; call it once for each sensor."
        )
    first = checked[0].noisy if checked else frames[0]
    info = SensorInfo(first.cfa, first.black_level, first.white_level)
    info, notes = measure_frames(info, darks, flats)
    if checked:
        notes = notes if info.knows_noise else []
        info, measured = _measure_residuals(info, checked)
        curves = [one.curve for one in measured]
        labels = [f"pairs[{i}] at ISO {pair.iso:g}" for i, pair in enumerate(checked)]
        samples = noise_samples(checked, measured)
        told = [(sample.residual.curve, sample.pairs) for sample in samples]
        given, info = info, _measure(names[0], info, curves, labels, told)
        factors = _plane_gain([one.residual for one in samples], given, info)
        if factors is not None:
            told = [
                (
                    with_equal_planes(
                        one.residual, factors, *info.noise_at(one.residual.iso)
                    ).curve,
                    one.pairs,
                )
                for one in samples
            ]
            info = _measure(names[0], given, curves, labels, told)
            info = replace(info, plane_gain=dict.fromkeys(info.gain, tuple(factors)))
        white = [c.signal.size and c.whiteness >= LEAST_WHITE for c in curves]
        good = [pair for pair, is_white in zip(checked, white, strict=True) if is_white]
        info = with_pair_pattern(info, good)
    info = replace(info, notes=(*info.notes, *notes))
    if info.notes:
        message = f"noise of sensor {names[0]!r}: {' '.join(info.notes)}"
        warnings.warn(message, UserWarning, stacklevel=2)
    return info


def _measure_residuals(
    info: SensorInfo, pairs: Sequence[RawPair]
) -> tuple[SensorInfo, list[Residual]]:
    """Measure residuals without what is fixed in the frame, given or seen in them."""

    def measure(info: SensorInfo) -> list[Residual]:
        return [measure_residual(without_pattern(pair, info)) for pair in pairs]

    measured = measure(info)
    curves = [one.curve for one in measured]
    n_pictures = sum(map(is_picture, curves))
    pattern = pattern_before_noise(info, pairs, curves) if n_pictures else None
    if pattern is not None:
        plain = replace(info, fixed_pattern=pattern)
        again = measure(plain)
        if sum(is_picture(one.curve) for one in again) < n_pictures:
            return plain, again
    return info, measured


def _plane_gain(
    measured: Sequence[Residual], given: SensorInfo, found: SensorInfo
) -> np.ndarray | None:
    """Gain of each plane where the pairs show that they differ and no flats told."""
    if given.knows_noise:
        return None
    good = [one for one in measured if one.bins and one.curve.whiteness >= LEAST_WHITE]
    if not good:
        return None
    figures = [found.noise_at(one.iso) for one in good]
    return find_plane_gain(good, *zip(*figures, strict=True))


def calibrate(
    table: SensorTable, curves: Mapping[str, Sequence[TransferCurve]]
) -> SensorTable:
    """Measure what the table does not give: noise, black-level error, row noise.

    Curves are by sensor. Raises ValueError if all pairs of one are clipped throughout.
    """
    measured = {}
    for name, curves_of_sensor in curves.items():
        labels = [f"ISO {curve.iso:g}" for curve in curves_of_sensor]
        measured[name] = _measure(name, table.get(name), curves_of_sensor, labels)
    return table.updated(measured)


def _measure(
    name: str,
    info: SensorInfo,
    curves: Sequence[TransferCurve],
    labels: Sequence[str],
    told: Sequence[tuple[TransferCurve, tuple[int, ...]]] | None = None,
) -> SensorInfo:
    """Fit what is not known yet; `told` are curves of noise with their pairs."""
    curves = [curve.in_counts_of(info.span) for curve in curves]
    changes: dict[str, Any] = {}
    left_out: dict[int, str] = {}
    if not info.knows_noise:
        if told is None:
            told = [(curve, (index,)) for index, curve in enumerate(curves)]
        told_curves = [curve.in_counts_of(info.span) for curve, _ in told]
        fit, of_told = fit_transfer(told_curves, info.span)
        left_out = {i: why for t, why in of_told.items() for i in told[t][1]}
        if fit is None:
            raise ValueError(
                f"no pair of sensor {name!r} has enough unclipped pixels to "
                "measure its noise; check its levels and exposures, or give gain "
                "and read_noise in a SensorInfo."
            )
        fields = ("gain", "read_noise", "gain_error", "read_noise_error")
        changes |= {f: _by_iso(fit.isos, getattr(fit, f)) for f in fields}
        used = [curve for t, curve in enumerate(told_curves) if t not in of_told]
        changes["notes"] = (*info.notes, *_notes(fit, left_out, used, labels))
    # Without the pictures that `fit_transfer` takes where there is nothing else: they
    # tell nothing of black.
    usable = [
        curve
        for index, curve in enumerate(curves)
        if index not in left_out
        and curve.signal.size
        and curve.whiteness >= LEAST_WHITE
    ]
    for field, measured in (("black_offset", "offset"), ("row_noise", "row_noise")):
        if getattr(info, field) is None and usable:
            changes[field] = _medians(usable, measured)
    return replace(info, **changes)


def _by_iso(isos: np.ndarray, values: np.ndarray) -> dict[float, float]:
    return dict(zip(isos.tolist(), values.tolist(), strict=True))


def _medians(curves: Sequence[TransferCurve], measured: str) -> dict[float, Any]:
    """Median of an attribute over the curves of each ISO."""
    values: dict[float, list] = {}
    for curve in curves:
        values.setdefault(curve.iso, []).append(getattr(curve, measured))
    return {iso: np.median(at_iso, axis=0).tolist() for iso, at_iso in values.items()}


def _notes(
    fit: TransferFit,
    left_out: Mapping[int, str],
    used: Sequence[TransferCurve],
    labels: Sequence[str],
) -> list[str]:
    """Say in plain words what the pairs leave open, and which frame to shoot."""
    notes = []
    for kind, (what, advice) in _LEFT_OUT.items():
        found = [labels[i] for i, why in left_out.items() if why == kind]
        if found:
            notes.append(
                f"{len(found)} of {len(labels)} pairs left out, {what} "
                f"({_listed(found)}). {advice}."
            )
    if all(curve.whiteness < LEAST_WHITE for curve in used):
        notes.append(
            "Every residual shows a picture and not noise, so the noise comes out too "
            "high: align each clean frame with its noisy one."
        )
    if fit.disagreement:
        notes.append(
            f"The {len(used)} pairs used disagree by a factor of "
            f"{np.exp(fit.disagreement):.1f} in noise variance, and do not tell which "
            "is wrong. Check ISO, light factor and levels of each, or add another pair."
        )
    if len(fit.isos) == 1:
        notes.append(
            f"All pairs used are at ISO {fit.isos[0]:g}; elsewhere gain and read noise "
            "are taken to be proportional to ISO. Add a pair at the highest and one "
            "at the lowest ISO that you use."
        )
    notes += _loose(
        "Gain",
        fit.isos,
        fit.gain_error,
        LOOSE_GAIN,
        "too little in the pairs is bright enough for photon noise to show. Add a "
        "pair at ISO {iso:g} with bright, unclipped parts",
    )
    notes += _loose(
        "Read noise",
        fit.isos,
        fit.read_noise_error,
        LOOSE_READ,
        "photon noise is stronger even in the darkest parts. Add a pair at ISO {iso:g} "
        "with deep shadow, or a frame taken with the lens cap on (its clean frame: the "
        "mean of several)",
    )
    return notes


def _loose(
    what: str, isos: np.ndarray, errors: np.ndarray, limit: float, reason: str
) -> list[str]:
    loose = errors > limit
    if not loose.any():
        return []
    where = _listed([f"{iso:g}" for iso in isos[loose]])
    worst = int(errors.argmax())
    known = f"is known to {errors[worst]:.0%} only"
    if errors[worst] > _UNKNOWN:
        known = "is not determined, and the figure is what other sensors have"
    return [f"{what} at ISO {where} {known}: {reason.format(iso=isos[worst])}."]


def _listed(items: Sequence[str]) -> str:
    more = len(items) - _MOST_NAMED
    return ", ".join(items[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
