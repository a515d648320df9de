"""``skadl fit``: folders of pairs in, a model out."""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skadl.commands.parameters import pair_options
from skadl.commands.terminal import cannot_write, failure, note, say, show_warning

if TYPE_CHECKING:
    from skadl.adaptation.report.report import DataSelectionReport
    from skadl.data.pool import SourcePool

SIMULATED_PAIRS, SIMULATED_SIDE = 40, 256  # of each simulated camera
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
@pair_options
@click.option(
    "--calibration",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    metavar="FILE",
    help="What skadl calibrate measured of the camera on dark frames and flats.",
)
@click.option(
    "--iterations",
    type=click.IntRange(0),
    metavar="N",
    help="Training steps before fine-tuning; fewer are faster.  [default: 1000]",
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
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="File that the fit is kept in while it runs. By default MODEL.checkpoint.",
)
@click.option(
    "--checkpoint-every",
    type=click.FloatRange(0),
    metavar="SECONDS",
    default=120.0,
    show_default=True,
    help="Least time between two writings of it.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on from the checkpoint of the same command that was stopped.",
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
    black_level: float | tuple[float, ...] | None,
    white_level: float | None,
    calibration: Path | None,
    register: bool | None,
    iterations: int | None,
    seed: int,
    device: str,
    assignments: tuple[str, ...],
    checkpoint: Path | None,
    checkpoint_every: float,
    resume: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Fit a denoiser on the noisy/clean pairs of RAW files in FOLDER.

    FOLDER has a folder for each scene, with its noisy frames and a longer exposure, or
    a burst of equal frames, in any order. Or it has the folders noisy and clean, with
    files of the same names, or a table pairs.csv with the columns noisy and clean.
    About twenty pairs are usual, at the ISOs that the camera is used at.

    Pairs of other cameras can make the denoiser better; skadl takes of them what helps.
    Files that cannot be used are listed with the reason, and the rest goes on.

    A fit that was stopped or killed goes on with --resume, and ends as one that was
    never stopped. Until then skadl denoise --model CHECKPOINT uses the network so far.
    The checkpoint is removed when the model is written.
    """
    _check_output(out, force)
    checkpoint = checkpoint or out.with_name(f"{out.name}.checkpoint")
    _check_checkpoint(checkpoint, out, resume, force)
    from skadl.commands.parameters import estimator_parameters, read_assignments
    from skadl.data.folders.load import load_pairs
    from skadl.data.pool import SourcePool
    from skadl.estimators.adl import ADLDenoiser
    from skadl.noise.sensor_files import load_sensors

    try:
        given = read_assignments(assignments)
        if iterations is not None:
            # From random weights there is no second stage without sources.
            is_alone = given.get("start") == "random" and not (
                sources or simulated_sources
            )
            given["n_pretrain_iter" if is_alone else "n_iter"] = iterations
        parameters = estimator_parameters({"device": device, **given})
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    verbose = int(sys.stderr.isatty())
    shown: set[str] = set()  # that need not be said again

    def show(message: Warning, *where: object) -> None:
        shown.add(str(message))
        show_warning(message)

    with warnings.catch_warnings():
        warnings.showwarning = show
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
            others = [load_pairs(place, verbose=verbose) for place in sources]
            if not as_json:
                say(loaded.summary() for loaded in (pairs, *others))
                say([""])
            every_source = [pair for loaded in others for pair in loaded]
            if simulated_sources:
                every_source += _simulate(seed)
            pool = SourcePool(every_source) if every_source else None
            denoiser = ADLDenoiser(**parameters, random_state=seed, verbose=verbose)
            known = None if calibration is None else load_sensors(calibration)
            denoiser.fit(
                pairs,
                source_pairs=pool,
                meta=known,
                checkpoint=checkpoint,
                checkpoint_every=checkpoint_every,
            )
            denoiser.save(out)
            checkpoint.unlink(missing_ok=True)
        except (ArithmeticError, OSError, TypeError, ValueError) as error:
            raise failure(error) from error
        except KeyboardInterrupt:
            note(_stopped(checkpoint))
            raise
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
    notes = [sentence for sentence in report.notes if sentence not in shown]
    say([replace(report, notes=notes).summary(), "", f"Written: {out}"])
    say([f"Try next: skadl denoise RAW... --model {shlex.quote(str(out))}"])
    if pool is None:
        say(["Or fit again with pairs of other cameras, which can make it better: add"])
        say(["--simulated-sources or --sources FOLDER."])


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


def _check_checkpoint(checkpoint: Path, out: Path, resume: bool, force: bool) -> None:
    if checkpoint == out:
        raise click.UsageError("--checkpoint and --out are the same file.")
    if resume and not checkpoint.exists():
        note(f"there is no checkpoint {str(checkpoint)!r}: the fit begins anew.")
    elif checkpoint.exists() and not resume:
        if not force:
            raise click.ClickException(
                f"there is a checkpoint {str(checkpoint)!r} of a fit that was stopped. "
                "Add --resume to go on from it, or --force to begin anew."
            )
        checkpoint.unlink()


def _stopped(checkpoint: Path) -> str:
    """Say what there is of a fit that was stopped, and how to go on."""
    from skadl.estimators.model_files.reader import read_model_file

    try:
        training = read_model_file(checkpoint).training
    except (OSError, ValueError):
        training = None
    if training is None:
        return "stopped before the first checkpoint was written: nothing is kept."
    return (
        f"stopped; {str(checkpoint)!r} holds the fit up to {training.place}. The same "
        "command with --resume goes on from there; skadl denoise RAW... --model "
        f"{shlex.quote(str(checkpoint))} uses the network so far."
    )


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
