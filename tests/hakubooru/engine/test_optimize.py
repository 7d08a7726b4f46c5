from __future__ import annotations

import shutil
import sqlite3

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import hakubooru as hb
from booru import TAGS, post_row, tracing, write, write_random
from hakubooru.engine import optimize as making
from hakubooru.engine.cache import Sidecar, code_base, open_sidecar, stamp_of
from hakubooru.engine.optimize import NewSidecar, optimize, pack
from hakubooru.errors import DestinationError
from hakubooru_cli.main import cli

QUESTIONS = (
    "solo",
    "1girl -comic",
    "solo or comic",
    "~solo ~highres score:>3",
    "-solo rating:g",
    "id:30..150 id:<120 -solo",
    "id:20..90",
    "bespin order:score limit:5",
)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """The user's cache, elsewhere than the user's."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture(params=[1, 10**6], ids=["bits", "places"])
def optimized_file(path, request):
    """A database with a sidecar that holds every tag in one of its two ways."""
    with hb.open(path) as db:
        optimize(db, common=10**6 if request.param == 1 else 0, rows_a_read=101, posts_a_bucket=64)
    return path


def answers(path):
    with hb.open(path) as db:
        return [db.posts.search(question).to_ids().tolist() for question in QUESTIONS]


def test_answers_are_the_same_with_it_and_without(optimized_file):
    sidecar = optimized_file.with_name(optimized_file.name + ".sidecar")
    with_it = answers(optimized_file)
    shutil.rmtree(sidecar)
    assert answers(optimized_file) == with_it
    assert all(with_it)


def test_it_answers_without_the_relations(optimized_file):
    with hb.open(optimized_file) as db:
        statements: list[str] = []
        with tracing(db, statements):
            assert db.posts.tagged("solo", none=["comic"]).rating("g").count() > 0
    assert not any("posttagrelation" in sql or "FROM post " in sql for sql in statements)


def test_places_and_masks_say_the_same(optimized_file):
    with hb.open(optimized_file) as db:
        sidecar = open_sidecar(optimized_file)
        for name, _ in TAGS:
            tag = db.tags[name]
            expected = db.rows(
                "SELECT DISTINCT post_id FROM posttagrelation WHERE tag_id = ? ORDER BY 1", [tag.id]
            )
            ids = db.cache.columns.ids
            assert ids[sidecar.places(tag.id)].tolist() == [post_id for (post_id,) in expected]
            assert ids[sidecar.bearing(tag.id, len(ids))].tolist() == [post_id for (post_id,) in expected]
        assert not sidecar.bearing(9999, 200).any()


def test_a_stale_one_is_not_used(optimized_file):
    assert open_sidecar(optimized_file) is not None
    connection = sqlite3.connect(optimized_file)
    connection.execute("DELETE FROM posttagrelation WHERE tag_id = 2")
    connection.commit()
    connection.close()
    assert open_sidecar(optimized_file) is None
    with hb.open(optimized_file) as db:
        assert db.posts.tagged("solo").count() == 0


def test_a_change_while_open_is_noticed(optimized_file):
    with hb.open(optimized_file) as db:
        assert db.posts.tagged("solo").count() > 0
        connection = sqlite3.connect(optimized_file)
        connection.execute("DELETE FROM posttagrelation WHERE tag_id = 2")
        connection.commit()
        connection.close()
        assert db.posts.tagged("solo").count() == 0


def test_it_goes_with_a_copy(optimized_file, tmp_path):
    (tmp_path / "copy").mkdir()
    shutil.copy(optimized_file, tmp_path / "copy" / optimized_file.name)
    shutil.copytree(
        optimized_file.with_name(optimized_file.name + ".sidecar"),
        tmp_path / "copy" / (optimized_file.name + ".sidecar"),
    )
    assert stamp_of(tmp_path / "copy" / optimized_file.name) == stamp_of(optimized_file)
    assert open_sidecar(tmp_path / "copy" / optimized_file.name) is not None


def test_odd_relations_do_no_harm(path):
    connection = sqlite3.connect(path)
    rows = [(5, 2), (5, 2), (10**7, 2), (201, 2), (150, 2), (3, 2)]
    connection.executemany("INSERT INTO posttagrelation (post_id, tag_id) VALUES (?, ?)", rows)
    connection.commit()
    connection.close()
    expected = answers(path)
    with hb.open(path) as db:
        optimize(db)
    assert answers(path) == expected


@pytest.mark.parametrize("posts", [0, 3])
def test_small_files(tmp_path, posts):
    write_random(tmp_path / "a.db", count=posts)
    with hb.open(tmp_path / "a.db") as db:
        optimize(db)
    with hb.open(tmp_path / "a.db") as db:
        assert db.posts.tagged(any=["solo", "1girl", "comic"]).count() <= posts


def test_elsewhere_where_the_folder_cannot_be_written(path, cache):
    # A file in the way is what even root cannot write over.
    path.with_name(path.name + ".sidecar.building").write_text("", encoding="utf-8")
    with hb.open(path) as db:
        folder = optimize(db)
    assert cache in folder.parents
    assert open_sidecar(path).folder == folder
    with hb.open(path) as db:
        assert db.posts.tagged("solo").count() > 0


def test_nowhere(path, cache):
    path.with_name(path.name + ".sidecar.building").write_text("", encoding="utf-8")
    cache.rmdir()
    cache.write_text("", encoding="utf-8")
    with hb.open(path) as db, pytest.raises(DestinationError, match="make one of the two folders writable"):
        optimize(db)


def test_a_failure_leaves_nothing(path, monkeypatch):
    def fail(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(making, "_sorted", fail)
    with hb.open(path) as db, pytest.raises(KeyboardInterrupt):
        optimize(db)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_the_command(path):
    result = CliRunner().invoke(cli, ["db", "optimize", str(path)], catch_exceptions=False)
    assert result.exit_code == 0
    assert "GB" in result.stderr
    assert result.stdout.strip() == f"written: {path}.sidecar"
    assert np.load(f"{path}.sidecar/id.npy").tolist() == list(range(1, 201))


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 70_000), max_size=5, unique=True), max_size=6))
def test_tags_of_posts_are_unpacked_as_they_were_packed(tmp_path_factory, posts):
    codes = np.arange(70_001)[::-1].copy()
    base = code_base(len(codes))
    assert base < 65_536 < len(codes)
    file = tmp_path_factory.mktemp("packed") / "a.db"
    file.write_bytes(b"\0" * 100)
    with NewSidecar(file) as new:
        packed, sizes = pack(np.array([code for post in posts for code in post], np.int64), base)
        lengths = [len(post) for post in posts]
        ends = np.append(0, np.cumsum(sizes))[np.cumsum([0, *lengths])]
        with new.append("packed") as file_of_codes:
            file_of_codes.write(packed.tobytes())
        for name, array in (
            ("packed_at", ends),
            ("codes", codes),
            ("posts", np.empty(0)),
            ("bits", np.empty((0, 1))),
        ):
            new.save(name, array)
        new.save("tags", np.empty((0, 4), np.int64))
        sidecar = Sidecar(new.finish())
    for places in (np.arange(len(posts)), np.arange(len(posts))[::-2]):
        many, tags = sidecar.tags_of(places)
        expected = [posts[place] for place in places.tolist()]
        assert many.tolist() == [len(post) for post in expected]
        assert tags.tolist() == [codes[code] for post in expected for code in post]


def test_one_of_another_layout_is_named_and_not_used(optimized_file):
    stamp = optimized_file.with_name(optimized_file.name + ".sidecar") / "stamp.json"
    stamp.write_text(
        stamp.read_text(encoding="utf-8").replace('"layout": 2', '"layout": 1'), encoding="utf-8"
    )
    with hb.open(optimized_file) as db, pytest.warns(UserWarning, match="db optimize"):
        assert not db.cache.columns.know_tags


def test_one_that_was_killed_in_the_making_is_made_again(path):
    half = path.with_name(path.name + ".sidecar.building")
    (half / "scratch").mkdir(parents=True)
    (half / "scratch" / "0-0").write_bytes(b"\0" * 80)
    with hb.open(path) as db:
        assert not db.cache.columns.know_tags
        folder = optimize(db)
    assert open_sidecar(path) is not None
    assert not half.exists()
    assert not (folder / "scratch").exists()


@pytest.mark.parametrize("rows_a_read", [1, 37, 10**6])
def test_relations_in_any_order_give_the_same_sidecar(path, rows_a_read):
    with hb.open(path) as db:
        first = {file.name: file.read_bytes() for file in optimize(db).iterdir()}
        rows = db.rows("SELECT post_id, tag_id FROM posttagrelation ORDER BY tag_id, id")
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM posttagrelation")
        connection.executemany("INSERT INTO posttagrelation (post_id, tag_id) VALUES (?, ?)", rows)
    connection.close()
    with hb.open(path) as db:
        second = {
            file.name: file.read_bytes()
            for file in optimize(db, rows_a_read=rows_a_read, posts_a_bucket=8).iterdir()
        }
        by_post = {post.id: [tag.id for tag in post.tags] for post in db.posts.posts()}
    same = set(first) - {"stamp.json", "packed.bin"}
    assert {name: second[name] for name in same} == {name: first[name] for name in same}
    many, tags = open_sidecar(path).tags_of(np.arange(200))
    expected = [by_post[post_id] for post_id in range(1, 201)]
    assert many.tolist() == [len(post) for post in expected]
    assert tags.tolist() == [tag for post in expected for tag in post]


def test_ids_may_lie_far_apart(tmp_path):
    path = tmp_path / "posts.db"
    bags = {1: ["solo"], 2: ["comic"], 2 + 2**60: ["solo", "comic"], 2**62: []}
    write(path, [post_row(post_id) for post_id in bags], bags.__getitem__)

    def read_bags():
        with hb.open(path) as db:
            posts = db.posts
            ids = [
                posts.search(query).to_ids().tolist()
                for query in ("solo", "-solo", "solo or comic", "solo -comic")
            ]
            return [*ids, posts.among([2, 2 + 2**60]).tag_counts()["posts"].tolist()]

    right = [[1, 2 + 2**60], [2, 2**62], [1, 2, 2 + 2**60], [1], [2, 1]]
    assert read_bags() == right
    with hb.open(path) as db:
        assert making.cost(db).bytes < 2**12
        optimize(db)
    assert open_sidecar(path) is not None
    assert read_bags() == right
