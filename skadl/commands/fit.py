"""``skadl fit``: folders of pairs in, a model out."""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skadl.commands.terminal import cannot_write, failure, say, show_warning

if TYPE_CHECKING:
    from skadl.adaptation.report.report import DataSelectionReport
    from skadl.data.folders.load import LoadedPairs
    from skadl.data.pool import SourcePool

SIMULATED_PAIRS, SIMULATED_SIDE = 40, 256  # of each simulated camera
_POSITIVE = click.FloatRange(0, min_open=True)
_EXAMPLES = """\b
Examples:
  skadl fit pairs --out sony.safetensors
  skadl fit pairs --sources nikon --sources canon --out sony.safetensors
  skadl fit pairs --simulated-sources --iterations 1800 --out sony.safetensors
"""


@click.command(epilog=_EXAMPLES)
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="MODEL",
    help="File for the model, by custom ending in .safetensors.",
)
@click.option(
    "--sources",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="FOLDER",
    help="Pairs of other cameras, in a folder like FOLDER; may be repeated.",
)
@click.option(
    "--simulated-sources",
    is_flag=True,
    help="Add pairs of simulated cameras to the sources.",
)
@click.option("--sensor", metavar="NAME", help="Sensor, instead of the files' camera.")
@click.option("--iso", type=_POSITIVE, metavar="NUMBER", help="Instead of the files'.")
@click.option(
    "--ratio",
    type=_POSITIVE,
    metavar="NUMBER",
    help="Light factor: how many times less light the noisy frames got, instead of "
    "what the exposure says.",
)
@click.option(
    "--register/--no-register",
    default=None,
    help="Move the frames of a burst over one another by their stars, before they are "
    "averaged.  [default: of FITS files that show stars]",
)
@click.option(
    "--iterations", type=click.IntRange(0), metavar="N", help="Of adaptation."
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    metavar="N",
    default=0,
    show_default=True,
    help="The same seed gives the same model on the same machine.",
)
@click.option(
    "--device",
    metavar="NAME",
    default="auto",
    show_default=True,
    help="cpu, cuda, or auto: a GPU if there is one.",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="Any other parameter of ADLDenoiser; may be repeated.",
)
@click.option("--force", is_flag=True, help="Replace a file that is there already.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
def fit(
    folder: Path,
    out: Path,
    sources: tuple[Path, ...],
    simulated_sources: bool,
    sensor: str | None,
    iso: float | None,
    ratio: float | None,
    register: bool | None,
    iterations: int | None,
    seed: int,
    device: str,
    assignments: tuple[str, ...],
    force: bool,
    as_json: bool,
) -> None:
    """Fit a denoiser on the noisy/clean pairs of RAW files in FOLDER.

    A folder for each scene, with its noisy frames and a longer exposure (or a burst
    of equal frames) in any order; or the folders noisy and clean with files of the
    same names; or a table pairs.csv with the columns noisy and clean. About twenty
    pairs, over the ISOs that the camera is to be used at, will do.

    Pairs of other cameras can make the denoiser better; skadl takes what helps of
    them. Files that cannot be used are listed with the reason, and the rest goes on.
    """
    _check_output(out, force)
    from skadl.commands.parameters import estimator_parameters, read_assignments
    from skadl.data.folders.load import load_pairs
    from skadl.data.pool import SourcePool
    from skadl.estimators.adl import ADLDenoiser

    try:
        given = read_assignments(assignments)
        if iterations is not None:
            given["n_iter"] = iterations
        parameters = estimator_parameters({"device": device, **given})
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    verbose = int(sys.stderr.isatty())
    with warnings.catch_warnings():
        warnings.showwarning = show_warning
        try:
            pairs = load_pairs(
                folder,
                sensor=sensor,
                iso=iso,
                ratio=ratio,
                register=register,
                verbose=verbose,
            )
            others = [load_pairs(place, verbose=verbose) for place in sources]
            if not as_json:
                say(loaded.summary() for loaded in (pairs, *others))
                say(_advice(pairs, bool(others) or simulated_sources))
            every_source = [pair for loaded in others for pair in loaded]
            if simulated_sources:
                every_source += _simulate(seed)
            pool = SourcePool(every_source) if every_source else None
            denoiser = ADLDenoiser(**parameters, random_state=seed, verbose=verbose)
            denoiser.fit(pairs, source_pairs=pool)
            denoiser.save(out)
        except (ArithmeticError, OSError, TypeError, ValueError) as error:
            raise failure(error) from error
    report = denoiser.selection_report_
    if as_json:
        record = {
            "model": str(out),
            "target": pairs.facts(),
            "sources": [loaded.facts() for loaded in others],
            "source_domains": _domains(pool),
            "parameters": {**parameters, "random_state": seed},
            "report": _counts(report),
        }
        click.echo(json.dumps(record, allow_nan=False))
        return
    say([report.summary(), "", f"Written: {out}"])
    say([f"Try next: skadl denoise RAW... --model {shlex.quote(str(out))}"])


def _check_output(out: Path, force: bool) -> None:
    """Find out before hours of training whether the model can be written."""
    if out.exists() and not force:
        raise click.ClickException(
            f"there is a file {str(out)!r} already. Choose another with --out, or add "
            "--force to replace it."
        )
    if not out.parent.is_dir():
        raise click.ClickException(
            f"there is no folder {str(out.parent)!r} for the model; create it first."
        )
    try:
        tempfile.TemporaryFile(dir=out.parent).close()
    except OSError as error:
        raise click.ClickException(cannot_write(out.parent, error)) from error


def _advice(pairs: LoadedPairs, has_sources: bool) -> list[str]:
    if has_sources:
        return [""]
    return [
        "No sources: trained on these pairs alone. --simulated-sources or --sources "
        "FOLDER",
        "can make the denoiser better.",
        "",
    ]


def _simulate(seed: int) -> list:
    from skadl.datasets import camera_names, make_domain

    return [
        pair
        for index, name in enumerate(camera_names())
        for pair in make_domain(
            name,
            SIMULATED_PAIRS,
            size=SIMULATED_SIDE,
            random_state=(seed + 1 + index) % 2**32,
        )
    ]


def _domains(pool: SourcePool | None) -> dict[str, int]:
    return {name: len(pairs) for name, pairs in pool.domains.items()} if pool else {}


def _counts(report: DataSelectionReport) -> dict[str, Any]:
    """Give the report's counts as plain values."""
    return {
        "offered": report.n_offered,
        "accepted": report.n_accepted,
        "acceptance_rate": report.acceptance_rate,
        "domains": [vars(row) for row in report.by_domain()],
        "reasons": report.by_reason(),
        "stages": [vars(stage) for stage in report.stages],
        "notes": list(report.notes),
    }
