from __future__ import annotations

import subprocess
import sys

import pytest

INTERRUPTED_WHILE_IT_IMPORTS = """
import sys

class Interrupted:
    @staticmethod
    def find_spec(name, *_):
        if name == "click":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted)
from hakubooru_cli import start
start.{command}()
"""


@pytest.mark.parametrize("command", ["library", "trainer"])
def test_it_can_be_interrupted_while_it_begins(command):
    code = INTERRUPTED_WHILE_IT_IMPORTS.format(command=command)
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (130, "error: interrupted before the command began\n")


@pytest.mark.parametrize("command", ["library", "trainer"])
def test_it_begins(command):
    code = f"from hakubooru_cli import start; start.{command}()"
    process = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0
    assert "Usage: hakubooru" in process.stdout
