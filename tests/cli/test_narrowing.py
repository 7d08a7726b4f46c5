"""The options that sample, sort and cut off what a command selects."""

from __future__ import annotations

import json
from collections import Counter

import pytest

import hakubooru as hb
from booru import write_random
from hakubooru.select import read_ids
from whole_command import call


@pytest.fixture
def path(tmp_path):
    write_random(tmp_path / "posts.db", 200)
    return tmp_path / "posts.db"


def output(*arguments):
    code, stdout, stderr = call(*arguments)
    assert code == 0, stderr
    return stdout


def ids(path, *options):
    out = path.parent / "ids.txt"
    output("select", path, *options, "--out", out)
    return read_ids(out).tolist()


@pytest.mark.parametrize(
    ("options", "select"),
    [
        (["--sample", "20", "--seed", "3"], lambda posts: posts.sample(20, seed=3)),
        (["--sample", "20"], lambda posts: posts.sample(20, seed=0)),
        (["--sample", "0.25"], lambda posts: posts.sample(fraction=0.25, seed=0)),
        (["--sample", "25%"], lambda posts: posts.sample(fraction=0.25, seed=0)),
        (["--sample-per", "rating:5"], lambda posts: posts.sample_per("rating", at_most=5, seed=0)),
        (
            ["--sample-per", "artist:9", "--sample-per", "character:3:strict", "--seed", "7"],
            lambda posts: posts.sample_per("artist", at_most=9, seed=7).sample_per(
                "character", at_most=3, seed=7, strict=True
            ),
        ),
        (["--sample-weighted", "fav_count:9"], lambda posts: posts.sample_weighted("fav_count", 9, seed=0)),
        (["--order", "-score"], lambda posts: posts.order_by("-score")),
        (["--order", "rating, -id", "--limit", "7"], lambda posts: posts.order_by("rating", "-id").limit(7)),
        (
            ["rating:g", "--limit", "2", "--sample", "9", "--order", "score"],
            lambda posts: posts.search("rating:g").sample(9, seed=0).order_by("score").limit(2),
        ),
    ],
)
def test_are_the_steps_of_the_same_names(path, options, select):
    with hb.open(path) as db:
        expected = select(db.posts).to_ids().tolist()
    assert ids(path, *options) == expected
    assert expected


def test_narrow_what_a_recipe_selects_with_its_seed(path):
    recipe = path.parent / "mine.toml"
    recipe.write_text("seed = 5\nquery = 'rating:g'\n", encoding="utf-8")
    with hb.open(path) as db:
        expected = db.posts.search("rating:g").sample(6, seed=5).to_ids().tolist()
    assert ids(path, "--recipe", recipe, "--sample", 6) == expected


def test_a_strict_bound_holds_for_every_character(path):
    with hb.open(path) as db:
        selection = db.posts.among(ids(path, "--sample-per", "character:5:strict"))
        counts = Counter(tag.name for post in selection.posts() for tag in post.tags_of("character"))
    assert counts
    assert max(counts.values()) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sample-per", "character"], "write BY:N or BY:N:strict, such as character:200"),
        (["--sample-per", "character:5:strictly"], "write BY:N or BY:N:strict"),
        (["--sample-per", "charcter:5"], "did you mean 'character'?"),
        (["--sample-weighted", "score:1:strict"], "write COLUMN:N, such as score:1000"),
        (["--sample-weighted", "id:1"], "cannot weigh posts by 'id'"),
        (["--sample", "1.5"], "write a number of posts, or a part of them such as 0.5 or 50%"),
        (["--sample", "half"], "write a number of posts"),
        (["--sample", "201"], "there are 200 posts to draw from"),
        (["--order", "scores"], "posts have no column 'scores'; did you mean 'score'?"),
        (["--limit", "-1"], "--limit"),
        (["--ids", "a.txt", "--ids=b.txt"], "--ids is given twice; give it once"),
    ],
)
def test_mistakes(path, options, message):
    code, stdout, stderr = call("select", path, *options)
    assert (code, stdout) == (2, "")
    assert message in " ".join(stderr.split())
    assert "Traceback" not in stderr


def test_joined_values_narrow_what_is_selected_captioned_and_exported(path, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    scores = tmp_path / "scores.csv"
    scores.write_text(
        "id,score\n" + "".join(f"{post},{post / 100}\n" for post in range(1, 151)), encoding="utf-8"
    )
    join = ("--join", f"silva={scores}")
    code, stdout, stderr = call(
        "select", path, "silva:>1.2 rating:g", *join, "--json", "--lock", tmp_path / "a.lock"
    )
    with hb.open(path) as db:
        expected = [post for post in db.posts.rating("g").to_ids().tolist() if 120 < post <= 150]
    assert code == 0
    assert json.loads(stdout)["posts"] == len(expected) > 3
    assert stderr == "note: 150 of 200 posts of the file have a row of silva\n"
    lock = json.loads((tmp_path / "a.lock").read_text(encoding="utf-8"))
    assert lock["asked"]["join"] == [["silva", str(scores)]]
    assert list(lock["joined"]) == ["silva"]
    assert ids(path, *join, "--order", "-silva", "--limit", 2) == [150, 149]
    captions = output("caption", path, "order:silva limit:2", *join)
    assert [line.split()[0] for line in captions.splitlines()] == ["150", "149"]
    output("export", path, "silva:>=1.5", *join, "--set", "output.sink=captions", "--out", tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").rglob("150.txt")] == ["150.txt"]
    for value in ("silva", "=x", "silva=", f"Silva={scores}", f"score={scores}"):
        assert call("select", path, "--join", value)[0] == 2


def test_a_lock_has_what_was_asked(path, tmp_path):
    lock = tmp_path / "mine.lock"
    options = ("select", path, "--sample", 3, "--sample-per", "artist:3:strict", "--lock", lock)
    assert output(*options).endswith("mine.lock written\n")
    settings = json.loads(lock.read_text(encoding="utf-8"))["asked"]
    assert settings["sample"] == 3
    assert settings["sample_per"] == [["artist", 3, True]]
    assert "limit" not in settings
    assert output(*options).endswith("mine.lock says the same\n")
    code, _, stderr = call(*options, "--limit", 2)
    assert code == 1
    assert "asked: limit was nothing, now it is 2" in stderr


def test_a_query_is_not_taken_for_a_lock(path):
    code, _, stderr = call("select", path, "--lock", "rating:g")
    assert code == 2
    assert "write --lock after QUERY, or with a file: --lock=NAME.lock" in " ".join(stderr.split())


def test_shows_the_first_posts(path):
    text = output("select", path, "order:score", "--show", 2)
    with hb.open(path) as db:
        first, second = list(db.posts.search("order:score limit:2").posts())
    assert f"{first.id}  {first.rating}, score {first.score}, " in text
    assert text.index(f"{first.id}  {first.rating}") < text.index(f"{second.id}  {second.rating}")
    assert text.splitlines()[-1] == "200 posts, ids 1 to 200"
    assert output("select", path, "id:7").splitlines() == ["1 post, id 7"]
    table = json.loads(output("select", path, "order:score", "--show", 2, "--json"))["shown"]
    assert [post["id"] for post in table] == [first.id, second.id]
    assert table[0]["tags"]["general"] == [tag.name for tag in first.tags_of("general")]


def test_tags_of_a_type_with_enough_posts(path):
    with hb.open(path) as db:
        counts = db.posts.tag_counts()
    characters = counts[(counts["type"] == "character") & (counts["posts"] >= 20)]
    rows = [json.loads(line) for line in output("tags", path, "--type", "character", "--json").splitlines()]
    assert {row["type"] for row in rows} == {"character"}
    common = output("tags", path, "--min-posts", 20, "--type", "character", "--json").splitlines()
    assert {json.loads(line)["name"] for line in common} == set(characters["name"])
    _, _, stderr = call("tags", path, "--limit", 1, "--type", "general")
    assert stderr.startswith("note: showing the most common 1 of ")
    code, _, stderr = call("tags", path, "--type", "meta", "--min-posts", 10**6)
    assert code == 2
    assert "no tag of type meta with 1,000,000 posts or more matches '*'" in stderr


def test_the_seed_of_the_recipe_counts_for_random_posts_of_the_query(path):
    recipe = path.parent / "r.toml"
    recipe.write_text("seed = 3\n", encoding="utf-8")
    with hb.open(path) as db:
        expected = {
            seed: sorted(db.posts.search("random:5", seed=seed).to_ids().tolist()) for seed in (0, 3, 4)
        }
    assert sorted(ids(path, "random:5")) == expected[0]
    assert sorted(ids(path, "random:5", "--recipe", str(recipe))) == expected[3]
    assert sorted(ids(path, "random:5", "--recipe", str(recipe), "--seed", "4")) == expected[4]
    recipe.write_text("seed = 3\n[[steps]]\nsample = 9\n", encoding="utf-8")
    code, _, stderr = call("select", path, "1girl", "--recipe", str(recipe), "--seed", "4")
    assert code == 2
    assert "--seed is for --sample, --sample-per, --sample-weighted and random: in QUERY" in stderr
