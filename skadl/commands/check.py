"""``skadl check``: what is wrong with the pairs of a folder, before any training."""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skadl.commands.parameters import POSITIVE, pair_options
from skadl.commands.terminal import cannot_write, failure, note, say, show_warning

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from skadl.raw.image import RawImage
    from skadl.raw.pair import RawPair
    from skadl.screening.denoised import Denoiser
    from skadl.screening.result import PairCheck

_TO_UNDERSCORE = str.maketrans("/\\ ", "___")  # in the names of pictures


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--iso-range",
    nargs=2,
    type=POSITIVE,
    metavar="LOW HIGH",
    help="ISOs that you will denoise at: says which are missing.",
)
@pair_options
@click.option(
    "--pictures",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write a picture of each pair that is not good; made if it is not there.",
)
@click.option(
    "--denoiser/--no-denoiser",
    "denoises",
    default=True,
    show_default=True,
    help="Check the denoised frames, too, which skadl's own network makes: finds "
    "smaller faults under noise, and takes some seconds more.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
def check(
    folder: Path,
    iso_range: tuple[float, float] | None,
    sensor: str | None,
    iso: float | None,
    ratio: float | None,
    black_level: float | tuple[float, ...] | None,
    white_level: float | None,
    register: bool | None,
    pictures: Path | None,
    denoises: bool,
    as_json: bool,
) -> None:
    """Check the noisy/clean pairs of RAW files in FOLDER, before any training.

    Says for each pair whether it is good, doubtful or bad, and what to do: misaligned,
    something moved, wrong brightness or levels, clipped, wrong Bayer order, identical
    or exchanged frames, noise that does not fit the ISO. FOLDER is laid out as for
    `skadl fit`.

    Ends with exit code 0 if no pair is bad, 1 if one is, if fewer than two of a camera
    are left, or if a file could not be used. Doubtful pairs do not count.
    """
    if pictures is not None and importlib.util.find_spec("matplotlib") is None:
        raise click.ClickException(
            "pictures need matplotlib, which is not installed. Install it with: "
            'python -m pip install "skadl[plot]"'
        )
    from skadl.data.folders.load import load_pairs
    from skadl.screening.check import check_pairs

    verbose = int(sys.stderr.isatty())
    with warnings.catch_warnings():
        warnings.showwarning = show_warning
        try:
            pairs = load_pairs(
                folder,
                sensor=sensor,
                iso=iso,
                ratio=ratio,
                black_level=black_level,
                white_level=white_level,
                register=register,
                verbose=verbose,
            )
            lit = [pair for pair in pairs if not _is_dark(pair)]
            n_dark = len(pairs) - len(lit)
            if n_dark and not lit:
                raise ValueError(_dark_advice(n_dark, folder))
            checked = lit if n_dark else pairs
            result = check_pairs(
                checked,
                iso_range=iso_range,
                denoiser=universal_denoiser() if denoises else None,
                verbose=verbose,
            )
        except (OSError, ValueError) as error:
            raise failure(error) from error
    if n_dark:
        note(_dark_advice(n_dark, folder))
    drawn = [] if pictures is None else _draw(checked, result, pictures)
    if as_json:
        record = result.as_dict() | {
            "problems": pairs.facts()["problems"],
            "notes": list(pairs.notes),
            "pictures": [str(path) for path in drawn],
        }
        click.echo(json.dumps(record, allow_nan=False))
    else:
        say([pairs.summary(), "", result.summary()])
        say(f"Picture: {path}" for path in drawn)
        if pictures is None and any(pair.verdict != "good" for pair in result.pairs):
            say(["To see them, add: --pictures pictures"])
    if not result.is_good or pairs.problems:
        raise click.exceptions.Exit(1)


def universal_denoiser() -> Denoiser:
    """Denoise with the network that comes with skadl, told the noise of the pair."""
    from numpy import float32

    from skadl.estimators.loading import load_universal
    from skadl.noise.noise_level import info_of, level_of_profile
    from skadl.support.threads import limited_threads

    model = load_universal()

    def denoise(image: RawImage) -> np.ndarray:
        info = info_of(level_of_profile(image), image)
        with warnings.catch_warnings(), limited_threads(1):
            warnings.simplefilter("ignore")  # what it says of images is no one's here
            mosaic = model.predict(image, sensor=info, dtype=float32)
        return image.with_mosaic(mosaic.mosaic).normalised()

    return denoise


def _is_dark(pair: RawPair) -> bool:
    """Whether a pair was taken with the lens cap on."""
    from skadl.noise.calibration_frames import is_dark

    try:
        # The clean frame has less noise, and shows what there is.
        return is_dark(pair.clean) and is_dark(pair.noisy)
    except (OSError, ValueError):  # which the check itself reports
        return False


def _dark_advice(n_dark: int, folder: Path) -> str:
    return (
        f"{n_dark} of the pairs are dark frames, taken with the lens cap on: they show "
        "no picture, so they are no pairs to train on, but they calibrate the camera. "
        f"Measure it with: skadl calibrate {shlex.quote(str(folder))} --out "
        "camera.safetensors"
    )


def _draw(pairs: Sequence[RawPair], result: PairCheck, folder: Path) -> list[Path]:
    from skadl.plots import draw_pair
    from skadl.support.writing import atomic_write

    paths = []
    for checked in result.pairs:
        # Of a pair without figures nothing can be drawn.
        if checked.verdict == "good" or checked.noise is None:
            continue
        name = str(Path(checked.name).with_suffix("")).translate(_TO_UNDERSCORE)
        path = folder / f"{checked.index:03d}_{name}.png"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            figure = draw_pair(pairs[checked.index], checked)
            with atomic_write(path) as partial:
                figure.savefig(partial, format="png")
        except OSError as error:
            text = cannot_write(folder, error).replace("--out", "--pictures")
            raise click.ClickException(text) from error
        paths.append(path)
    return paths
