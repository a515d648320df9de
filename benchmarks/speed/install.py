"""How much room an installation takes: the package, and all that it brings along.

Sizes are those of the files in this environment, so install skadl as a user would.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import click
import pandas as pd
from packaging.requirements import Requirement

from benchmarks.result_files import DEFAULT_FOLDER, write_markdown

MOST_LISTED = 6
READING = (
    "GB are 10^9 bytes of files, compiled Python included, without the Python itself. "
    "`others` are all packages that the extra needs beside those listed."
)


@click.command(name="install")
@click.option("--extra", default="plot", help="Of skadl, that is installed with it.")
@click.option("--folder", type=Path, default=DEFAULT_FOLDER)
def main(extra: str, folder: Path) -> None:
    """Add up the files of skadl and of what it needs."""
    sizes = {name: size_of(found) for name, found in needed("skadl", extra).items()}
    sizes = dict(sorted(sizes.items(), key=lambda item: -item[1]))
    largest = dict(list(sizes.items())[:MOST_LISTED])
    rows = {**largest, "others": sum(sizes.values()) - sum(largest.values())}
    rows["all"] = sum(sizes.values())
    table = pd.DataFrame(
        {"package": rows.keys(), "GB": [f"{size / 1e9:.2f}" for size in rows.values()]}
    )
    sections = {"Room on the disk": table, "Reading": READING}
    write_markdown(folder / "install.md", "An installation", sections, os.getloadavg())
    click.echo((folder / "install.md").read_text(encoding="utf-8"))


def needed(name: str, extra: str = "") -> dict[str, Distribution]:
    """Find a package and all that it needs, each once, as installed here."""
    found: dict[str, Distribution] = {}
    waiting = [(name, frozenset({extra} - {""}))]
    while waiting:
        name, extras = waiting.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in found:
            continue
        try:
            found[key] = distribution(name)
        except PackageNotFoundError as error:
            raise click.ClickException(f"{name} is not installed here.") from error
        waiting += list(_requirements(found[key], extras))
    return found


def _requirements(
    found: Distribution, extras: frozenset[str]
) -> Iterator[tuple[str, frozenset[str]]]:
    for line in found.requires or ():
        asked = Requirement(line)
        marker = asked.marker
        if marker is None or any(
            marker.evaluate({"extra": extra}) for extra in extras or {""}
        ):
            yield asked.name, frozenset(asked.extras)


def size_of(found: Distribution) -> int:
    """Bytes of the files of a package that are there."""
    paths = (Path(found.locate_file(file)) for file in found.files or ())
    return sum(path.stat().st_size for path in paths if path.is_file())


if __name__ == "__main__":
    main()
