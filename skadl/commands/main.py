"""The command ``skadl``; its subcommands are in `skadl.commands`."""

from __future__ import annotations

import click

import skadl
from skadl.commands.check import check
from skadl.commands.datasets import datasets
from skadl.commands.demo.command import demo
from skadl.commands.denoise import denoise
from skadl.commands.fit import fit
from skadl.commands.info import info
from skadl.commands.plan import plan


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(skadl.__version__, prog_name="skadl")
def main() -> None:
    """Fit a denoiser for a new camera sensor from about twenty RAW pairs.

    To see what it does, start with `skadl demo`. With a camera: `skadl plan` says what
    to shoot, `skadl check` whether the pairs are good, `skadl fit` makes a model of
    them, `skadl denoise` uses it.
    """


for _command in (demo, plan, check, fit, denoise, info, datasets):
    main.add_command(_command)
