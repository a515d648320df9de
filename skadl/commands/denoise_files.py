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
from skadl.noise.frame_offsets import has_pattern
from skadl.noise.sensors import SensorInfo
from skadl.noise.source import FoundNoise, find_noise
from skadl.raw.dng import write_dng
from skadl.raw.fits import FITS_SUFFIXES, is_fits
from skadl.raw.fits_output import write_fits
from skadl.raw.image import NoISOError, RawImage
from skadl.raw.imagefile import write_image
from skadl.raw.rawfile import RAW_SUFFIXES, read_raw_as_it_is
from skadl.support.text import printable_line


@dataclass(frozen=True, eq=False)
class BatchOptions:
    """How every file of a batch is denoised and written."""

    # "dng", "fits", "tiff" or "npy"; None for FITS of FITS files, and DNG of others.
    format: str | None = None
    sensor: str | None = None  # that the model is to take a file's camera for
    iso: float | None = None  # instead of a file's own
    ratio: float = 1.0  # light factor
    # In counts, as in `read_raw`, instead of a file's own.
    black_level: float | tuple[float, ...] | None = None
    white_level: float | None = None
    # ISO, gain in counts per electron and read noise in counts, each, of a sensor that
    # the model does not know.
    noise: Sequence[tuple[float, float, float]] = ()
    predict: dict[str, Any] = field(default_factory=dict)  # of `ADLDenoiser.predict`
    compress: bool = False  # of a DNG, as in `write_dng`
    gps: bool = False
    preview: bool = False  # a small picture beside each result
    history: str | None = None  # what is done, in words, for a DNG


@dataclass(frozen=True)
class FileResult:
    """What became of one file."""

    source: Path
    output: Path | None = None  # of the result, if there is one
    seconds: float | None = None  # to read, denoise and write; None if not done
    error: str | None = None  # one line that names the file; nothing was written then
    is_kept: bool = False  # whether `output` was there before, and was left as it was
    notes: tuple[str, ...] = ()  # warnings, a line each
    noise: FoundNoise | None = None  # that a model by noise was told of
    # Pixels that got their neighbours' value; None where no fixed pattern is known.
    n_hot: int | None = None
    preview: Path | None = None  # if one was asked for


def find_raw_files(paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """List the files that are meant, each once, and folders without a RAW file.

    Files are taken as they are. Of a folder, by name, those that end as RAW files do;
    hidden files and the folders inside are left out.
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
    files: Sequence[Path], folder: Path, file_format: str | None, replaces: bool
) -> list[FileResult]:
    """Say where each file's result is to go, before any work is done.

    `replaces` says whether results that are there are written anew. A result that
    would replace a file to be read, or that of another, is an error in the plan.
    """
    inputs = {identity for file in files if (identity := _identity(file))}
    taken: dict[str, Path] = {}
    plan = []
    for file in files:
        output = folder / _output_name(file, file_format)
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


def _output_name(file: Path, file_format: str | None) -> str:
    if file.suffix.lower() not in FITS_SUFFIXES or file_format not in (None, "fits"):
        return f"{file.stem}.{file_format or 'dng'}"
    if file.suffix.lower() != ".fz":
        return file.name
    # Written without compression: a.fits.fz becomes a.fits.
    stem = Path(file.stem)
    return stem.name if stem.suffix.lower() in FITS_SUFFIXES else f"{stem}.fits"


def denoise_files(
    model: ADLDenoiser,
    plan: Sequence[FileResult],
    options: BatchOptions,
    n_jobs: int = 1,
) -> Iterator[FileResult]:
    """Yield what became of each file of a plan, in its order, whatever fails.

    With more than one job, each file is denoised in a process of its own.
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
    """Read, denoise and write one file, replacing an older result."""
    start, name, noise = time.perf_counter(), task.source.name, None
    n_hot = preview = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            noise, n_hot, preview = _denoise_file(model, task, options)
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
            dict.fromkeys(
                printable_line(note)
                for note in (
                    *(str(warning.message) for warning in caught),
                    *(noise.notes if noise else ()),
                )
            )
        ),
        noise=noise,
        n_hot=n_hot,
        preview=preview,
    )


def _denoise_file(
    model: ADLDenoiser, task: FileResult, options: BatchOptions
) -> tuple[FoundNoise | None, int | None, Path | None]:
    with _silent_libraw():
        image = _read(task.source, options)
    sensor, noise = _sensor(model, image, options)
    info = model.sensors_.get(sensor) if isinstance(sensor, str) else sensor
    n_hot = None
    if has_pattern(image, info):
        n_hot = info.fixed_pattern.at(image.iso).hot.size
    # Fractions of a count, which a denoised shadow is made of, are kept.
    denoised = model.predict(image, sensor, dtype=np.float32, **options.predict)
    # Nothing is brighter than where the sensor saturates; RAW programs turn on the
    # reconstruction of highlights where they see a count above.
    counts = np.minimum(denoised.mosaic, np.float32(image.mosaic.max()))
    denoised = denoised.with_mosaic(counts)
    _write(task, denoised, options)
    preview = None
    if options.preview:
        from skadl.commands.previews import preview_path, write_preview

        preview = preview_path(task.output)
        write_preview(preview, image, denoised)
    return noise, n_hot, preview


def _write(task: FileResult, denoised: RawImage, options: BatchOptions) -> None:
    suffix = task.output.suffix.lower()
    if suffix in FITS_SUFFIXES:
        write_fits(task.output, denoised, task.source, history=options.history)
    elif suffix != ".dng":
        write_image(task.output, denoised)
    elif is_fits(task.source):  # whose colours are not known
        write_dng(
            task.output, denoised, compress=options.compress, history=options.history
        )
    else:
        with _silent_libraw():  # which reads the colours
            write_dng(
                task.output,
                denoised,
                task.source,
                gps=options.gps,
                compress=options.compress,
                history=options.history,
                noise_reduction=options.predict.get("strength", 1.0),
            )


def _read(path: Path, options: BatchOptions) -> RawImage:
    """Read a file under its own camera's name, which developers know, if it has one."""
    given = {
        name: getattr(options, name)
        for name in ("iso", "ratio", "black_level", "white_level")
    }
    try:
        return read_raw_as_it_is(path, **given)
    except ValueError:
        if options.sensor is None:
            raise
        return read_raw_as_it_is(path, sensor=options.sensor, **given)


def _sensor(
    model: ADLDenoiser, image: RawImage, options: BatchOptions
) -> tuple[str | SensorInfo, FoundNoise | None]:
    """Choose the sensor to predict with, and its noise if the model is told of that."""
    fitted = model.fitted_model().for_image(image)
    name, known = options.sensor or image.sensor, fitted.known_sensors()
    if fitted.takes_any_noise:
        given = None
        if options.noise:
            given = SensorInfo(
                image.cfa,
                image.black_level,
                image.white_level,
                gain={iso: gain for iso, gain, _ in options.noise},
                read_noise={iso: read_noise for iso, _, read_noise in options.noise},
            )
            if name in fitted.sensors:
                known_info = fitted.sensors.get(name)
                given = replace(given, fixed_pattern=known_info.fixed_pattern)
        try:
            noise = find_noise(replace(image, sensor=name), given, fitted.sensors)
        except NoISOError:
            raise
        except ValueError as error:
            raise ValueError(f"{error}{_other_name(known)}") from error
        return noise.sensor, noise
    if name in known:
        return name, None
    raise ValueError(
        f"{image.path.name} is from sensor {name!r}, which this model does not know; "
        f"use a model fitted on pairs of it.{_other_name(known)}"
    )


def _other_name(known: Sequence[str]) -> str:
    if not known:
        return ""
    return f" If it is one of {list(known)} under another name, add --sensor NAME."


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
def _silent_libraw() -> Iterator[None]:
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
