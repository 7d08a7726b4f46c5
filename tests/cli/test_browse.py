"""`hakubooru browse`: its page, and wrong input."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request

import pytest

from booru import write_random
from pictures import picture, write_folder
from whole_command import call


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--work", "nowhere"], "the folder nowhere does not exist"),
        (["--images", "nowhere"], "the place of images nowhere does not exist"),
        (["--recipe", "epsilom"], "not a recipe that ships"),
        (["--host", "256.1.1.1"], "cannot listen"),
    ],
)
def test_wrong_input_is_told_before_the_page_opens(path, options, message):
    code, _, stderr = call("browse", path, "--no-open", "--port", "0", *options)
    assert code == 2
    assert message in stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_page_is_there_until_it_is_told_to_end(tmp_path, number):
    write_random(tmp_path / "posts.db")
    write_folder(tmp_path / "images", {"1.webp": picture(1)})
    starter = "from hakubooru_cli.start import library; library()"
    command = [
        sys.executable,
        "-c",
        starter,
        "browse",
        "posts.db",
        "1girl",
        "--images",
        "images",
        "--no-open",
    ]
    command += ["--port", "0"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        address = process.stdout.readline().strip()
        with urllib.request.urlopen(address) as answer:
            assert 'value="1girl"' in answer.read().decode()
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err.strip()) == (0, "")
    assert {file.name for file in tmp_path.iterdir()} == {"posts.db", "images"}
