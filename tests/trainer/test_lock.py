"""One run a folder."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hakubooru.errors import DestinationError
from hakubooru_trainer import loop
from hakubooru_trainer.lock import locked

HOLD_AND_WAIT = """
import sys
from pathlib import Path
from hakubooru_trainer.lock import locked

with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_is_refused_until_the_first_is_killed(tmp_path, options):
    told = options()
    out = tmp_path / "out"
    out.mkdir()
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD_AND_WAIT, out], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with first:
        assert first.stdout.readline() == "locked\n"
        with pytest.raises(DestinationError, match="another run is writing into"):
            loop.run(told)
        assert [path.name for path in out.iterdir()] == [".lock"]
        first.kill()
        first.wait()
    with locked(out), pytest.raises(DestinationError, match="another run"), locked(out):
        pass
    assert loop.run(told).updates == 4
    assert loop.run(told).updates == 4  # the same command again
