"""What a run finds in its folder: another run, and states that it cannot go on from."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from hakubooru.errors import DestinationError, ModelError
from hakubooru_trainer import durable, loop
from hakubooru_trainer.config.options import SaveOptions
from hakubooru_trainer.durable import TornStateError
from hakubooru_trainer.lock import locked
from tiny_runs import SMALLEST

pytestmark = pytest.mark.slow

HOLD_AND_WAIT = """
import sys
from pathlib import Path
from hakubooru_trainer.lock import locked

with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.mark.kill
def test_a_second_run_is_refused_until_the_first_is_killed(tmp_path, options):
    settings = options(**SMALLEST)
    out = tmp_path / "out"
    out.mkdir()
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD_AND_WAIT, out], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with first:
        assert first.stdout.readline() == "locked\n"
        with pytest.raises(DestinationError, match="another run is writing into"):
            loop.run(settings)
        assert [path.name for path in out.iterdir()] == [".lock"]
        first.kill()
        first.wait()
    with locked(out), pytest.raises(DestinationError, match="another run"), locked(out):
        pass
    assert loop.run(settings).updates == 4
    assert loop.run(settings).updates == 4  # the same command again


def test_a_state_that_holds_nan_is_no_state_to_go_on_from(tmp_path, options):
    """Its checksums fit. The state before it is taken up; called by its name, it is refused."""
    settings = options(**SMALLEST, save=SaveOptions(every=2))
    loop.run(settings)
    for state in ("000004", "000002"):
        folder = tmp_path / "out" / "state" / state
        # Copies: the file that they are mapped from is written anew.
        tensors = {key: tensor.clone() for key, tensor in load_file(folder / "adapter.safetensors").items()}
        name = next(name for name in tensors if name.endswith("lokr_w2"))
        tensors[name].view(-1)[0] = torch.nan
        checksum = durable.write_tensors(folder / "adapter.safetensors", tensors)
        mark = durable.read_mark(folder)
        mark["checksums"]["adapter.safetensors"] = checksum
        durable.write_mark(folder, mark)
        if state == "000004":
            with pytest.raises(TornStateError, match=f"{state} cannot be used \\({name} holds NaN"):
                loop.run(settings, resume=str(folder))
            assert loop.run(settings).updates == 4
            assert durable.read_mark(folder)["counters"]["update"] == 4  # written anew, and kept
            shutil.rmtree(folder)
    with pytest.raises(ModelError, match=r"no state in .* is complete"):
        loop.run(settings)
