"""FILE QUERY: what the commands that take a search say of it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import hakubooru as hb
from booru import post_row, write, write_random
from hakubooru.errors import InputError
from hakubooru_cli.main import cli
from whole_command import call

COMMANDS = ["select", "stats", "caption", "export", "tags"]


@pytest.fixture
def path(tmp_path):
    write_random(tmp_path / "posts.db", 200)
    return tmp_path / "posts.db"


def run(*arguments):
    return CliRunner().invoke(cli, list(map(str, arguments)), prog_name="hakubooru")


def message_of(result):
    return " ".join(result.stderr.split())


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("words", "mend"),
    [
        (["-comic"], "-- -comic"),
        (["-comic solo"], "-- '-comic solo'"),
        (["-hat"], "-- -hat"),
        (["-(a", "b)"], "-- '-(a b)'"),
        (["solo", "-comic"], "'solo -comic'"),
        (["solo", "comic"], "'solo comic'"),
        (["-comic", "--", "solo"], "-- '-comic solo'"),
        (["--", "solo", "-comic"], "'solo -comic'"),
    ],
)
def test_a_query_that_is_taken_for_an_option_is_shown_as_it_must_be_written(command, words, mend):
    options = ["--out", "x"] if command == "export" else []
    result = run(command, *options, "posts.db", *words)
    assert result.exit_code == 2
    assert message_of(result).endswith(f"write: hakubooru {command} posts.db {mend}")


def test_the_value_of_an_option_is_no_part_of_the_query():
    result = run("select", "--out", "x.txt", "--funnel", "posts.db", "-comic", "--columns=id")
    assert message_of(result).endswith("write: hakubooru select posts.db -- -comic")


@pytest.mark.parametrize("words", [["--comic"], ["--recipe"], ["solo", "--comic"]])
def test_a_mistyped_option_is_no_query(words):
    result = run("select", "posts.db", *words)
    assert result.exit_code == 2
    assert "write:" not in message_of(result)


def test_what_is_proposed_works(path):
    with hb.open(path) as db:
        expected = db.posts.search("-comic").count()
    assert json.loads(run("select", path, "--json", "--", "-comic").stdout)["posts"] == expected


@pytest.mark.parametrize(
    ("query", "count"), [("is:active", 1), ("-is:active or parent:active", 2), ("solo", 0)]
)
def test_what_the_file_cannot_tell_apart_is_noted(path, query, count):
    result = run("select", path, "--json", "--", query)
    assert json.loads(result.stdout)["posts"] > 0
    assert result.stderr.count("note:") == count
    assert result.stderr.count("pending and flagged posts are not known") == count


def test_tags_say_how_many_there_are(path):
    result = run("tags", path, "*o*", "--limit", 2)
    assert len(result.stdout.splitlines()) == 2
    assert result.stderr == "note: showing the most common 2 of 6 tags; --limit 6 shows all\n"
    assert len(run("tags", path, "*o*", "--limit", 2, "--json").stdout.splitlines()) == 2
    whole = run("tags", path, "*o*", "--limit", 6)
    assert (len(whole.stdout.splitlines()), whole.stderr) == (6, "")


@pytest.mark.parametrize(
    ("strata", "message"),
    [
        (
            "ids = [0, 100]\nsample = 150",
            "mine: a sample of 150 was asked for, and there are 99 posts at most with ids from 0 up to 100; ask for fewer",
        ),
        ("ids = [300]", "mine: ids from 300 on were asked for, and the file ends at id 200; "),
        (
            "ids = [300]\nsample = 0.5",
            "ids from 300 on were asked for, and the file ends at id 200; multiply",
        ),
        ("ids = [0, 1000]\nsample = 500", "and there are 200 posts at most with ids from 0 up to 1,000; "),
        ("ids = [0, 1000]\nsample = 500", "multiply ids and samples: --scale 0.2"),
    ],
)
def test_a_recipe_that_asks_for_more_than_the_file_has_proposes_a_scale(path, tmp_path, strata, message):
    recipe = tmp_path / "mine.toml"
    recipe.write_text(f"[[strata]]\n{strata}\n", encoding="utf-8")
    result = run("select", path, "--recipe", recipe)
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)


@pytest.mark.parametrize("sample", ["", "sample = 5"])
def test_a_recipe_that_asks_for_earlier_posts_than_the_file_has_is_told_so(tmp_path, sample):
    write(tmp_path / "new.db", [post_row(post_id) for post_id in range(7_000_000, 7_000_050)])
    strata = f"[[strata]]\nids = [0, 2_000_000]\n{sample}\n[[strata]]\nids = [7_000_000]\n"
    (tmp_path / "mine.toml").write_text(strata, encoding="utf-8")
    assert str(run("select", tmp_path / "new.db", "--recipe", tmp_path / "mine.toml").exception) == (
        "mine: ids from 0 up to 2,000,000 were asked for, and the file begins at id 7,000,000; leave that range out"
    )


def test_the_scale_that_is_proposed_fits(path):
    error = str(run("select", path, "--recipe", "epsilon").exception)
    scale = error.rsplit("--scale ", 1)[1]
    assert run("select", path, "--recipe", "epsilon", "--scale", scale).exit_code == 0


def test_a_sample_from_a_file_with_gaps_proposes_a_scale(tmp_path):
    write(tmp_path / "gaps.db", [post_row(post_id) for post_id in range(1, 100, 10)])
    (tmp_path / "mine.toml").write_text("[[strata]]\nids = [0, 100]\nsample = 50\n", encoding="utf-8")
    error = str(run("select", tmp_path / "gaps.db", "--recipe", tmp_path / "mine.toml").exception)
    assert error.startswith("recipe mine: a sample of 50 was asked for, and there are 10 posts")
    assert "--scale" in error


def test_the_seed_counts_for_random_posts_of_the_query(path, tmp_path):
    files = [tmp_path / f"{seed}.txt" for seed in (1, 2)]
    for seed, file in zip((1, 2), files, strict=True):
        assert call("select", path, "random:9", "--seed", seed, "--out", file)[0] == 0
    assert files[0].read_text() != files[1].read_text()
