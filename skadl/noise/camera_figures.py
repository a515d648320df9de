"""The published figures of cameras, as they are; costs no import of numpy."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def published_figures() -> dict[str, dict[str, Any]]:
    """Entries of ``camera_figures.json`` by camera; a new camera is one more there."""
    path = files("skadl.noise").joinpath("camera_figures.json")
    return json.loads(path.read_text("utf-8"))["cameras"]
