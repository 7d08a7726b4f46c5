"""`hakubooru-train evaluate` with a tiny SDXL, in this process; and what it says of wrong input."""

from __future__ import annotations

import hashlib
import json
import time

import click
import pytest
import torch
from click.testing import CliRunner
from pyarrow import parquet

from evaluation_processes import kill_all, ranks
from hakubooru.errors import DatabaseFileError, InputError, ModelError, UnknownTagError
from hakubooru_cli.train import cli
from onnx_networks import write_ccip, write_tagger
from planted import write_planted

CONFIG = """
[characters]
images = 3
[references]
count = 3
cache = "{folder}/cache"
[drawing]
images = 2
area = 4096
step = 16
min_side = 32
steps = 1
batch = 2
[score]
model = "{folder}/ccip"
resamples = 100
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A booru, networks, a tiny model and a configuration."""
    from hakubooru_trainer.model.tiny import write_tiny

    place = tmp_path_factory.mktemp("evaluate")
    write_planted(place / "booru", 5, posts=4)
    write_ccip(place / "ccip")
    write_tiny(place / "tiny", layers=1)
    (place / "evaluate.toml").write_text(CONFIG.format(folder=place.as_posix()))
    return place


def arguments_of(folder, *more, model="tiny", db="booru/planted.db", images="booru/images", out="out"):
    return [
        *("evaluate", folder / model, "--db", folder / db, "--images", folder / images),
        *("--out", folder / out, "--config", folder / "evaluate.toml", *more),
    ]


def evaluate(folder, *more, **parts):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments_of(folder, *more, **parts)])


def error_of(result):
    assert isinstance(result.exception, InputError), result.exception
    return str(result.exception)


@pytest.mark.slow
def test_a_tiny_model_is_evaluated_and_compared(folder):
    result = evaluate(folder, "--characters", "3")
    assert result.exit_code == 0, result.exception
    assert "by 3 characters" in result.stdout
    assert str(folder / "out" / "report.html") in result.stdout
    pictures = sorted((folder / "out" / "pictures").rglob("*.png"))
    assert len(pictures) == 6
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in pictures]

    # Taken up after a loss: a batch is drawn anew, with the same bits.
    pictures[3].unlink()
    assert evaluate(folder, "--characters", "3").exit_code == 0
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in pictures] == hashes

    # The same characters by name, with a tagger: the pictures are the same, and so is the score.
    (folder / "list.txt").write_text("# mine\nhero 00 (planted)\nhero_01_(planted)\n\nhero_02_(planted)\n")
    write_tagger(folder / "tagger", {"1girl": ("0", 2), "hero_00_(planted)": ("4", 0)})
    (folder / "tags.toml").write_text(
        (folder / "evaluate.toml").read_text() + f'[tags]\nmodel = "{(folder / "tagger").as_posix()}"\n'
    )
    tagged = evaluate(
        folder, "--characters", folder / "list.txt", "--config", folder / "tags.toml", out="tagged"
    )
    assert tagged.exit_code == 0, tagged.exception
    assert "the prompts' tags that the tagger sees" in tagged.stdout
    others = sorted((folder / "tagged" / "pictures").rglob("*.png"))
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in others] == hashes
    compared = CliRunner().invoke(
        cli, ["evaluate", "--compare", *map(str, (folder / "out", folder / "tagged"))]
    )
    assert compared.exit_code == 0, compared.exception
    assert "difference: +0.0000 (+0.0000 to +0.0000, 95%, paired by 3 characters)" in compared.stdout

    about = json.loads((folder / "out" / "evaluation.json").read_text())["about"]
    assert [licence["role"] for licence in about["licences"]] == ["draws the pictures", "judges the pictures"]
    rows = parquet.read_table(folder / "tagged" / "scores.parquet").to_pylist()
    assert [row["character"][:7] for row in rows] == ["hero_00", "hero_01", "hero_02"]
    assert all(row["tags"] is not None for row in rows)

    # Another model into the same folder.
    single = evaluate(folder, "--characters", "4", model="tiny")
    assert "holds another evaluation: characters, references differ (characters was" in error_of(single)
    (folder / "v.toml").write_text((folder / "evaluate.toml").read_text() + '[model]\nprediction = "v"\n')
    as_v = evaluate(folder, "--characters", "3", "--config", folder / "v.toml")
    assert "holds another evaluation: drawn.by differs" in error_of(as_v)


def contents(out):
    """The SHA-256 of all that an evaluation leaves for people."""
    names = ("characters.parquet", "references.parquet", "evaluation.json", "scores.parquet", "report.html")
    files = [out / name for name in names] + [*(out / "pictures").rglob("*")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()}


@pytest.mark.kill
def test_torchrun_draws_the_same_and_takes_up_what_was_killed(folder):
    """All processes are killed in the middle, then one rank, which torchrun starts again; beside one process, byte by byte."""
    torch.set_num_threads(1)  # as each rank has: more threads round otherwise
    assert evaluate(folder, "--characters", "5", out="alone").exit_code == 0
    arguments = [str(argument) for argument in arguments_of(folder, "--characters", "5", out="shared")]
    pictures = folder / "shared" / "pictures"
    launcher = ranks(arguments, "1 3 SIGSTOP", folder / "output")
    # Rank 0 draws its batches of 2, 2 and 1 pictures and waits; rank 1 stops in its second batch.
    while len(paths := {*pictures.rglob("[!.]*.png")}) < 7:
        time.sleep(0.05)
        assert launcher.poll() is None, (folder / "output").read_text()
    kill_all(launcher)
    stamps = {path: path.stat().st_mtime_ns for path in paths}
    assert ranks(arguments, "0 2 SIGKILL", folder / "output").wait() == 0, (folder / "output").read_text()
    output = (folder / "output").read_text()
    assert "exitcode: -9" in output.replace(" :", ":")  # torchrun's word on the rank that it lost
    assert {path: path.stat().st_mtime_ns for path in paths} == stamps  # what was whole was not drawn again
    assert contents(folder / "shared") == contents(folder / "alone")
    assert len(contents(folder / "shared")) == 5 + 10


@pytest.mark.slow
def test_wrong_input_is_named_before_anything_is_drawn(folder):
    for result, parts in (
        (evaluate(folder, model="none"), ["none does not exist"]),
        (evaluate(folder, model="ccip/metrics.json"), ["metrics.json"]),
        (evaluate(folder, db="none.db"), ["none.db is not a file; name a metadata database"]),
        (evaluate(folder, "--lokr", folder / "a.safetensors"), ["a.safetensors does not exist"]),
        (
            evaluate(folder, "--characters", folder / "no.txt"),
            ["no.txt cannot be read as a list of characters"],
        ),
        (evaluate(folder, "--characters", "0"), ["characters.count = 0; write a whole number of at least 1"]),
        (evaluate(folder, out="evaluate.toml"), ["--out is", "which is a file; name a folder"]),
        (evaluate(folder, model="none", db="none.db"), ["2 things are wrong", "none does not exist"]),
    ):
        message = error_of(result)
        assert all(part in message for part in parts), message


def test_configurations_are_checked(folder, tmp_path):
    for text, part in (
        ("[drawing]\nstep = 12\n", "drawing.step is 12; the VAE needs multiples of 8"),
        ('[drawing]\nshapes = ["wide"]\n', "drawing.shapes has 'wide'; write width:height"),
        ("[drawing]\ntokens = 80\n", "drawing.tokens = 80; there are: 75, 150, 225"),
        ("[drawing]\narea = 100\n", "there are no buckets of area 100"),
        ("[drawing]\nsteps = 1001\n", "drawing.steps = 1001; write a whole number from 1 to 1000"),
        ("[tags]\nthreshold = 2.0\n", "tags.threshold = 2.0; write a number from 0 to 1"),
        ('[references]\nquery = ""\n', "references.query is empty"),
        ("[charcters]\ncount = 3\n", "has no key 'charcters'; did you mean 'characters'?"),
        ("[score]\nbatch = true\n", "score.batch = true; write a whole number"),
    ):
        (tmp_path / "wrong.toml").write_text(text)
        message = error_of(evaluate(folder, "--config", tmp_path / "wrong.toml"))
        assert part in message, message


@pytest.mark.parametrize(
    "arguments",
    [["model", "--db", "x.db"], ["--compare", "a", "b", "--out", "c"], ["m", "--compare", "a", "b"]],
)
def test_what_belongs_together_is_said(arguments):
    result = CliRunner().invoke(cli, ["evaluate", *arguments], standalone_mode=False)
    assert isinstance(result.exception, click.UsageError)
    assert "MODEL" in result.exception.message


def test_a_missing_extra_is_named(folder, monkeypatch):
    import importlib.util

    plain = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else plain(name)
    )
    assert error_of(evaluate(folder)).startswith(
        "evaluate needs onnxruntime; install the extra `evaluate`: pip install '.[train,evaluate]'"
    )


def test_every_key_can_be_shown():
    result = CliRunner().invoke(cli, ["evaluate", "--help-config"])
    assert 'query = "solo rating:g,s"' in result.stdout
    assert 'model = "deepghs/ccip_onnx/ccip-caformer-24-randaug-pruned"' in result.stdout
    assert "[drawing]" in result.stdout


@pytest.mark.slow
def test_what_only_the_work_shows_is_named(folder, tmp_path):
    (tmp_path / "list.txt").write_text("hero_00_(plantd)\n")
    for result, kind, part in (
        (
            evaluate(folder, "--characters", tmp_path / "list.txt", out="wrong"),
            UnknownTagError,
            "the list of characters: the database has no tag 'hero_00_(plantd)'; similar tags: hero_00_(planted)",
        ),
        (evaluate(folder, db="evaluate.toml", out="wrong"), DatabaseFileError, "evaluate.toml"),
        (evaluate(folder, images="nowhere", out="wrong"), InputError, "does not exist"),
        (evaluate(folder, "--manifest", tmp_path, out="wrong"), InputError, "has no manifest.parquet"),
    ):
        assert isinstance(result.exception, kind), result.exception
        assert part in str(result.exception)
    (folder / "broken").mkdir()
    (folder / "broken" / "model_feat.onnx").write_bytes(b"no network")
    (tmp_path / "broken.toml").write_text((folder / "evaluate.toml").read_text().replace("/ccip", "/broken"))
    result = evaluate(folder, "--config", tmp_path / "broken.toml", out="wrong")
    assert isinstance(result.exception, ModelError)
    assert "has no model_metrics.onnx, metrics.json; name a folder with model_feat.onnx" in str(
        result.exception
    )
