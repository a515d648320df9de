"""Many RAW files denoised into a folder: what is found, what it becomes, what failed.

Each file is read, denoised and written by itself, so that a bad one costs no other.
"""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from skadl.estimators.adl import ADLDenoiser
from skadl.noise.sensors import SensorInfo
from skadl.raw.dng import write_dng
from skadl.raw.image import RawImage
from skadl.raw.imagefile import write_image
from skadl.raw.rawfile import RAW_SUFFIXES, read_raw
from skadl.support.text import printable_line

FORMATS = ("dng", "tiff", "npy")


@dataclass(frozen=True, eq=False)
class BatchOptions:
    """How every file of a batch is denoised and written.

    Parameters
    ----------
    format : {"dng", "tiff", "npy"}, default="dng"
    sensor : str, optional
        That the model is to take a file's camera for.
    iso : float, optional
        Instead of a file's own.
    ratio : float, default=1
        Light factor, see `RawImage`.
    noise : sequence of three floats each, default=()
        ISO, gain in counts per electron and read noise in counts of a sensor that the
        model does not know.
    predict : dict
        Further arguments of `ADLDenoiser.predict`.
    compress, gps : bool, default=False
        Of a DNG, see `write_dng`.
    history : str, optional
        What is done, in words, for a DNG.
    """

    format: str = "dng"
    sensor: str | None = None
    iso: float | None = None
    ratio: float = 1.0
    noise: Sequence[tuple[float, float, float]] = ()
    predict: dict[str, Any] = field(default_factory=dict)
    compress: bool = False
    gps: bool = False
    history: str | None = None


@dataclass(frozen=True)
class FileResult:
    """What became of one file.

    Parameters
    ----------
    source : Path
    output : Path, optional
        Of the result, if there is one.
    seconds : float, optional
        For reading, denoising and writing; None where nothing was done.
    error : str, optional
        One line that names the file; nothing was written then.
    is_kept : bool, default=False
        Whether `output` was there before, and was left as it was.
    notes : tuple of str
        Warnings, a line each.
    """

    source: Path
    output: Path | None = None
    seconds: float | None = None
    error: str | None = None
    is_kept: bool = False
    notes: tuple[str, ...] = ()


def find_raw_files(paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """List the files that are meant, those of a folder by their endings.

    Parameters
    ----------
    paths : iterable of Path
        Files, taken as they are, and folders, of which the folders inside and hidden
        files are left out.

    Returns
    -------
    files : list of Path
        In the order given, a folder's by name; each file once.
    empty : list of Path
        Folders without a RAW file, or that cannot be read.
    """
    files: dict[Path, Path] = {}
    empty = []
    for path in paths:
        found = [path]
        if path.is_dir():
            found = _raw_files_of(path)
            empty += [] if found else [path]
        for file in found:
            files.setdefault(file.resolve(), file)
    return list(files.values()), empty


def plan_outputs(
    files: Sequence[Path], folder: Path, suffix: str, replaces: bool
) -> list[FileResult]:
    """Say where each file's result is to go, before any work is done.

    Parameters
    ----------
    files : sequence of Path
    folder : Path
    suffix : str
        Of the results, with its dot.
    replaces : bool
        Whether results that are there are written anew.

    Returns
    -------
    list of FileResult
        With an error where the result would replace a file to be read or another
        one's result.
    """
    inputs = {identity for file in files if (identity := _identity(file))}
    taken: dict[str, Path] = {}
    plan = []
    for file in files:
        output = folder / f"{file.stem}{suffix}"
        error = None
        first = taken.setdefault(output.name.casefold(), file)
        exists = os.path.lexists(output)
        if exists and _identity(output) in inputs:
            error = (
                f"{file}: its result {output} would replace a file that is to be "
                "denoised; choose another folder."
            )
        elif first is not file:
            error = (
                f"{file}: its result would replace that of {first}, which has the same "
                "name; denoise it into another folder."
            )
        is_kept = exists and not replaces and error is None
        error = error and printable_line(error)
        plan.append(FileResult(file, output, error=error, is_kept=is_kept))
    return plan


def denoise_files(
    model: ADLDenoiser,
    plan: Sequence[FileResult],
    options: BatchOptions,
    n_jobs: int = 1,
) -> Iterator[FileResult]:
    """Denoise what is planned, several files at a time, whatever becomes of one.

    Parameters
    ----------
    model : ADLDenoiser
        Fitted.
    plan : sequence of FileResult
        From `plan_outputs`.
    options : BatchOptions
    n_jobs : int, default=1
        Files at a time, each in a process of its own if more than one.

    Yields
    ------
    FileResult
        In the order of the plan.
    """
    tasks = [task for task in plan if not task.error and not task.is_kept]
    parallel = Parallel(n_jobs=min(n_jobs, len(tasks)) or 1, return_as="generator")
    results = parallel(delayed(denoise_file)(model, task, options) for task in tasks)
    reason = None
    for task in plan:
        if task.error or task.is_kept:
            yield task
        elif reason is None:
            try:
                yield next(results)
            except BrokenProcessPool:
                reason = (
                    "not done: a worker died, most likely for want of memory; try "
                    "again with fewer files at a time."
                )
        if reason is not None and not task.error and not task.is_kept:
            yield replace(task, error=printable_line(f"{task.source}: {reason}"))


def denoise_file(
    model: ADLDenoiser, task: FileResult, options: BatchOptions
) -> FileResult:
    """Read, denoise and write one file, and say what became of it.

    Parameters
    ----------
    model : ADLDenoiser
        Fitted.
    task : FileResult
        Its `source` is read, its `output` written, replacing an older one.
    options : BatchOptions

    Returns
    -------
    FileResult
    """
    start, name = time.perf_counter(), task.source.name
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            _denoise_file(model, task, options)
            error = None
        except MemoryError:
            error = "denoising it needs more memory than there is."
        except Exception as caught_error:  # whatever it is, the others go on
            error = str(caught_error)
            if not isinstance(caught_error, (ValueError, OSError, ArithmeticError)):
                error = f"{type(caught_error).__name__}: {error}"
    if error and name not in error:
        error = f"{name}: {error}"
    return replace(
        task,
        seconds=time.perf_counter() - start,
        error=error and printable_line(error),
        notes=tuple(
            dict.fromkeys(printable_line(str(note.message)) for note in caught)
        ),
    )


def _denoise_file(model: ADLDenoiser, task: FileResult, options: BatchOptions) -> None:
    with _hushed_libraw():
        image = _read(task.source, options)
    sensor = _sensor(model, image, options)
    # Fractions of a count, which a denoised shadow is made of, are kept.
    denoised = model.predict(image, sensor, dtype=np.float32, **options.predict)
    # Nothing is brighter than where the sensor saturates; RAW programs turn on the
    # reconstruction of highlights where they see a count above.
    counts = np.minimum(denoised.mosaic, np.float32(image.mosaic.max()))
    denoised = denoised.with_mosaic(counts)
    if options.format != "dng":
        write_image(task.output, denoised)
        return
    with _hushed_libraw():  # which reads the colours
        write_dng(
            task.output,
            denoised,
            task.source,
            gps=options.gps,
            compress=options.compress,
            history=options.history,
        )


def _read(path: Path, options: BatchOptions) -> RawImage:
    """Read a file under its own camera's name, which developers know, if it has one."""
    facts = {"iso": options.iso, "ratio": options.ratio}
    try:
        return read_raw(path, **facts)
    except ValueError:
        if options.sensor is None:
            raise
        return read_raw(path, sensor=options.sensor, **facts)


def _sensor(
    model: ADLDenoiser, image: RawImage, options: BatchOptions
) -> str | SensorInfo:
    """Choose the sensor to predict with, or say which the model knows."""
    if options.noise:
        return SensorInfo(
            image.cfa,
            image.black_level,
            image.white_level,
            gain={iso: gain for iso, gain, _ in options.noise},
            read_noise={iso: read_noise for iso, _, read_noise in options.noise},
        )
    sensor = options.sensor or image.sensor
    known = model.fitted_model().known_sensors()
    if sensor in known:
        return sensor
    by_noise = ""
    if model.conditioning == "noise":
        by_noise = (
            ", or give its noise with --noise ISO,GAIN,READ_NOISE "
            "(skadl.calibrate_sensor measures it on pairs)"
        )
    raise ValueError(
        f"{image.path.name} is from sensor {sensor!r}, which this model does not know; "
        f"it knows {known}. If it is one of these under another name, add --sensor "
        f"NAME{by_noise}; else use a model fitted on pairs of it."
    )


def _raw_files_of(folder: Path) -> list[Path]:
    try:
        return sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in RAW_SUFFIXES
            and not path.name.startswith(".")
            and path.is_file()
        )
    except OSError:
        return []


def _identity(path: Path) -> tuple[int, int] | None:
    """Tell files apart, whatever names and links lead to them."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def _hushed_libraw() -> Iterator[None]:
    """Keep LibRaw from printing what it raises as well: it writes to stderr itself."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no stderr to print to
        yield
        return
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
