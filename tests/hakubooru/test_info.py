"""What `Database.info` counts."""

import pytest

import hakubooru as hb
from booru import post_row, write

BAGS = {1: ["solo"], 2: ["even", "solo"], 3: ["third", "solo"]}
RATINGS = {1: "sensitive", 2: "questionable", 3: "explicit"}


@pytest.fixture
def path(tmp_path):
    rows = [post_row(number, rating=rating) for number, rating in RATINGS.items()]
    kinds = [("solo", "general"), ("even", "artist"), ("third", "character")]
    write(tmp_path / "some.db", rows, BAGS.__getitem__, kinds)
    return tmp_path / "some.db"


def test_info(path):
    with hb.open(path) as db:
        info = db.info()
    assert info.generation == 4
    assert (info.posts, info.tags, info.relations) == (3, 3, 5)
    assert (info.first_id, info.last_id) == (1, 3)
    assert info.ratings == {"general": 0, "sensitive": 1, "questionable": 1, "explicit": 1}
    assert info.size_bytes == path.stat().st_size


def test_info_of_an_empty_file(tmp_path):
    with hb.create(tmp_path / "empty.db") as db:
        info = db.info()
    assert (info.posts, info.first_id, info.last_id) == (0, None, None)
    assert set(info.ratings.values()) == {0}


def test_a_notebook_shows_the_ends_of_a_file(path, tmp_path):
    with hb.open(path) as db, hb.create(tmp_path / "empty.db") as empty:
        assert "posts 1 to 3, " in db._repr_html_()
        assert "no posts, " in empty._repr_html_()


def test_info_scans_the_posts_once(path):
    with hb.open(path) as db:
        assert db.about  # a file that does not say what is unknown is scanned when it is first asked
        statements = []
        db.connection().set_trace_callback(statements.append)
        db.info()
        db.connection().set_trace_callback(None)
        steps = [row[3] for sql in statements for row in db.rows(f"EXPLAIN QUERY PLAN {sql}")]
        plan = db.rows("EXPLAIN QUERY PLAN SELECT COUNT(*) FROM posttagrelation")
    assert [step for step in steps if "SCAN post" in step] == ["SCAN post"]
    # The relations are counted in another thread, by an index.
    assert "COVERING INDEX posttagrelation" in plan[0][3]
    assert not any("posttagrelation" in step for step in steps)
