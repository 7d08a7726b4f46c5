from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import hakubooru as hb
from booru import TAGS, post_row, write
from hakubooru.store.tags import ALIAS_TABLE
from hakubooru_cli.main import cli
from whole_command import call


def run(*arguments):
    return CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False)


def test_stats_as_text_and_json(path):
    text = run("stats", path, "rating:g").stdout
    report = json.loads(run("stats", path, "rating:g", "--json", "--top", 3).stdout)
    assert text.startswith(f"{report['posts']} posts\n")
    assert {"ratings", "years", "quality", "file types", "megapixels", "buckets", "artist tags"} <= set(
        text.split("\n")
    )
    assert f"  {'general':<12}  {report['posts']:>12,}  100.0%  {'#' * 30}" in text.split("\n")
    assert report["ratings"]["general"] == report["posts"]
    assert len(report["tags"]["general"]) == 3


def test_stats_of_nothing(path):
    assert run("stats", path, "id:>1000").stdout.startswith("0 posts")


@pytest.fixture
def tagged(tmp_path):
    file = tmp_path / "tags.db"
    bags = {1: ["1girl", "solo"], 2: ["1girl"], 3: ["o_o"]}
    extra = [("oxo", "general"), ("100%_o", "general"), ("ソロ", "character")]
    write(file, [post_row(post_id) for post_id in bags], bags.__getitem__, tags=[*TAGS, *extra])
    return file


def test_tags_by_pattern(tagged):
    lines = run("tags", tagged, "*o*").stdout.splitlines()
    assert [line.split()[:3] for line in lines[:3]] == [
        ["o_o", "general", "1"],
        ["solo", "general", "1"],
        ["100%_o", "general", "0"],
    ]
    assert [line.split()[0] for line in run("tags", tagged, "O_O").stdout.splitlines()] == ["o_o"]
    assert [line.split()[0] for line in run("tags", tagged, "*%*").stdout.splitlines()] == ["100%_o"]
    assert len(run("tags", tagged, "*", "--limit", 2).stdout.splitlines()) == 2


def test_tags_that_the_file_counted(tagged):
    with hb.open(tagged, writable=True) as db:
        db.rows("UPDATE tag SET popularity = 1234567 WHERE name = 'comic'")
    assert run("tags", tagged, "*").stdout.splitlines()[0].split() == ["comic", "general", "1,234,567"]


def test_tags_by_alias(tagged):
    with hb.open(tagged, writable=True) as db:
        db.rows(ALIAS_TABLE)
        db.rows("INSERT INTO tagalias VALUES ('sole_female', '1girl'), ('sole', 'solo'), ('so', 'solo')")
    _, stdout, _ = call("tags", tagged, "so*", "--json")
    assert [json.loads(line) for line in stdout.splitlines()] == [
        {"name": "1girl", "type": "general", "posts": 2, "alias": "sole_female"},
        {"name": "solo", "type": "general", "posts": 1, "alias": None},
    ]
    code, stdout, stderr = call("tags", tagged, "1gril")
    assert (code, stdout) == (2, "")
    assert "similar tags: 1girl" in stderr
    code, _, stderr = call("tags", tagged, "x*y")
    assert (code, "no tag matches 'x*y'" in stderr) == (2, True)
