"""Settings of the documentation; build it as docs/contributing.rst says."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import skadl

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_ext"))

project = "skadl"
author = "The skadl developers"
copyright = author
version = release = skadl.__version__

extensions = [
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "command_help",
    "draw_figures",
    "fact_tables",
    "results_table",
]
exclude_patterns = ["_build", "_ext", "_templates", "gallery/GALLERY_HEADER*"]
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["skadl.css"]
html_js_files = ["tables.js"]

# `name` in a docstring links to what has that name, and is plain text otherwise.
default_role = "autolink"
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(sklearn|numpy|np|torch|pandas|matplotlib|dask|joblib)(\..*)?"),
    (r"py:obj", r"[\w.]+"),  # the default role: names of parameters have no page
]

autosummary_generate = True
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # the numpydoc sections say more
autodoc_preserve_defaults = True
numpydoc_show_class_members = False  # the templates list them

# Builds must work, and without a warning, where there is no network.
intersphinx_mapping = {}
if os.environ.get("SKADL_DOCS_INTERSPHINX"):
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
    }

sphinx_gallery_conf = {
    "image_scrapers": ("draw_figures.scrape",),
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": "/plot_",
    "ignore_pattern": r"(^|/)(?!plot_)[^/]*\.py$",  # plain scripts
    "write_computation_times": False,
    "abort_on_example_error": True,
    "within_subsection_order": "gallery_order.ReadingOrder",
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "copyfile_regex": r".*\.rst$",
}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "pydata_sphinx_theme"
html_title = f"skadl {release}"
html_show_sourcelink = False
html_theme_options = {
    "header_links_before_dropdown": 8,
    "navbar_align": "left",
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "show_toc_level": 2,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_context = {"default_mode": "light"}
