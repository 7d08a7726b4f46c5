"""The site: `make docs` builds it, and a warning is an error."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

import generate

import hakubooru

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "hakubooru"
author = "The developers of hakubooru"
release = version = hakubooru.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click", "sphinx_copybutton"]
exclude_patterns = ["_site", "reference/generated"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # a test runs the notebooks
suppress_warnings = ["ref.python"]  # several classes have an attribute `posts`
smartquotes = False  # it would make one dash of the two of an option
default_role = "literal"  # docstrings name code in single backticks
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
napoleon_use_rtype = False

html_theme = "furo"
html_title = "hakubooru"
html_static_path = []
copybutton_prompt_text = "$ "


def _generate(_: Sphinx) -> None:
    generate.write(Path(__file__).parent / "reference" / "generated")


def setup(app: Sphinx) -> None:
    """Write the generated parts of the reference before any page is read."""
    app.connect("builder-inited", _generate)
