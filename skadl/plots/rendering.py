"""Raw images made visible: white balance, exposure and the sRGB tone curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skadl.raw.image import RawImage
from skadl.raw.tone import fitting_exposure, grey_world, linear_rgb, srgb_bytes


@dataclass(frozen=True)
class Display:
    """How linear planes become a picture; share one to compare pictures.

    Parameters
    ----------
    exposure : float
        Factor on the linear values, positive.
    white_balance : tuple of three floats
        Factors on red, green and blue, positive.
    """

    exposure: float
    white_balance: tuple[float, float, float]

    def __post_init__(self) -> None:
        factors = np.array((self.exposure, *self.white_balance), dtype=float)
        if factors.shape != (4,) or not (np.isfinite(factors) & (factors > 0)).all():
            raise ValueError(
                "exposure must be one positive number and white_balance three "
                f"(R, G, B), got {self.exposure!r} and {self.white_balance!r}."
            )


def display_settings(
    image: RawImage | np.ndarray,
    *,
    exposure: float | None = None,
    white_balance: tuple[float, float, float] | None = None,
) -> Display:
    """Choose white balance and exposure that show an image well.

    Parameters
    ----------
    image : RawImage or ndarray of shape (4, h, w)
        Planes R, Gr, Gb, B with black at 0 and white at 1. Give the cleanest image
        of those that will share the settings.
    exposure : float, optional
        Used as given. By default the 99th percentile of the balanced image becomes
        white, unless its median would then exceed middle grey (0.18): a starry
        sky, whose percentiles are all background, stays grey.
    white_balance : tuple of three floats, optional
        Used as given. By default the means of red and blue become that of green
        (grey world), within a factor of 8, and the lowest factor is 1, so that
        clipped highlights stay white.

    Returns
    -------
    Display

    Raises
    ------
    ValueError
        If the planes have another shape or hold NaN or infinity, or a given setting
        is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> planes = np.array([0.1, 0.2, 0.2, 0.05]).reshape(4, 1, 1)
    >>> display_settings(planes).white_balance
    (2.0, 1.0, 4.0)
    """
    rgb = linear_rgb(checked_planes(image))
    if white_balance is None:
        white_balance = grey_world(rgb)
    if exposure is None:
        checked = Display(1.0, white_balance)
        exposure = fitting_exposure(rgb, checked.white_balance)
    return Display(exposure, white_balance)


def render(
    image: RawImage | np.ndarray,
    *,
    display: Display | None = None,
    exposure: float | None = None,
    white_balance: tuple[float, float, float] | None = None,
) -> np.ndarray:
    """Turn a raw image into a picture for the screen, one pixel per 2x2 block.

    Greens are averaged, then white balance, exposure and the sRGB tone curve
    (IEC 61966-2-1) follow. No colour matrix is applied: colours are indicative.

    Parameters
    ----------
    image : RawImage or ndarray of shape (4, h, w)
        A `RawImage` is shown times its light factor; planes are R, Gr, Gb, B with
        black at 0 and white at 1.
    display : Display, optional
        Settings to share between pictures, from `display_settings`.
    exposure, white_balance : optional
        As in `display_settings`, instead of `display`.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8

    Raises
    ------
    ValueError
        If the planes have another shape or hold NaN or infinity, or if `display` is
        given together with one of its parts.

    Examples
    --------
    >>> import numpy as np
    >>> render(np.full((4, 1, 1), 0.18), exposure=1.0)
    array([[[118, 118, 118]]], dtype=uint8)
    """
    if display is None:
        display = display_settings(
            image, exposure=exposure, white_balance=white_balance
        )
    elif exposure is not None or white_balance is not None:
        raise ValueError("give render either display or exposure and white_balance.")
    factors = np.float32(display.exposure) * np.array(display.white_balance, np.float32)
    return srgb_bytes(linear_rgb(checked_planes(image)), factors)


def checked_planes(image: RawImage | np.ndarray) -> np.ndarray:
    """Return normalised planes (4, h, w) to show, float32, or say what is wrong."""
    planes = image.normalised() if isinstance(image, RawImage) else np.asarray(image)
    if planes.ndim != 3 or planes.shape[0] != 4 or planes.size == 0:
        raise ValueError(
            "an image to show is a RawImage or packed planes of shape (4, h, w) in "
            f"the order R, Gr, Gb, B, got an array of shape {planes.shape}."
        )
    if not np.isfinite(planes).all():
        raise ValueError("an image to show must be finite; got NaN or infinity.")
    return planes.astype(np.float32, copy=False)
