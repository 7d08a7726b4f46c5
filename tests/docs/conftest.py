"""What the documentation's tests share: the demo, drawn once."""

from __future__ import annotations

import sys

import pytest

from code_blocks import ROOT, run

sys.path.insert(0, str(ROOT / "docs"))


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """The folder of the demo, as `hakubooru demo` makes it."""
    folder = tmp_path_factory.mktemp("documentation")
    run(["hakubooru", "demo", "demo"], folder)
    return folder / "demo"
