"""What a model file or a RAW file holds, for a person and for a script."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from skadl.estimators.model_files.reader import (
    ModelFile,
    looks_like_model_file,
    read_model_file,
)
from skadl.noise.sensors import SensorInfo
from skadl.noise.source import find_noise
from skadl.raw.fits import NO_BLACK, fits_facts, is_fits
from skadl.raw.fits_header import TOP_DOWN, counts_step
from skadl.raw.image import RawImage, UnknownISO
from skadl.raw.rawfile import read_raw_as_it_is
from skadl.support.text import short_label, wrapped

UNNAMED = "any"  # stands for the sensor of a file that does not say it


def describe_file(path: str | Path, **levels: Any) -> tuple[dict[str, Any], str]:
    """Read a model file or a RAW file, and say what it holds.

    `levels` are `black_level` and `white_level` as in `read_raw`. Returns plain values
    as JSON takes them, with "kind" "model" or "raw", and the same as text. An OSError
    if it cannot be read, a ValueError if it is neither or damaged, or levels are given
    for a model.
    """
    path = Path(path)
    if looks_like_model_file(path):
        if any(level is not None for level in levels.values()):
            raise ValueError(
                f"{path.name} is a model, whose sensors have levels of their own; "
                "leave --black-level and --white-level out."
            )
        contents = read_model_file(path)
        record, lines = describe_model(contents), _model_lines(contents)
    else:
        record = describe_raw(path, **levels)
        lines = _raw_lines(record)
    text = "\n".join([f"{short_label(path.name, 255)}: {next(lines)}", *lines])
    return {"file": str(path), **record}, text


def describe_model(contents: ModelFile) -> dict[str, Any]:
    """Give sensors, noise, stages and acceptance of a model as plain values.

    ISO in `noise` is that of the calibration; gain in counts per electron, read and row
    noise in counts, PSNR and margins in dB.
    """
    report = contents.report
    return {
        "kind": "model",
        "skadl_version": contents.skadl_version,
        "checkpoint": None if contents.training is None else contents.training.place,
        "n_weights": _n_weights(contents),
        "parameters": dict(contents.parameters),
        "conditioning": contents.conditioning.kind,
        "sensors": [
            {
                "name": name,
                "seen_in_fit": name in contents.conditioning.sensors,
                "cfa": info.cfa,
                "black_level": info.black_level,
                "white_level": info.white_level,
                "iso_range": info.iso_range,
                "noise": _noise(info),
                "notes": info.notes,
            }
            for name, info in contents.sensors.items()
        ],
        "n_iter": contents.n_iter,
        "stages": [vars(stage) for stage in report.stages],
        "domains": [vars(row) for row in report.by_domain()],
        "reasons": report.by_reason(),
        "notes": report.notes,
    }


def describe_raw(path: str | Path, **levels: Any) -> dict[str, Any]:
    """Give what `read_raw` sees, in counts; camera and ISO None if not said.

    `levels` are given to `read_raw`. In `noise`, errors are standard errors of the
    natural logarithm; without a source there is a reason.
    """
    return describe_image(*read_what_is_there(path, **levels))


def read_what_is_there(
    path: str | Path, **levels: Any
) -> tuple[RawImage, str | None, float | None]:
    """Read a frame, its camera and its ISO: None, and a stand-in in it, if not said."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is described
        try:
            image = read_raw_as_it_is(path, **levels)
            camera = image.sensor
        except ValueError:
            image = read_raw_as_it_is(path, sensor=UNNAMED, **levels)
            camera = None
    iso = None if isinstance(image.iso, UnknownISO) else image.iso
    return image, camera, iso


def describe_image(
    image: RawImage, camera: str | None, iso: float | None
) -> dict[str, Any]:
    """Give what `describe_raw` does, of a frame that was read."""
    counts = image.mosaic
    fits = None
    if is_fits(image.path):
        found = fits_facts(image.path)
        fits = vars(found) | {"iso_origin": found.iso_origin if iso else None}
        fits |= {"step": counts_step(counts) if counts.dtype.kind == "u" else None}
    return {
        "kind": "raw",
        "fits": fits,
        "camera": camera,
        "iso": iso,
        "cfa": image.cfa,
        "width": counts.shape[1],
        "height": counts.shape[0],
        "black_level": image.black_level,
        "white_level": image.white_level,
        "lowest_count": counts.min().item(),
        "median_count": float(np.median(counts)),
        "highest_count": counts.max().item(),
        "noise": _noise_of_image(image),
    }


def _noise_of_image(image: RawImage) -> dict[str, Any]:
    try:
        found = find_noise(image)
    except ValueError as error:
        return {"source": None, "reason": str(error)}
    gain_error, read_noise_error = found.errors
    return {
        "source": found.source,
        "gain": found.gain,
        "read_noise": found.read_noise,
        "gain_error": gain_error,
        "read_noise_error": read_noise_error,
        "figures": found.figures,
        "origin": found.origin,
        "notes": found.notes,
    }


def _model_lines(contents: ModelFile) -> Iterator[str]:
    kind = "a model"
    if contents.training is not None:
        kind = f"a fit that is not finished, before {contents.training.place}"
    yield f"{kind}, saved by skadl {short_label(contents.skadl_version)}"
    n_levels = contents.network.describe().get("n_levels")
    depth = f" on {n_levels} levels" if n_levels else ""
    yield (
        f"network: {_n_weights(contents):,} weights{depth}, conditioning "
        f"{contents.conditioning.kind}"
    )
    for name, info in contents.sensors.items():
        fitted = "not seen in fit"
        if name in contents.conditioning.sensors:
            fitted = "seen in fit"
        if info.iso_range is not None:
            fitted += " at ISO {:g} to {:g}".format(*info.iso_range)
        yield ""
        yield (
            f"sensor {short_label(name)}: {info.cfa}, black "
            f"{_levels(info.black_level)}, white {info.white_level:g}, {fitted}"
        )
        noise = _noise(info)
        if noise:
            yield "       ISO  gain (counts/e-)  read noise (counts)"
        for row in noise:
            gain = _format_number(row["gain"])
            read_noise = _format_number(row["read_noise"])
            yield f"{row['iso']:10g}{gain:>18}{read_noise:>21}"
    yield ""
    yield from contents.report.summary().splitlines()


def _raw_lines(record: dict[str, Any]) -> Iterator[str]:
    camera, iso = record["camera"], record["iso"]
    black = _levels(record["black_level"])
    fits = record["fits"]
    yield "a RAW file" if fits is None else "a FITS frame"
    yield f"camera  {'not in the file' if camera is None else short_label(camera)}"
    yield f"ISO     {'not in the file' if iso is None else f'{iso:g}'}"
    yield from _fits_lines(fits or {})
    yield f"size    {record['width']} x {record['height']} pixels"
    yield f"mosaic  {record['cfa']}"
    yield f"levels  black {black}, white {record['white_level']:g}"
    yield (
        f"counts  {record['lowest_count']} to {record['highest_count']}, median "
        f"{record['median_count']:g}"
    )
    noise = record["noise"]
    if noise["source"] is None:
        yield wrapped(f"noise   {noise['reason']}", " " * 8)
        return
    yield wrapped(f"noise   {noise['figures']}; {noise['origin']}", " " * 8)
    for note in noise["notes"]:
        yield wrapped(f"        Note: {note}", " " * 8)


def _fits_lines(fits: Mapping[str, Any]) -> Iterator[str]:
    if fits.get("iso_origin"):
        yield wrapped(f"        {fits['iso_origin']}", " " * 8)
    for name, key, unit in (
        ("gain", "gain_setting", ""),
        ("EGAIN", "electrons_per_count", " electrons per count (not used)"),
        ("time", "time", " s"),
        ("sensor", "temperature", " °C"),
    ):
        if fits.get(key) is not None:
            yield f"{name:8}{fits[key]:g}{unit}"
    if fits:
        order = fits["row_order"] or f"{TOP_DOWN} (not in the file)"
        yield f"rows    {order}"
    if (fits.get("step") or 1) > 1:
        yield f"step    of the counts: {fits['step']}"
    if fits and fits["black_level"] is None:
        yield wrapped(f"black   {NO_BLACK}", " " * 8)


def _noise(info: SensorInfo) -> list[dict[str, float | None]]:
    """Noise at every ISO that gain or read noise is given for; None where it is not."""
    if not info.knows_noise:
        return []
    tables = {
        "gain": info.gain,
        "read_noise": info.read_noise,
        "row_noise": info.row_noise or {},
    }
    return [
        {"iso": iso, **{name: table.get(iso) for name, table in tables.items()}}
        for iso in sorted({*info.gain, *info.read_noise})
    ]


def _format_number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _n_weights(contents: ModelFile) -> int:
    return sum(weight.numel() for weight in contents.network.parameters())


def _levels(black_level: float | tuple[float, ...]) -> str:
    levels = np.unique(np.asarray(black_level, float))
    if len(levels) == 1:
        return f"{levels[0]:g}"
    return " ".join(f"{level:g}" for level in black_level)
