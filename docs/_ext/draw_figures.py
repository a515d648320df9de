"""Draw the pictures of the pages when the site is built, and those of the gallery.

Every ``docs/figures/NAME.py`` has a function ``draw() -> Figure``, saved as
``docs/_figures/NAME.png``. They are drawn again when a script, the package or a
committed result is newer.
"""

from __future__ import annotations

import runpy
import textwrap
from pathlib import Path

from matplotlib.figure import Figure
from sphinx.util import logging

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
FOLDER = DOCS / "_figures"
DPI = 110


def draw_all(app) -> None:
    """Draw what is out of date.

    Parameters
    ----------
    app : Sphinx
    """
    FOLDER.mkdir(exist_ok=True)
    sources = [*ROOT.glob("skadl/**/*.py"), *ROOT.glob("benchmarks/results/**/*.csv")]
    newest = max(path.stat().st_mtime for path in sources)
    for script in sorted((DOCS / "figures").glob("*.py")):
        picture = FOLDER / f"{script.stem}.png"
        needed = max(newest, script.stat().st_mtime)
        if picture.exists() and picture.stat().st_mtime > needed:
            continue
        logging.getLogger(__name__).info("drawing %s", script.name)
        runpy.run_path(str(script))["draw"]().savefig(picture, dpi=DPI)


def scrape(block, block_vars, gallery_conf) -> str:
    """Save the figures that a gallery block left in its variables, once.

    skadl makes figures without pyplot, where sphinx-gallery alone would look.

    Parameters
    ----------
    block, block_vars, gallery_conf
        As sphinx-gallery gives them.

    Returns
    -------
    str
        reStructuredText that shows the pictures.
    """
    import matplotlib.pyplot as plt
    from sphinx_gallery.scrapers import figure_rst

    found = [v for v in block_vars["example_globals"].values() if isinstance(v, Figure)]
    found += [plt.figure(number) for number in plt.get_fignums()]
    paths = []
    for figure in found:
        if not hasattr(figure, "shown_in_gallery"):
            figure.shown_in_gallery = True
            paths.append(next(block_vars["image_path_iterator"]))
            figure.savefig(paths[-1], dpi=DPI)
    plt.close("all")
    shown = textwrap.indent(figure_rst(paths, gallery_conf["src_dir"]), "   ")
    return f"\n.. container:: wide-picture\n\n{shown}\n" if paths else ""


def setup(app) -> dict:
    """Draw before pages are read."""
    app.connect("builder-inited", draw_all)
    return {"version": "1", "parallel_read_safe": True}
