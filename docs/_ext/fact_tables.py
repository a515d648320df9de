"""Tables that pages take from the package itself: extras, datasets, protocols."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from results_table import build_table

from skadl.datasets import DATASETS
from skadl.evaluation.protocols import PROTOCOLS, Protocol

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
FOR = {
    "app": "`skadl app`, a page in the browser",
    "plot": "pictures: `skadl.plots` and `skadl demo`",
    "fits": "FITS frames, and stars that drift",
    "dng": "DNG files compressed without loss",
    "frame": "selection reports as pandas tables",
    "bm3d": "`skadl.baselines.BM3D`; its licence forbids commercial use",
    "bench": "`python -m benchmarks.tables`, from a checkout",
    "sidd": "`load_sidd`: the data set SIDD",
    "onnx": "`export_onnx`: the network for programs without torch",
    "onnxruntime": '`predict(engine="onnxruntime")`',
    "openvino": '`predict(engine="openvino")`, and 8 bits',
    "dask": "its `--dask`, together with `bench`",
}
DEVELOPERS = ("test", "lint", "docs")


class FactTable(Directive):
    """A directive without arguments that shows the rows it is given."""

    def rows(self) -> list[list[str]]:
        """Titles, then rows."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        frame = nodes.container(classes=["result-table", "prose-table"])
        frame += build_table(self.rows())
        return [frame]


class Extras(FactTable):
    """The extras that users may want, with the packages of each."""

    def rows(self) -> list[list[str]]:
        """One row an extra, from pyproject.toml."""
        project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
        rows = [["extra", "for", "brings"]]
        for name, packages in project["optional-dependencies"].items():
            if name not in DEVELOPERS:
                brings = ", ".join(
                    re.split("[<>=]", package)[0] for package in packages
                )
                rows.append([f"`skadl[{name}]`", FOR[name], brings])
        return rows


class Datasets(FactTable):
    """What `skadl datasets` knows of each public dataset, in short."""

    def rows(self) -> list[list[str]]:
        """One row a dataset."""
        return [
            ["dataset", "where", "licence", "size"],
            *(
                [f"{d.name}: {d.title}", d.obtain[0], d.licence, d.size]
                for d in DATASETS
            ),
        ]


class Protocols(FactTable):
    """The rules of each protocol."""

    def rows(self) -> list[list[str]]:
        """One row a protocol."""
        titles = [
            "protocol",
            "scored",
            "border",
            "light corrected",
            "SSIM window",
            "source",
        ]
        return [
            titles,
            *(
                [
                    f"`{p.name}`",
                    _where(p),
                    str(p.border),
                    "yes" if p.corrected else "no",
                    "Gaussian 11x11" if p.gaussian_ssim else "uniform 7x7",
                    p.source,
                ]
                for p in PROTOCOLS.values()
            ),
        ]


def _where(protocol: Protocol) -> str:
    """Say what of a frame is scored."""
    if protocol.on_sky:
        return "between the stars"
    return f"middle {protocol.crop}" if protocol.crop else "whole"


def setup(app) -> dict:
    """Register the directives."""
    app.add_directive("extras-table", Extras)
    app.add_directive("datasets-table", Datasets)
    app.add_directive("protocols-table", Protocols)
    return {"version": "1", "parallel_read_safe": True}
