"""The house: which room may import which, and what opening the door costs."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import skadl

PACKAGE = Path(skadl.__file__).parent
# Lowest first: a room imports only from tiers below its own.
TIERS = (
    {"support"},
    {"raw"},
    {"noise", "evaluation"},
    {"screening", "data", "network"},
    {"datasets", "adaptation", "prediction"},
    {"estimators", "plots"},
    {"commands"},
)
TIER_OF = {room: tier for tier, rooms in enumerate(TIERS) for room in rooms}
BANS = {
    "adaptation": ("skadl.noise", "skadl.screening"),
    "evaluation": ("skadl.estimators",),
    "": ("benchmarks",),  # the whole package
}
MOST_LINES = 430


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
INSIDE = [name for name in MODULES if name.count(".") > 0 and name != "skadl.__main__"]


@cache
def imports(module: str) -> frozenset[str]:
    """Modules that a module imports anywhere, also in a function or for types."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            found.add(node.module)
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & MODULES.keys()  # from package import module
    return frozenset(found - {"skadl", module})


def room_of(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("module", INSIDE)
def test_module__imports__from_rooms_below_its_own(module):
    room = room_of(module)
    wrong = [
        other
        for other in imports(module)
        if other.startswith("skadl.")
        and room_of(other) != room
        and TIER_OF[room_of(other)] >= TIER_OF[room]
    ]
    assert not wrong, f"{module} imports {wrong}, which lie above it or beside it"


@pytest.mark.parametrize("room", BANS)
def test_room__bans__are_kept(room):
    for module in MODULES:
        if module.startswith(f"skadl.{room}"):
            wrong = [m for m in imports(module) if m.startswith(BANS[room])]
            assert not wrong, f"{module} imports {wrong}"


def test_modules__imports__hold_no_circle():
    # A package's face imports its modules; they do not count it as a step back.
    def walk(module: str, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if module in path:
            yield (*path[path.index(module) :], module)
        elif module not in done:
            for other in imports(module) & MODULES.keys():
                yield from walk(other, (*path, module))
            done.add(module)

    done: set[str] = set()
    circles = [circle for module in INSIDE for circle in walk(module, ())]
    assert not circles


def test_house__size__stays_readable():
    entries = {path.name for path in PACKAGE.iterdir()} - {"__pycache__", "py.typed"}
    assert entries - {"__init__.py", "__main__.py"} == set(TIER_OF)
    for room in TIER_OF:
        tree = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
        assert len(ast.get_docstring(tree)) > 20, f"what is {room}?"
    for name, path in MODULES.items():
        n_lines = len(path.read_text(encoding="utf-8").splitlines())
        assert n_lines <= MOST_LINES, f"{name} has {n_lines} lines: move the seam"


def loaded_by(*words: str) -> set[str]:
    """Top-level modules in memory after a Python process has run these words."""
    code = "import atexit, sys; atexit.register(lambda: print(*sys.modules)); "
    path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.getenv("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", code + words[0], *words[1:]],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


def test_import__skadl__loads_nothing_heavy():
    loaded = loaded_by("import skadl; skadl.__version__, dir(skadl)")
    assert not loaded & {"torch", "sklearn", "scipy", "numpy", "click"}


COMMAND = "from skadl.commands.main import main; main(standalone_mode=False)"


def test_command__help__loads_nothing_heavy():
    assert not loaded_by(COMMAND, "--help") & {"torch", "sklearn", "scipy", "numpy"}


COMMANDS = [
    "app",
    "calibrate",
    "check",
    "datasets",
    "demo",
    "denoise",
    "fit",
    "info",
    "plan",
]


@pytest.mark.parametrize(
    "words",
    [
        ["plan", "--iso", "100-6400"],
        ["datasets"],
        *([command, "--help"] for command in COMMANDS),
    ],
    ids=" ".join,
)
def test_command__without_a_network__loads_no_torch(words):
    assert "torch" not in loaded_by(COMMAND, *words)


def test_face__every_name__is_what_type_checkers_see():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(n for n in tree.body if isinstance(n, ast.If))
    seen = {alias.asname: node.module for node in block.body for alias in node.names}
    assert sorted(seen) == sorted(set(skadl.__all__) - {"__version__"})
    for name, home in seen.items():
        assert getattr(skadl, name) is getattr(sys.modules[home], name)
    assert {*seen, *TIER_OF, "__version__"} <= set(dir(skadl))


def test_face__unknown_name__is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Denoiser'"):
        skadl.Denoiser  # noqa: B018
