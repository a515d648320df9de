"""The command ``skadl``; its subcommands are in `skadl.commands`."""

from __future__ import annotations

import click

import skadl
from skadl.commands.bench import bench
from skadl.commands.demo import demo
from skadl.commands.info import info


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(skadl.__version__, prog_name="skadl")
def main() -> None:
    """Fit a denoiser for a new camera sensor from about twenty RAW pairs.

    Start with `skadl demo`. To fit your own pairs, use skadl from Python; the README
    has an example.
    """


for _command in (demo, info, bench):
    main.add_command(_command)
