from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import hakubooru as hb
from hakubooru.caption import PRESETS
from hakubooru_cli.main import cli
from published_sites import e621_export
from whole_command import call


def run(*arguments):
    return CliRunner().invoke(cli, ["caption", *map(str, arguments)])


def test_list_shows_every_format_and_needs_no_file():
    result = run("--list")
    assert result.exit_code == 0
    assert all(f"{name}: " in result.stdout for name in PRESETS)
    assert "1girl, toyosatomimi no miko, touhou, tis (shan0x0shan) ||| :q, blonde hair" in result.stdout


def test_one_post_with_its_parts(path):
    result = run(path, "--post", 3, "--caption", "kohaku-epsilon")
    lines = result.stdout.splitlines()
    assert "|||" in lines[0]
    assert [line.split()[0] for line in lines[1:]] == [
        "people",
        "character",
        "copyright",
        "artist",
        "general",
        "quality",
        "date",
        "meta",
        "rating",
    ]


def test_the_first_ten(path):
    assert [line.split()[0] for line in run(path).stdout.splitlines()] == [str(i) for i in range(1, 11)]


@pytest.mark.parametrize("suffix", [".jsonl", ".txt", ".parquet"])
def test_a_file(path, tmp_path, suffix):
    out = tmp_path / f"captions{suffix}"
    assert run(path, "--out", out).stdout == f"200 captions written to {out}\n"
    assert out.exists()


def test_the_format_of_a_file(path, tmp_path):
    shape = tmp_path / "mine.toml"
    shape.write_text('[caption]\norder = ["rating"]\nbefore = "anime"\n', encoding="utf-8")
    out = tmp_path / "captions.jsonl"
    assert run(path, "--caption", shape, "--out", out).exit_code == 0
    first = json.loads(out.read_text(encoding="utf-8").splitlines()[0])
    assert first["id"] == 1
    assert first["caption"].startswith("anime, ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--caption", "kohaku-epsilom"], "did you mean 'kohaku-epsilon'?"),
        (["--caption", "nowhere.toml"], "nowhere.toml cannot be read"),
        (["--post", "12345"], "has no post 12345"),
        (["--out", "captions.csv"], "captions.csv cannot be written"),
        (["--out", "captions.txt", "--post", "1"], "leave one of them out"),
        (["--out", "captions.txt", "--workers", "0"], "0 is not in the range"),
    ],
)
def test_wrong_input_ends_with_2_and_one_sentence(path, arguments, message):
    code, _, stderr = call("caption", path, *arguments)
    assert code == 2
    assert message in stderr
    assert "Traceback" not in stderr


@pytest.mark.slow
def test_two_workers_as_a_real_process(path, tmp_path):
    out = tmp_path / "captions.jsonl"
    command = [Path(sys.executable).with_name("hakubooru"), "caption", path, "--out", out, "--workers", "2"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    assert len(out.read_text(encoding="utf-8").splitlines()) == 200


def test_a_joined_file_gives_texts_and_labels(path, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "nl.csv").write_text("id,caption\n3,A small cat.\n", encoding="utf-8")
    (tmp_path / "silva.csv").write_text("id,score\n3,0.7\n4,0.1\n", encoding="utf-8")
    (tmp_path / "mine.toml").write_text(
        '[caption]\nbase = "kohaku-zeta"\ntext = "nl"\norder = ["text", "aesthetic"]\n'
        '[caption.aesthetic]\nby = "silva"\nscale = "values"\nlabels = {pretty = 0.5, plain = -1}\n',
        encoding="utf-8",
    )
    joins = ["--join", f"nl={tmp_path / 'nl.csv'}", "--join", f"silva={tmp_path / 'silva.csv'}"]
    shape = ["--caption", tmp_path / "mine.toml"]
    result = run(path, *joins, *shape, "--out", tmp_path / "out.jsonl")
    assert result.exit_code == 0, result.output
    lines = map(json.loads, (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines())
    captions = {line["id"]: line["caption"] for line in lines}
    assert (captions[3], captions[4], captions[5]) == ("A small cat., pretty", "plain", "")
    assert run(path, *joins, *shape, "--post", 3).stdout.splitlines()[0] == "A small cat., pretty"
    missing = run(path, *joins[:2], *shape)
    assert missing.exit_code != 0
    assert "join its file: --join silva=FILE" in str(missing.exception)


def test_list_says_what_becomes_of_types_without_a_part():
    lines = [
        line for line in run("--list").stdout.splitlines() if line.startswith(("e621 in", "Gelbooru in"))
    ]
    assert lines == [
        (
            "e621 in all but danbooru, noobai: tags of the type species are written with the general ones, "
            "tags of the type lore or contributor or invalid are left out"
        ),
        "e621 in danbooru: tags of the type contributor or invalid are left out",
        "e621 in noobai: tags of the type lore or contributor or invalid are left out",
        "Gelbooru in all but danbooru: tags of the type unknown are written with the general ones",
    ]


def test_captions_of_another_site_say_what_becomes_of_its_types(tmp_path):
    posts, lists = e621_export(tmp_path)
    hb.build(posts, tmp_path / "e621.db", tags=lists)
    note = "note: in captions of e621, tags of the type species are written with the general ones, "
    assert run(tmp_path / "e621.db").stderr.startswith(note)
    assert "species" not in run(tmp_path / "e621.db", "--caption", "noobai-xl").stderr


def test_captions_of_danbooru_need_no_such_note(path):
    assert "the type" not in run(path, "--post", 3).stderr
