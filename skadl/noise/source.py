"""Where the noise of a photograph comes from when nobody measured its sensor.

In this order: given, measured, the file's own NoiseProfile, published figures of the
camera, estimated from the photograph itself. A photograph full of fine structure does
not tell its noise, and has little beside it: half of a typical sensor's is assumed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from skadl.noise.blind import (
    BlindNoise,
    HiddenNoiseError,
    estimate_noise,
    rounding_variance,
    typical_noise,
)
from skadl.noise.photon_transfer import FULL_WELL
from skadl.noise.published import published_noise
from skadl.noise.sensors import SensorInfo, SensorTable, in_counts_of
from skadl.raw.image import NoISOError, RawImage, UnknownISO

NOISE_SOURCES = ("given", "measured", "file", "published", "estimated", "assumed")
_FROM = {
    "given": "as given",
    "measured": "measured on pairs of this sensor",
    "file": "from the file's own NoiseProfile",
    "published": "from published figures of this camera",
    "estimated": "estimated from the image itself",
    "assumed": "assumed, as half of a typical sensor's",
}
# What is taken for the errors of log gain and log read noise of a file's profile and
# of published figures: bodies of one model differ, and so do converters.
_ASSUMED_ERRORS = (0.1, 0.2)
# From this factor on, beyond two standard errors, noise disagrees with the image; the
# image is believed where it tells its noise to this error.
_DISAGREES, _WELL_KNOWN = 1.6, 0.15
_BY_ISO = ("given", "measured", "published")
_BESIDE_NOISE = ("black_offset", "row_noise", "fixed_pattern")
_UNKNOWN = 0.5  # standard error from which a figure is not determined
_WAY_OUT = (
    "Give it by hand (predict sensor=SensorInfo(..., gain=..., read_noise=...), on the "
    "command line --noise ISO,GAIN,READ_NOISE), or measure it: shoot noisy/clean pairs "
    "and call skadl.calibrate_sensor"
)


def require_iso(image: RawImage, reason: str) -> None:
    """Refuse an image whose ISO is not known, where it is needed."""
    if isinstance(image.iso, UnknownISO):
        name = image.path.name if image.path else "the image"
        raise NoISOError(
            f"{name} does not say its ISO, and {reason}; give iso=... (on the command "
            "line --iso NUMBER)."
        )


@dataclass(frozen=True, eq=False)
class FoundNoise:
    """Noise of one image, and where it comes from."""

    sensor: SensorInfo  # with gain and read noise, and their errors where known
    source: str  # one of `NOISE_SOURCES`
    iso: float  # of the image
    notes: tuple[str, ...] = ()  # what does not fit together, a sentence each

    @property
    def gain(self) -> float:
        """At the image's ISO, in counts per electron."""
        return self.sensor.noise_at(self.iso)[0]

    @property
    def read_noise(self) -> float:
        """At the image's ISO, in counts."""
        return self.sensor.noise_at(self.iso)[1] ** 0.5

    @property
    def errors(self) -> tuple[float | None, float | None]:
        """Standard errors of the logarithms of both; None where not known."""
        tables = self.sensor.gain_error, self.sensor.read_noise_error
        return tuple(None if t is None else float(t.at(self.iso)) for t in tables)

    @property
    def origin(self) -> str:
        """Where it comes from, in words."""
        return _FROM[self.source]

    @property
    def figures(self) -> str:
        """Gain and read noise with their errors, in words."""
        gain_error, read_noise_error = self.errors
        return (
            f"gain {self.gain:.3g} counts per electron{_uncertainty(gain_error)}, "
            f"read noise {self.read_noise:.3g} counts{_uncertainty(read_noise_error)}"
        )

    @property
    def sentence(self) -> str:
        """Origin and figures, without a full stop."""
        place = "" if isinstance(self.iso, UnknownISO) else f" at ISO {self.iso:g}"
        return f"noise {self.origin}: {self.figures}{place}"


def _find(
    image: RawImage,
    given: SensorInfo | None = None,
    known: SensorTable | None = None,
    *,
    checks: bool = True,
) -> FoundNoise:
    """Find the noise of an image, without what is known beside it."""
    # A lazy image would read its file at every look.
    image = replace(image.with_mosaic(image.mosaic), noise_profile=image.noise_profile)
    if given is not None and given.knows_noise:
        return FoundNoise(given, "given", image.iso)
    found = _look_up(image, known)
    if found is not None:
        return _checked(found, image) if checks else found
    try:
        return _estimated(image, estimate_noise(image))
    except HiddenNoiseError as error:
        gain, read_noise = typical_noise(image)
        # Half of the variance: too little noise told leaves some of it, too much
        # takes texture.
        info = _info(image, gain / 2, read_noise / 2**0.5, (FULL_WELL[1],) * 2)
        return FoundNoise(info, "assumed", image.iso, (f"{error}. {_WAY_OUT}.",))
    except ValueError as error:
        raise ValueError(
            f"the noise of sensor {image.sensor!r} is not known, and the image does "
            f"not tell it: {error}. {_WAY_OUT}."
        ) from error


def find_noise(
    image: RawImage,
    given: SensorInfo | None = None,
    known: SensorTable | None = None,
    *,
    checks: bool = True,
) -> FoundNoise:
    """Find the noise of an image: given, measured, of the file, published or estimated.

    `known` are sensors with their measured noise, by name. `checks` compares what is
    not given with the image itself; where a profile or published figures contradict an
    image that tells its noise well, the image is believed. What is known of the sensor
    beside its noise, such as a fixed pattern, stays. A ValueError with what to do
    where nothing tells the noise of an image that is too small or clipped, or where
    the ISO of the image is not known and its noise goes by it.
    """
    found = _find(image, given, known, checks=checks)
    if found.source in _BY_ISO:
        require_iso(image, f"its noise {found.origin} goes by the ISO")
    beside = given
    if beside is None and known is not None and image.sensor in known:
        beside = known.get(image.sensor)
    if beside is None or found.sensor is beside:
        return found
    if any(getattr(beside, name) is not None for name in _BESIDE_NOISE):
        require_iso(image, "what is known of its sensor goes by the ISO")
    beside = in_counts_of(beside, found.sensor.span)
    fields = {name: getattr(beside, name) for name in _BESIDE_NOISE}
    return replace(found, sensor=replace(found.sensor, **fields))


def _look_up(image: RawImage, known: SensorTable | None) -> FoundNoise | None:
    """Find what was measured, is in the file or is published; None for nothing."""
    if known is not None and image.sensor in known:
        info = known.get(image.sensor)
        if info.knows_noise:
            return FoundNoise(info, "measured", image.iso)
    if image.noise_profile is not None:
        return FoundNoise(_profile_info(image), "file", image.iso)
    published = published_noise(image.sensor, image.iso, image.span)
    if published is not None:
        info = _info(image, *published, _ASSUMED_ERRORS)
        return FoundNoise(info, "published", image.iso)
    return None


def _uncertainty(error: float | None) -> str:
    if error is None:
        return ""
    known = f"to {error:.0%}" if error <= _UNKNOWN else "not determined"
    return f" ({known})"


def _info(
    image: RawImage, gain: float, read_noise: float, errors: tuple[float, float]
) -> SensorInfo:
    iso = image.iso
    return SensorInfo(
        image.cfa,
        image.black_level,
        image.white_level,
        gain={iso: gain},
        read_noise={iso: read_noise},
        gain_error={iso: errors[0]},
        read_noise_error={iso: errors[1]},
    )


def _profile_info(image: RawImage) -> SensorInfo:
    """Bring slope and intercept, as the mean of the four planes, to counts."""
    slope, intercept = (
        sum(part) / 4 for part in zip(*image.noise_profile, strict=True)
    )
    # A profile may say 0 for either; a count is not known better than to its rounding.
    gain = max(slope * image.span, 1e-6)
    read_variance = max(intercept * image.span**2, rounding_variance(image))
    return _info(image, gain, read_variance**0.5, _ASSUMED_ERRORS)


def _estimated(image: RawImage, noise: BlindNoise) -> FoundNoise:
    errors = noise.gain_error, noise.read_noise_error
    info = _info(image, noise.gain, noise.read_noise, errors)
    return FoundNoise(info, "estimated", image.iso)


def contradicts(noise: BlindNoise, sigma: float) -> bool:
    """Tell whether a standard deviation cannot be that of an image's noise."""
    apart = abs(math.log(sigma / noise.sigma))
    return apart > math.log(_DISAGREES) + 2 * noise.sigma_error


def _checked(found: FoundNoise, image: RawImage) -> FoundNoise:
    """Compare with what the image itself tells, at its median signal."""
    try:
        noise = estimate_noise(image)
    except ValueError:
        return found
    known = in_counts_of(replace(found.sensor, fixed_pattern=None), image.span)
    gain, read_variance = known.noise_at(image.iso)
    sigma = (gain * noise.signal + read_variance) ** 0.5
    if not contradicts(noise, sigma):
        return found
    apart = abs(math.log(sigma / noise.sigma))
    more = "more" if sigma > noise.sigma else "less"
    note = (
        f"the noise {found.origin} is {math.exp(apart):.1f} times {more} than "
        "the image itself shows"
    )
    if found.source == "measured" or noise.sigma_error > _WELL_KNOWN:
        check = "check the ISO, and whether the file was processed before"
        return replace(found, notes=(f"{note}; {check}.",))
    estimated = _estimated(image, noise)
    return replace(estimated, notes=(f"{note}, which is believed instead.",))
