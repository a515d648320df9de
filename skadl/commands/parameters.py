"""Parameters that several commands share, as they are given on a command line."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

POSITIVE = click.FloatRange(0, min_open=True)


class BlackLevel(click.ParamType):
    """One number for all photosites, or four in CFA reading order."""

    name = "COUNTS"

    def convert(
        self,
        value: str | float | tuple[float, ...],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float | tuple[float, ...]:
        """Parse one ``--black-level``."""
        if not isinstance(value, str):
            return value
        try:
            numbers = tuple(float(word) for word in value.split(","))
        except ValueError:
            numbers = ()
        if len(numbers) not in (1, 4) or not all(0 <= x < math.inf for x in numbers):
            self.fail(
                f"{value!r} is neither a number of counts, 0 or above, nor four of "
                "them with commas between, in the order of the CFA pattern: "
                "512, say, or 510,512,512,511.",
                param,
                ctx,
            )
        return numbers[0] if len(numbers) == 1 else numbers


def level_options(command: Callable) -> Callable:
    """Add ``--black-level`` and ``--white-level``, named as `read_raw` has them."""
    for add in (
        click.option(
            "--white-level",
            type=POSITIVE,
            metavar="COUNTS",
            help="Counts at saturation, instead of the file's.",
        ),
        click.option(
            "--black-level",
            type=BlackLevel(),
            help="Counts at no light, instead of the file's: one number, or four with "
            "commas between, in the order of the CFA pattern.",
        ),
    ):
        command = add(command)
    return command


def pair_options(command: Callable) -> Callable:
    """Add what is said of a folder of pairs instead of its files."""
    for add in (
        click.option(
            "--register/--no-register",
            default=None,
            help="Move the frames of a burst over one another by their stars, before "
            "they are averaged.  [default: of FITS files that show stars]",
        ),
        level_options,
        click.option(
            "--ratio",
            type=POSITIVE,
            metavar="NUMBER",
            help="Light factor: how many times less light the noisy frames got, "
            "instead of what the exposure says.",
        ),
        click.option(
            "--iso", type=POSITIVE, metavar="NUMBER", help="Instead of the files'."
        ),
        click.option(
            "--sensor", metavar="NAME", help="Sensor, instead of the files' camera."
        ),
    ):
        command = add(command)
    return command


def estimator_parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """Complete parameters of `ADLDenoiser` with its defaults.

    Without the seed, which is the run's, and `verbose`. A ValueError for a name that is
    unknown.
    """
    from skadl.estimators.adl import ADLDenoiser  # imports torch

    parameters = ADLDenoiser().get_params()
    del parameters["random_state"], parameters["verbose"]
    unknown = [name for name in given if name not in parameters]
    if unknown:
        raise ValueError(
            f"ADLDenoiser has no parameter {unknown[0]!r} to set here; it has "
            f"{', '.join(sorted(parameters))}."
        )
    return parameters | dict(given)


def read_assignments(texts: Sequence[str]) -> dict[str, Any]:
    """Read ``name=value`` texts; values are Python literals, else strings.

    >>> read_assignments(["n_iter=500", "gate=queue", "val_fraction=(0.2, 0.2)"])
    {'n_iter': 500, 'gate': 'queue', 'val_fraction': (0.2, 0.2)}
    """
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise ValueError(f"a setting is name=value, got {text!r}.")
        try:
            values[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            values[name] = value
    return values
