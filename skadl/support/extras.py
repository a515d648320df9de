"""Packages that only an extra of skadl installs."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def import_extra(module: str, extra: str, what: str) -> ModuleType:
    """Import a module for `what`, or say how to install it."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"{what} needs {package}, which is not installed; get it with "
            f'pip install "skadl[{extra}]".'
        ) from error
