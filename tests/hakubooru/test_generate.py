"""The benchmarks' file is what it says it is."""

import sqlite3

import pytest

import hakubooru as hb
from benchmarks.generate import generate
from danbooru import every_row


@pytest.fixture(scope="module")
def generated_file(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("made") / "made.db", 1_500, seed=3)


@pytest.mark.slow
def test_it_has_the_published_layout(generated_file, tmp_path):
    hb.create(tmp_path / "empty.db").close()
    layouts = []
    for path in (generated_file, tmp_path / "empty.db"):
        connection = sqlite3.connect(path)
        layouts.append(set(connection.execute("SELECT name, sql FROM sqlite_master")))
        connection.close()
    assert layouts[0] == layouts[1]


@pytest.mark.slow
def test_its_tags_are_counted_and_about_35_a_post(generated_file):
    with hb.open(generated_file) as db:
        info = db.info()
        assert info.posts == 1_500
        assert 34 < info.relations / info.posts < 36
        count = db.scalar("SELECT COUNT(*) FROM posttagrelation WHERE tag_id = ?", [db.tags["1girl"].id])
        assert db.tags["1girl"].popularity == count > 900


@pytest.mark.slow
def test_the_same_size_and_seed_give_the_same_rows(generated_file, tmp_path):
    same, other = (generate(tmp_path / f"{seed}.db", 1_500, seed=seed) for seed in (3, 4))
    rows = [every_row(path) for path in (generated_file, same, other)]
    assert rows[0] == rows[1] != rows[2]
