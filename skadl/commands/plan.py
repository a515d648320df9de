"""``skadl plan``: which pairs to shoot for a sensor."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skadl.commands.parameters import level_options
from skadl.commands.terminal import failure, note, say, show_warning

if TYPE_CHECKING:
    from skadl.raw.pair import RawPair


@click.command()
@click.option(
    "--iso",
    "iso_range",
    required=True,
    metavar="LOW-HIGH",
    help="Lowest and highest ISO of the images to denoise, such as 100-12800.",
)
@click.option(
    "--ratio",
    "ratios",
    default="1",
    show_default=True,
    metavar="R,...",
    help="Light factors: how many times too short noisy frames are exposed.",
)
@click.option(
    "--scenes",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Different scenes to spread over the settings.",
)
@click.option(
    "--stops",
    default="1",
    show_default=True,
    help="Steps between the ISOs, in stops: 1 doubles the ISO, 1/3 is a third of it.",
)
@click.option(
    "--time",
    "base_time",
    metavar="SECONDS",
    help="Time that exposes the scene well at the lowest ISO, such as 2 or 1/30.",
)
@click.option(
    "--camera",
    metavar="NAME",
    help="Take gain and read noise of a camera that skadl simulates (see skadl demo).",
)
@click.option(
    "--pairs",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of pairs shot already: say what is missing in them.",
)
@level_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
def plan(
    iso_range: str,
    ratios: str,
    scenes: int,
    stops: str,
    base_time: str | None,
    camera: str | None,
    folder: Path | None,
    black_level: float | tuple[float, ...] | None,
    white_level: float | None,
    as_json: bool,
) -> None:
    """Say which pairs to shoot for a new camera, and what is missing in a folder.

    A table of ISOs and light factors, with the exposure of the noisy frame and how
    many frames to average so that the clean one is 10 dB better.
    """
    arguments = dict(
        iso_range=_numbers("--iso", iso_range, "-", 2),
        ratios=_numbers("--ratio", ratios, ","),
        stops=_numbers("--stops", stops, ",", 1)[0],
        base_time=base_time and _numbers("--time", base_time, ",", 1)[0],
    )
    from skadl.data.capture.recommend import recommend_captures
    from skadl.datasets import camera_info

    with warnings.catch_warnings():
        warnings.showwarning = show_warning
        try:
            info = camera and camera_info(camera)
            levels = {"black_level": black_level, "white_level": white_level}
            pairs = folder and _load(folder, levels)
            result = recommend_captures(
                n_scenes=scenes, info=info, pairs=pairs, **arguments
            )
        except (OSError, ValueError) as error:
            raise failure(error) from error
    if as_json:
        gaps = [asdict(gap) for gap in result.gaps]
        record = {"settings": result.rows(), "gaps": gaps, "noise": result.noise}
        click.echo(json.dumps(record, allow_nan=False))
    else:
        say([result.summary()])


def _load(folder: Path, levels: dict[str, Any]) -> Sequence[RawPair]:
    from skadl.data.folders.load import load_pairs

    loaded = load_pairs(folder, **levels)
    for problem in loaded.problems:
        note(f"{problem.path} is left out: {problem.reason}")
    return loaded


def _numbers(
    option: str, text: str, separator: str, n_requested: int | None = None
) -> list[float]:
    """Read numbers or fractions, or say what the option takes."""
    try:
        values = [float(Fraction(part.strip())) for part in text.split(separator)]
    except (ValueError, ZeroDivisionError, OverflowError):
        values = []
    if not values or n_requested not in (None, len(values)):
        counts = {1: "one number", 2: "two numbers, as in 100-12800"}
        raise click.UsageError(
            f"{option} takes {counts.get(n_requested, 'numbers with commas between')}, "
            f"got {text!r}."
        )
    return values
