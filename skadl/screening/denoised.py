"""Pair checks on the denoised frame: shift and light at a tenth of the noise.

The denoiser is the caller's, any that never saw the pair; see
:mod:`skadl.screening.witness` for why its errors do not pass for faults of the pair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from skadl.noise.noise_level import NoiseLevel, noise_level
from skadl.noise.residual import TransferCurve, noise_of_pair
from skadl.raw.image import RawImage
from skadl.raw.noise_profile import check_noise_profile
from skadl.raw.pair import RawPair
from skadl.screening.alignment import Shift
from skadl.screening.measurements import PairMeasurements
from skadl.screening.witness import Evidence, comparable, compare_planes, middle_of

Denoiser = Callable[[RawImage], np.ndarray]
"""Turns an image, whose `noise_profile` says its noise, into normalised planes."""

_CERTAIN = 4.0  # standard errors before a shift is believed
_SMALL = 0.7  # pixels, up to which a shift of denoised planes is measured right
_NO_SHIFT = 2.0  # standard errors, within which a frame is where it should be


def sharpen(
    measured: PairMeasurements, pair: RawPair, denoiser: Denoiser
) -> PairMeasurements:
    """Measure a pair in memory once more, on its denoised frame.

    What is known better so takes the place of what was measured under noise. ValueError
    if the denoiser returns no planes of the image's shape.
    """
    curve = measured.analysis.curve
    if not len(curve.signal):
        return measured
    noise = noise_shown(curve, pair.noisy)
    image = middle_of(pair.noisy)
    noisy, clean = image.normalised(), middle_of(pair.clean).normalised()
    told = replace(image, noise_profile=_profile(noise, image))
    denoised = np.asarray(denoiser(told))
    if denoised.shape != noisy.shape or not np.isfinite(denoised).all():
        raise ValueError(
            f"the denoiser must return finite planes of shape {noisy.shape}, as "
            f"RawImage.normalised gives them, got {denoised.dtype} of shape "
            f"{denoised.shape}."
        )
    known, is_sky = comparable(pair, noisy, clean, noise)
    evidence = compare_planes(noisy, clean, denoised, noise, known)
    if is_sky:  # whose shift is that of the stars, and whose glow drifts
        return replace(measured, evidence=evidence)
    return replace(
        measured,
        evidence=evidence,
        **_shift(measured.shift, evidence),
        **_light(measured, evidence, clean, noise),
    )


def noise_shown(curve: TransferCurve, image: RawImage) -> NoiseLevel:
    """Noise of an image as its pair shows it, without other pairs."""
    spread = np.sqrt(curve.variance)
    gain = float(np.median(curve.variance / np.maximum(curve.signal, spread)))
    found = noise_of_pair(curve, gain, float(curve.variance.min()))
    return noise_level(*found, image.ratio, image.span)


def _profile(noise: NoiseLevel, image: RawImage) -> tuple | None:
    try:
        return check_noise_profile(
            [noise.shot / image.ratio, noise.read / image.ratio**2]
        )
    except ValueError:  # more noise than light: no sensor's
        return None


def _shift(shift: Shift, evidence: Evidence) -> dict[str, Shift]:
    """Take the shift of the denoised frame where it is small and known better."""
    length = float(np.hypot(evidence.rows, evidence.columns))
    is_better = evidence.shift_error < shift.error
    # Far shifts and sharp edges are told better by the frames themselves.
    if not is_better or length > _SMALL or shift.length > _SMALL:
        return {}
    sigmas = length / evidence.shift_error
    if _NO_SHIFT < sigmas < _CERTAIN or (shift.sigmas > _CERTAIN and sigmas > _CERTAIN):
        return {}
    return {
        "shift": Shift(
            # Of the noisy frame relative to the clean one, not the reverse.
            rows=-evidence.rows,
            columns=-evidence.columns,
            error=evidence.shift_error,
            sigmas=sigmas if sigmas > _CERTAIN else 0.0,
            energy=evidence.shift_share,
        )
    }


def _light(
    measured: PairMeasurements, evidence: Evidence, clean: np.ndarray, noise: NoiseLevel
) -> dict[str, float]:
    """Take the exposure against the denoised frame where it is known better."""
    brightness = 1 / max(evidence.exposure, 1e-3)
    error = evidence.exposure_error * brightness**2
    if not error < measured.brightness_error or measured.contrast is not None:
        return {}
    variance = np.mean(noise.shot * np.maximum(clean, 0) + noise.read)
    contrast = np.mean(np.square(clean, dtype=float)) / max(float(variance), 1e-300)
    energy = (brightness - 1) ** 2 * float(contrast)
    return {
        "brightness": brightness,
        "brightness_error": error,
        "brightness_energy": energy,
    }
