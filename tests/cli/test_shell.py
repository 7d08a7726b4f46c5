"""How commands end, as real processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from whole_command import call

MAIN = "import sys; from hakubooru_cli.{module} import main; sys.exit(main())"


def run(*arguments, module="main"):
    command = [sys.executable, "-c", MAIN.format(module=module), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["select", "no.db"], "no.db does not exist"),
        (["select", "{path}", "--recipe", "epsilom"], "not a recipe that ships"),
        (["select", "{path}", "--recipe", "epsilon", "--scale", "0"], "scale must be above 0, not 0"),
        (
            ["select", "{path}", "--recipe", "epsilon"],
            "a sample of 1,000,000 was asked for, and there are 200",
        ),
        (["select", "{path}", "--out", "ids.csv"], "ids.csv"),
        (["select", "{path}", "--ids", "no.txt"], "no.txt cannot be read"),
        (["select"], "Missing argument"),
        (["select", "{path}", "--funel"], "--funel"),
        (["selekt"], "selekt"),
        (["db", "info", "."], "is a folder"),
    ],
)
def test_wrong_input_is_one_sentence_and_2(path, arguments, message):
    code, stdout, stderr = call(*(argument.format(path=path) for argument in arguments))
    assert (code, stdout) == (2, "")
    assert message in stderr
    assert "Traceback" not in stderr


@pytest.mark.slow
def test_a_process_ends_as_the_command_does(path):
    result = run("select", path, "--recipe", "epsilom")
    assert (result.returncode, result.stdout) == (2, "")
    assert "epsilom is not a recipe that ships" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "openpty"), reason="Windows has no such terminals")
def test_a_terminal_that_is_gone_does_not_change_the_exit_code():
    ours, theirs = os.openpty()
    os.close(ours)
    command = [sys.executable, "-c", MAIN.format(module="main"), "select", "no.db"]
    code = subprocess.call(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    assert code == 2


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_traceback(path):
    code = MAIN.format(module="main")
    process = subprocess.Popen(
        [sys.executable, "-c", code, "select", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait()
