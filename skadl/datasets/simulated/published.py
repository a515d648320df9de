"""The published figures of the cameras that come with the package, as they are."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def published_figures() -> dict[str, dict[str, Any]]:
    """Entries of ``camera_figures.json`` by camera; a new camera is one more there."""
    path = files("skadl.datasets.simulated").joinpath("camera_figures.json")
    return json.loads(path.read_text("utf-8"))["cameras"]


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
