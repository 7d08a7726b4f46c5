"""The site: `make docs` builds it, and a warning is an error."""

from __future__ import annotations

import logging
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

import drawings
import hakubooru
import reference_tables
from code_blocks import ROOT, run

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "hakubooru"
author = "The developers of hakubooru"
release = version = hakubooru.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click", "sphinx_copybutton"]
exclude_patterns = ["_site", "reference/generated", "notebooks/demo", "jupyter_execute"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
logging.getLogger("traitlets").setLevel(logging.WARNING)  # nbclient tells of every notebook
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_execution_show_tb = True
nb_output_stderr = "remove"  # progress bars
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
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_copyright = False
copybutton_prompt_text = "$ "


def _generate(_: Sphinx) -> None:
    docs = Path(__file__).parent
    reference_tables.write(docs / "reference" / "generated")
    notebooks = docs / "notebooks"
    notebooks.mkdir(exist_ok=True)
    last = notebooks / "demo" / "contact_sheet.png"  # what the demo writes last
    sources = [path for room in ("hakubooru", "cli") for path in (ROOT / room).rglob("*.py")]
    if not last.exists() or last.stat().st_mtime < max(path.stat().st_mtime for path in sources):
        run(["hakubooru", "demo", "demo"], notebooks)
    drawings.write(notebooks / "demo")
    for path in (ROOT / "examples").glob("*.ipynb"):
        shutil.copy(path, notebooks)


def setup(app: Sphinx) -> None:
    """Write the generated parts of the reference, the pictures and the notebooks before any page is read."""
    app.connect("builder-inited", _generate)
