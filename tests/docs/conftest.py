"""What the documentation's tests share: the demo, drawn once."""

from __future__ import annotations

import pytest

from code_blocks import run


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """The folder of the demo, as `hakubooru demo` makes it."""
    folder = tmp_path_factory.mktemp("documentation")
    run(["hakubooru", "demo", "demo"], folder)
    return folder / "demo"
