"""``skadl denoise``: RAW files in, denoised DNGs out."""

from __future__ import annotations

import importlib.util
import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skadl.commands.parameters import POSITIVE, level_options
from skadl.commands.terminal import cannot_write, failure, say, show_warning

if TYPE_CHECKING:
    from skadl.commands.denoise_files import FileResult

FORMATS = ("dng", "fits", "tiff", "npy")
UNIVERSAL = "universal"  # the model's name in JSON where none is given


class Noise(click.ParamType):
    """Three positive numbers: ISO, gain, read noise."""

    name = "ISO,GAIN,READ_NOISE"

    def convert(
        self,
        value: str,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[float, ...]:
        """Parse one ``--noise``."""
        try:
            numbers = tuple(float(word) for word in value.split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != 3 or not all(0 < x < float("inf") for x in numbers):
            self.fail(
                f"{value!r} is not three positive numbers with commas between: ISO, "
                "gain in counts per electron, read noise in counts.",
                param,
                ctx,
            )
        return numbers


_EXAMPLES = """\b
Examples:
  skadl denoise DSC0001.ARW
  skadl denoise card/ --model sony.safetensors --out denoised --jobs 2
"""


@click.command(epilog=_EXAMPLES)
@click.argument(
    "raws", nargs=-1, required=True, metavar="RAW...", type=click.Path(path_type=Path)
)
@click.option(
    "--model",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    metavar="FILE",
    help="A model that skadl saved; without it, the network that comes with skadl.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("skadl-denoised"),
    show_default=True,
    help="Folder for the results; made if it does not exist.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(FORMATS),
    help="dng: for any RAW program. fits: for Siril and others. tiff: the mosaic in "
    "16 bits. npy: the mosaic as a NumPy array, in counts.  [default: fits for FITS "
    "files, else dng]",
)
@click.option("--force", is_flag=True, help="Write results anew that are there.")
@click.option("--sensor", metavar="NAME", help="Sensor, instead of the file's camera.")
@click.option(
    "--iso",
    type=POSITIVE,
    metavar="NUMBER",
    help="Instead of the file's. A file without one needs it where its noise goes by "
    "ISO: as given, as measured, or as published.",
)
@click.option(
    "--ratio",
    type=POSITIVE,
    metavar="NUMBER",
    default=1.0,
    show_default=True,
    help="Light factor: how many times too dark the photographs are.",
)
@level_options
@click.option(
    "--noise",
    type=Noise(),
    multiple=True,
    help="Noise of the sensor, where it is known: at an ISO the gain in counts per "
    "electron and the read noise in counts. Repeat it for other ISOs.",
)
@click.option(
    "--calibration",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    metavar="FILE",
    help="What skadl calibrate measured of the camera: its noise, and the pattern that "
    "is taken off.",
)
@click.option(
    "--strength",
    type=click.FloatRange(0, 1),
    metavar="NUMBER",
    default=1.0,
    show_default=True,
    help="0 leaves an image as it is, 1 takes out all noise that is found.",
)
@click.option(
    "--self-ensemble",
    type=click.Choice(("2", "4", "8")),
    metavar="NUMBER",
    help="Average over 2, 4 or 8 flips and rotations of a photograph: a little better, "
    "so many times slower. 2 gives two thirds of what 8 gives.",
)
@click.option("--compress", is_flag=True, help="Lossless JPEG inside the DNG.")
@click.option(
    "--preview",
    is_flag=True,
    help="A JPEG beside each result: before and after, pixel for pixel. Of several "
    "files also contact-sheet.jpg.",
)
@click.option("--gps", is_flag=True, help="Carry the position into the DNG too.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    default=1,
    show_default=True,
    help="Files at a time.",
)
@click.option(
    "--memory",
    type=POSITIVE,
    metavar="GIB",
    default=1.5,
    show_default=True,
    help="For denoising one file, in GiB, beside the image itself; larger images are "
    "cut into tiles.",
)
@click.option(
    "--device",
    metavar="NAME",
    default="auto",
    show_default=True,
    help="cpu, cuda, or auto: a GPU if there is one.",
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "torch", "onnxruntime", "openvino"]),
    default="auto",
    show_default=True,
    help="What computes on a CPU; pip install 'skadl[openvino]' brings openvino.",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "int8"]),
    help="int8: in 8 bits, with OpenVINO.  [default: what suits the processor]",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
def denoise(
    raws: tuple[Path, ...],
    model: Path | None,
    out: Path,
    file_format: str | None,
    force: bool,
    sensor: str | None,
    iso: float | None,
    ratio: float,
    black_level: float | tuple[float, ...] | None,
    white_level: float | None,
    noise: tuple[tuple[float, ...], ...],
    calibration: Path | None,
    strength: float,
    self_ensemble: str | None,
    compress: bool,
    preview: bool,
    gps: bool,
    jobs: int,
    memory: float,
    device: str,
    engine: str,
    precision: str | None,
    as_json: bool,
) -> None:
    """Denoise RAW files of any camera, with the network of skadl or your own.

    RAW is a camera's RAW file or a FITS file, or a folder of them, without the folders
    inside. Each RAW file becomes a DNG of the same name in --out, for any RAW program.
    It keeps the colours, white balance, crop and EXIF of its file. Each FITS file
    becomes a FITS file with all its cards. The files given are never changed. Results
    that are there already are kept, so a run that was stopped goes on.

    How noisy a file is, skadl knows from the first of these that is there: --noise,
    --calibration, the model, the NoiseProfile of a DNG, published figures of the
    camera, the photograph itself. The line of each file says which.

    A file that cannot be denoised gets one line on standard error and no result, and
    the others go on. The exit code is 1 then, and 0 if all went well. The model may
    also be named first: skadl denoise MODEL RAW...
    """
    if compress and importlib.util.find_spec("imagecodecs") is None:
        raise click.ClickException(
            "--compress needs imagecodecs; install it with pip install 'skadl[dng]'."
        )
    from skadl.commands.denoise_files import (
        BatchOptions,
        FileResult,
        denoise_files,
        find_raw_files,
        plan_outputs,
    )
    from skadl.estimators import loading
    from skadl.noise.sensor_files import load_sensors
    from skadl.noise.sensors import with_calibration
    from skadl.support.progress import Progress
    from skadl.support.text import printable_line

    model, raws = _find_model(model, raws)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_warning  # of a checkpoint
            if model is None:
                denoiser = loading.load_universal(device=device)
            else:
                denoiser = loading.load(model, device=device)
    except (OSError, ValueError) as error:
        raise failure(error) from error
    if calibration is not None:
        try:
            known = load_sensors(calibration)
        except (OSError, ValueError) as error:
            raise failure(error) from error
        denoiser.sensors_ = with_calibration(denoiser.sensors_, known)
    if noise and denoiser.conditioning != "noise":
        raise click.UsageError(
            f"--noise is for models that know sensors by their noise, and {model.name} "
            f"has conditioning {denoiser.conditioning!r}; leave it out."
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(cannot_write(out, error)) from error

    files, empty = find_raw_files(raws)
    plan = [
        FileResult(
            folder,
            error=printable_line(f"there is no RAW file in the folder {folder}."),
        )
        for folder in empty
    ] + plan_outputs(files, out, file_format, force)
    options = BatchOptions(
        format=file_format,
        sensor=sensor,
        iso=iso,
        ratio=ratio,
        black_level=black_level,
        white_level=white_level,
        noise=noise,
        predict={
            "strength": strength,
            "self_ensemble": int(self_ensemble or 1),
            "memory_limit": memory,
            "engine": engine,
            "precision": precision,
        },
        compress=compress,
        gps=gps,
        preview=preview,
        history=_history(model, strength, self_ensemble),
    )
    # One bar: over the tiles of a lone file, else over the files.
    is_watched, is_lone = sys.stderr.isatty(), len(plan) == 1
    denoiser.set_params(verbose=int(is_watched and is_lone))
    progress = Progress(int(is_watched and not is_lone))
    done = denoise_files(denoiser, plan, options, jobs)
    results = []
    for result in progress.track("denoising", done, len(plan), unit="file"):
        results.append(result)
        for note in result.notes:
            line = printable_line(f"Note: {result.source.name}: {note}")
            progress.say(line, sys.stderr)
        if result.error:
            progress.say(f"Error: {result.error}", sys.stderr)
        elif not as_json:
            progress.say(printable_line(_outcome(result)), sys.stdout)
    previews = [result.preview for result in results if result.preview is not None]
    if len(previews) > 1:
        from skadl.commands.previews import write_sheet

        try:
            sheet = write_sheet(out, previews)
        except OSError as error:
            raise click.ClickException(cannot_write(out, error)) from error
        if not as_json:
            say([f"Previews: {sheet}"])
    elif previews and not as_json:
        say([f"Preview: {previews[0]}"])
    if as_json:
        name = UNIVERSAL if model is None else str(model)
        record = {"model": name, "files": [_record(r) for r in results]}
        click.echo(json.dumps(record, allow_nan=False))
    if any(result.error for result in results):
        raise SystemExit(1)


def _find_model(
    model: Path | None, raws: tuple[Path, ...]
) -> tuple[Path | None, tuple[Path, ...]]:
    """Take a model file from among the RAW files, where older versions had it."""
    from skadl.estimators.model_files.reader import looks_like_model_file

    models = [path for path in raws if path.is_file() and looks_like_model_file(path)]
    given = models if model is None else [model, *models]
    if len(given) > 1:
        raise click.UsageError(
            f"{given[0].name} and {given[1].name} are both models; files are denoised "
            "with one. Leave the other out."
        )
    others = tuple(path for path in raws if path not in models)
    if not others:
        raise click.UsageError(
            "there is no RAW file to denoise; name one, or a folder."
        )
    return (given[0] if given else None), others


def _history(model: Path | None, strength: float, self_ensemble: str | None) -> str:
    name = "the network that comes with skadl" if model is None else model.name
    words = [f"denoised with {name}"]
    words += [f"strength {strength:g}"] if strength < 1 else []
    words += [f"self-ensemble of {self_ensemble}"] if self_ensemble else []
    return ", ".join(words)


def _outcome(result: FileResult) -> str:
    if result.is_kept:
        return f"Kept: {result.output} (--force writes it anew)"
    words = f"{result.seconds:.1f} s"
    if result.noise is not None:
        words += f"; noise {result.noise.origin}"
    if result.noise is not None and result.noise.source in ("estimated", "assumed"):
        words += f": {result.noise.figures}"
    if result.n_hot is not None:
        words += "; fixed pattern taken off"
    if result.n_hot:
        words += f", {result.n_hot} hot pixels replaced"
    return f"Written: {result.output} ({words})"


def _record(result: FileResult) -> dict[str, Any]:
    """Give one file's result as plain values."""
    record: dict[str, Any] = {"input": str(result.source)}
    if result.error:
        return record | {"status": "failed", "error": result.error}
    record |= {"status": "kept" if result.is_kept else "written"}
    record |= {"output": str(result.output), "seconds": result.seconds}
    if result.preview is not None:
        record["preview"] = str(result.preview)
    if result.noise is not None:
        gain_error, read_noise_error = result.noise.errors
        record["noise"] = {
            "source": result.noise.source,
            "gain": result.noise.gain,
            "read_noise": result.noise.read_noise,
            "gain_error": gain_error,
            "read_noise_error": read_noise_error,
        }
    if result.n_hot is not None:
        record["hot_pixels_replaced"] = result.n_hot
    return record | {"notes": list(result.notes)}
