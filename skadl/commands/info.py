"""``skadl info``: what a file holds."""

from __future__ import annotations

import json
from pathlib import Path

import click

from skadl.commands.parameters import level_options
from skadl.commands.terminal import failure, say


@click.command()
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
)
@level_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
def info(
    file: Path,
    black_level: float | tuple[float, ...] | None,
    white_level: float | None,
    as_json: bool,
) -> None:
    """Say what FILE holds: a model that skadl saved, or a camera's RAW file.

    Of a model: its sensors with ISO range and noise, the stages of its training, and
    how much of each source was accepted. Of a RAW file: camera, ISO, size, mosaic,
    levels, counts, and its noise: where it is known from, and how well. The noise is
    that of the levels, so give those where the file's are wrong.
    """
    from skadl.commands.describe_file import describe_file

    try:
        record, text = describe_file(
            file, black_level=black_level, white_level=white_level
        )
    except (OSError, ValueError) as error:
        raise failure(error) from error
    if as_json:
        click.echo(json.dumps(record, allow_nan=False))
    else:
        say([text])
