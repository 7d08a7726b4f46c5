"""`hakubooru-train`: its help, what it says where the extra is missing, and the whole way, with a run as a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from hakubooru.errors import ConfigError, InputError
from hakubooru_cli.train import cli
from training_pairs import write_pairs


def call(*arguments):
    return CliRunner().invoke(cli, [*map(str, arguments)])


@pytest.mark.parametrize("name", cli.commands)
def test_has_help_and_about_ten_options(name):
    command = cli.commands[name]
    assert command.help
    options = [option for option in command.params if isinstance(option, click.Option)]
    assert all(option.help for option in options)
    assert len(options) <= 13


def test_a_missing_extra_is_named(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "lycoris" else find_spec(name)
    )
    error = call("run", "config.toml").exception
    assert isinstance(error, InputError)
    assert str(error).startswith(
        "hakubooru-train needs lycoris; install the extra `train`: pip install '.[train]'"
    )


def test_every_key_of_a_configuration_can_be_shown():
    result = call("run", "--help-config")
    assert result.exit_code == 0
    assert "[[data]]" in result.stdout
    assert 'name = "lion8bit"' in result.stdout


@pytest.mark.slow
def test_a_wrong_configuration_is_told_before_torch_is_imported(tmp_path):
    code = (
        "import sys\nfrom hakubooru_cli.train import main\n"
        "try: main()\nfinally: print('torch' in sys.modules, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, "run", str(tmp_path / "none.toml")]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 2
    assert process.stderr.startswith("error: ")
    assert "cannot be read" in process.stderr
    assert process.stderr.endswith("False\n")
    assert isinstance(call("plan", tmp_path / "none.toml").exception, ConfigError)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "sample m --prompts p --out o --scale 0.5",
            "--scale 0.5 is the strength of a LoKr; name one with --lokr",
        ),
        (
            "evaluate m --db d --images i --out o --scale 0.5",
            "--scale 0.5 is the strength of a LoKr; name one",
        ),
        (
            "sample m --lokr l --prompts p --out o --scale inf",
            "inf is no strength: write a number such as 0.8",
        ),
    ],
)
def test_the_strength_of_a_lokr_is_a_number_and_has_a_lokr(command, message):
    result = call(*command.split())
    assert message in f"{result.output} {result.exception}"


@pytest.mark.slow
def test_wrong_paths_are_told_together_before_torch_is_imported(tmp_path):
    (tmp_path / "run.toml").write_text(
        '[run]\nout = "out"\n[model]\npath = "no"\n[[data]]\npath = "nothing"\n'
    )
    (tmp_path / "bad.txt").write_text("1girl --w 65\n")
    code = (
        "import sys\nfrom hakubooru_cli.train import cli, run_command\n"
        "for line in sys.stdin: sys.argv[1:] = line.split(); run_command(cli, 'hakubooru-train')\n"
        "print('torch' in sys.modules)"
    )
    lines = (
        "plan run.toml", "run run.toml --set model.vae=vae.safetensors",
        "sample no --lokr a.safetensors --prompts p.txt --out run.toml",
        "merge --base b.safetensors --lokr a.safetensors --out x/y.safetensors",
        "combine a+b --model a=a.safetensors --model b=b.ckpt --out y.safetensors",
        "sample no --prompts bad.txt --out run.toml/pictures",
        "tiny-model .",
        "tiny-model run.toml/tiny",
    )  # fmt: skip
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "False\n"
    messages = result.stderr.splitlines()
    for line, parts in zip(
        messages,
        (
            ("2 things", "nothing is not a folder", "no does not exist"),
            ("3 things", "nothing is not a folder", "no does not exist", "vae.safetensors does not exist"),
            ("4 things", "no does not exist", "a.safetensors does not exist", "p.txt cannot be read as prompts", "--out is run.toml"),
            ("3 things", "b.safetensors does not exist", "a.safetensors does not exist", "the folder x does not exist"),
            ("2 things", "a.safetensors does not exist", "b.ckpt does not exist"),
            ("3 things", "--w 65 is not a width", "run.toml is not a folder that can be written"),
            (". exists already; name a new folder",),
            ("DIR is run.toml/tiny, and ", "run.toml is not a folder that can be written"),
        ),
        strict=True,
    ):  # fmt: skip
        assert all(part in line for part in parts), line


@pytest.mark.slow
def test_the_whole_way(tmp_path):
    """tiny-model, run, sample and merge as a user calls them."""
    write_pairs(tmp_path / "pairs", [(64, 64)] * 4)
    (tmp_path / "prompts.txt").write_text("1girl, stripes\n")
    (tmp_path / "run.toml").write_text(
        '[run]\nout = "out"\nupdates = 2\nprecision = "fp32"\nweights = "fp32"\ndevice = "cpu"\n'
        '[model]\npath = "tiny"\n[[data]]\npath = "pairs"\n[buckets]\narea = 4096\nmin_side = 64\n'
        '[text]\ntokens = 75\n[optimizer]\nname = "lion"\n'
    )
    code = "import sys; from hakubooru_cli.train import main; main()"

    def process(*arguments):
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", code, *arguments],
            cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    tiny = call("tiny-model", tmp_path / "tiny")
    assert tiny.exit_code == 0, tiny.exception
    assert "a random SDXL" in tiny.stdout
    result = process("run", "run.toml")
    assert (result.returncode, "Traceback" in result.stderr) == (0, False), result.stderr
    assert "out/lokr.safetensors: 2 updates, the last loss" in result.stdout.replace("\\", "/")
    sampled = call(
        "sample", tmp_path / "tiny", "--lokr", tmp_path / "out" / "lokr.safetensors", "--prompts",
        tmp_path / "prompts.txt", "--out", tmp_path / "drawn", "--size", "64x64", "--steps", "2", "--threads", "1",
    )  # fmt: skip
    assert sampled.exit_code == 0, sampled.exception
    assert (tmp_path / "drawn" / "000.png").is_file()
    merged = call(
        "merge", "--base", tmp_path / "tiny" / "tiny.safetensors", "--lokr", tmp_path / "out" / "lokr.safetensors",
        "--out", tmp_path / "merged.safetensors",
    )  # fmt: skip
    assert merged.exit_code == 0, merged.exception
    assert "layers changed" in merged.stdout


@pytest.mark.parametrize("card", ["12 apples", "0GB", "-3", ""])
def test_a_card_that_is_none_is_told(tmp_path, card):
    result = call("plan", tmp_path / "none.toml", "--for", card)
    assert result.exit_code == 2
    assert "write a number of GB, such as 12GB" in result.output
