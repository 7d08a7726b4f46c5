"""The library in a Jupyter notebook: progress, and what objects show."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

from gallery import write_gallery

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

CELLS = [
    "import hakubooru as hb\ndb = hb.open('gallery.db')\ndb.images = 'images'\ndb",
    "from hakubooru.progress import progress\nfor _ in progress(range(3), desc='reading'): pass",
    "girls = db.posts.search('1girl id:..9')\ngirls.count()\ngirls",
    "girls.show(n=3)",
    "db.tags",
    "girls.captions()",
    "girls.stats()",
    "girls.export('out', images='images')",
]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """The outputs of each cell, as one text of HTML and streams."""
    folder = tmp_path_factory.mktemp("notebook")
    write_gallery(folder)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    return [
        "".join(each.get("text", "") or each["data"].get("text/html", "") for each in cell["outputs"])
        for cell in notebook["cells"]
    ]


def test_progress_is_shown_and_warns_of_nothing(outputs):
    assert "reading: 100%" in outputs[1]
    assert "Warning" not in "".join(outputs)
    assert "images" in outputs[7]


def test_objects_show_themselves_as_html(outputs):
    database, _, selection, sheet, tags, captions, stats, report = outputs
    assert "posts 1 to 150" in database
    assert selection.count("data:image/webp") == 5
    assert sheet.count("<figure") == 3
    assert "<td>1girl</td><td>general</td><td>150</td>" in tags
    assert "9 captions" in captions
    assert "<b>9 posts</b>" in stats
    assert "9 of 9 posts are in out" in report
