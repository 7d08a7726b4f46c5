"""Options that would have no effect: they are refused, or a note says so."""

from __future__ import annotations

import pytest

import hakubooru as hb
from whole_command import call


@pytest.fixture
def recipe(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('query = "rating:g"\n', encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("select --seed 3", "leave --seed out, or add a sample"),
        ("select rating:g --seed 3", "leave --seed out, or add a sample"),
        ("stats --seed 0", "leave --seed out, or add a sample"),
        ("select --implications", "add QUERY"),
        ("select rating:g --explain --out ids.txt", "--explain only shows what would run"),
        ("select --explain --funnel", "--explain only shows what would run"),
        ("select --explain --lock", "--explain only shows what would run"),
        ("select --explain --show 3", "--explain only shows what would run"),
        ("select --explain --json", "--explain only shows what would run"),
        ("caption rating:g --post 3", "leave out QUERY"),
        ("caption --post 3 --limit 5", "leave out QUERY"),
        ("caption --post 3 --workers 2", "--workers is for --out"),
        ("caption --workers 1", "--workers is for --out"),
        ("caption --set image.format=webp", "no other settings than caption.KEY=VALUE"),
    ],
)
def test_it_is_refused(path, tmp_path, monkeypatch, line, message):
    command, *options = line.split()
    monkeypatch.chdir(tmp_path)
    entries = sorted(tmp_path.iterdir())
    code, stdout, stderr = call(command, path, *options)
    assert (code, stdout) == (2, "")
    assert message in " ".join(stderr.split())
    assert sorted(tmp_path.iterdir()) == entries


@pytest.mark.parametrize("text", ["", "[[steps]]\nlimit = 5\noff = true\n", "[[steps]]\nsample = 0.5\n"])
def test_a_scale_of_a_recipe_without_sizes_is_refused(path, recipe, text):
    with recipe.open("a", encoding="utf-8") as file:
        file.write(text)
    code, _, stderr = call("select", path, "--recipe", recipe, "--scale", 0.5)
    assert code == 2
    assert "the ids, sizes of samples and limits of a recipe, and mine has none" in " ".join(stderr.split())


@pytest.mark.parametrize(
    "text",
    [
        "[[strata]]\nids = [0, 100]\n",
        "[[steps]]\nlimit = 50\n",
        "[[steps]]\nsample = 50\n",
        '[[steps]]\nsample_per = "rating"\nat_most = 4\n',
    ],
)
def test_a_scale_of_a_recipe_with_sizes_is_taken(path, recipe, text):
    with recipe.open("a", encoding="utf-8") as file:
        file.write(text)
    whole, half = (call("select", path, "--recipe", recipe, "--scale", scale) for scale in (1, 0.5))
    assert (whole[0], half[0]) == (0, 0)
    assert int(half[1].split()[0]) < int(whole[1].split()[0])


def test_the_caption_of_a_post_needs_no_posts_of_the_recipe(path):
    code, stdout, _ = call("caption", path, "--post", 3, "--recipe", "epsilon")
    assert code == 0
    assert "|||" in stdout


@pytest.mark.parametrize("line", ["select", "caption --post 3"])
def test_a_joined_file_is_hashed_once(path, recipe, tmp_path, monkeypatch, line):
    """It may be so large that this takes minutes."""
    join, names = hb.Database.join, []

    def count(database, name, file):
        names.append(name)
        return join(database, name, file)

    monkeypatch.setattr(hb.Database, "join", count)
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for file in files:
        file.write_text("id,value\n3,0.5\n", encoding="utf-8")
    with recipe.open("a", encoding="utf-8") as file:
        file.write(f"[join]\na = '{files[0]}'\n")
    command, *options = line.split()
    code, _, stderr = call(command, path, "--recipe", recipe, "--join", f"b={files[1]}", *options)
    assert code == 0, stderr
    assert sorted(names) == ["a", "b"]


def test_ids_of_no_post_are_counted(path, tmp_path):
    ids = tmp_path / "ids.txt"
    ids.write_text("3\n3\n5\n9999\n10000\n", encoding="utf-8")
    code, stdout, stderr = call("select", path, "--ids", ids)
    assert (code, stdout.split(",")[0]) == (0, "2 posts")
    assert stderr == f"note: 2 of 4 ids in {ids} are of no post of the file\n"
    ids.write_text("3\n5\n", encoding="utf-8")
    assert call("select", path, "--ids", ids)[2] == ""


def test_what_a_sink_does_not_use_is_named(path, tmp_path):
    options = ["--set", "image.format=webp", "--set", "output.shard_images=7", "--images", tmp_path]
    code, _, stderr = call(
        "export", path, "id:1..3", "--sink", "captions", *options, "--out", tmp_path / "out"
    )
    assert code == 0
    assert stderr.splitlines() == [
        "note: --images has no effect on the sink captions",
        "note: --set image.format=webp has no effect on the sink captions",
        "note: --set output.shard_images=7 has no effect on the sink captions",
    ]
