"""The cameras that come with the package."""

from __future__ import annotations

from skadl.noise.camera_figures import published_figures


def camera_names() -> tuple[str, ...]:
    """Names of the cameras that come with the package; costs no import of numpy.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> camera_names()[:3]
    ('SonyA7S2', 'NikonD850', 'CanonEOS5D4')
    """
    return tuple(published_figures())
