"""``skadl datasets``: where the public datasets are and which function reads them."""

from __future__ import annotations

import json

import click

from skadl.commands.terminal import say


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
def datasets(as_json: bool) -> None:
    """List the public datasets that skadl reads; nothing is downloaded.

    Of each: where to get it, its licence and size, how its files lie, what to mind,
    and the function that reads it.
    """
    from skadl.datasets.catalogue import DATASETS

    if as_json:
        entries = [dataset.to_dict() for dataset in DATASETS]
        click.echo(json.dumps({"datasets": entries}, allow_nan=False))
        return
    say(["\n\n".join(dataset.to_text() for dataset in DATASETS)])
