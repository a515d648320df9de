"""A package's face whose names are loaded when they are first used (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import Any


def attach(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a package.

    `homes` maps modules to their names that the package shows, with spaces between.
    """
    home_of = {name: home for home, names in homes.items() for name in names.split()}

    def load(name: str) -> Any:
        if name in home_of:
            value = getattr(import_module(home_of[name]), name)
        elif name.isidentifier() and find_spec(f"{package}.{name}"):  # a room
            value = import_module(f"{package}.{name}")
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, value)  # from now on without this function
        return value

    def names() -> list[str]:
        rooms = {module.name for module in iter_modules(sys.modules[package].__path__)}
        special = {name for name in vars(sys.modules[package]) if name[:2] == "__"}
        return sorted(rooms - {"__main__"} | special | home_of.keys())

    return load, names, sorted(home_of)
