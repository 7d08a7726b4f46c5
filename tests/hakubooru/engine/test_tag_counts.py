from __future__ import annotations

import random
import sqlite3
from collections import Counter

import numpy as np
import pytest

import hakubooru as hb
from booru import TAGS, random_row, write
from hakubooru import PostTagRelation
from hakubooru.engine.cache import Sidecar
from hakubooru.engine.optimize import optimize
from hakubooru.engine.tag_counts import count_tags
from hakubooru.errors import DatabaseFileError

NAMES = [name for name, _ in TAGS]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp("counts") / "posts.db"
    draw = random.Random(3)
    write(file, [random_row(post_id, draw) for post_id in range(1, 151)])
    with hb.open(file, writable=True) as db, db.bind():
        pairs = [(post_id, draw.randint(1, len(NAMES) - 1)) for post_id in range(1, 151) for _ in range(5)]
        draw.shuffle(pairs)  # a post's tags lie apart, and some stand there twice
        pairs.append((9999, 1))  # of no post
        PostTagRelation.insert_many([{"post": post, "tag": tag} for post, tag in pairs]).execute()
    return file


@pytest.mark.parametrize("few", [0, 10**9], ids=["looked up", "scanned"])
@pytest.mark.parametrize("piece", [1, 7, 100, 1_000_000])
def test_counts_each_post_once_a_tag(path, few, piece):
    with hb.open(path) as db:
        for selection in (db.posts, db.posts.order_by("-id").limit(40), db.posts.limit(0)):
            counts = count_tags(db, selection.to_ids(), few=few, rows_a_piece=piece)
            assert {
                db_tag: int(counts[tag_id]) for tag_id, db_tag in names(db) if counts[tag_id]
            } == expected(selection)


def names(db):
    return db.rows("SELECT id, name FROM tag")


def expected(selection):
    return Counter(name for post in selection.posts() for name in {tag.name for tag in post.tags})


@pytest.mark.parametrize("sidecar", [True, False])
def test_the_frame_has_the_commonest_first(path, tmp_path, sidecar):
    copy = tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())
    if sidecar:
        with hb.open(copy) as db:
            optimize(db)
    with hb.open(copy) as db:
        assert db.cache.columns.know_tags == sidecar
        for selection in (
            db.posts,
            db.posts.order_by("-id").limit(40),
            db.posts.ids(7, 9),
            db.posts.limit(0),
        ):
            counts, frame = expected(selection), selection.tag_counts()
            assert dict(zip(frame["name"], frame["posts"], strict=True)) == counts
            assert frame["name"].tolist() == sorted(counts, key=lambda name: (-counts[name], name))
            assert dict(zip(frame["name"], frame["type"], strict=True)) == {
                name: kind for name, kind in TAGS if name in counts
            }
            assert str(frame["posts"].dtype) == "int64"


@pytest.mark.parametrize("posts_a_read", [1, 50, 10**6])
def test_the_sidecar_counts_in_pieces(path, tmp_path, posts_a_read):
    copy = tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())
    with hb.open(copy) as db:
        folder = optimize(db, common=4)
        mask = np.arange(150) % 3 == 0
        ids = db.posts.to_ids()[mask]
        tags, counts = Sidecar(folder, posts_a_read=posts_a_read).counts(mask)
        assert dict(zip(tags.tolist(), counts.tolist(), strict=True)) == {
            tag_id: expected(db.posts.among(ids)).get(name, 0) for tag_id, name in names(db) if tag_id in tags
        }


def test_the_sidecar_counts_rare_tags_too(tmp_path):
    bags = {post_id: [NAMES[0]] + ([NAMES[1]] if post_id == 77 else []) for post_id in range(1, 101)}
    write(tmp_path / "a.db", [random_row(post_id, random.Random(1)) for post_id in bags], bags.__getitem__)
    with hb.open(tmp_path / "a.db") as db:
        optimize(db)
    with hb.open(tmp_path / "a.db") as db:
        frame = db.posts.tag_counts()
        assert list(zip(frame["name"], frame["posts"], strict=True)) == [(NAMES[0], 100), (NAMES[1], 1)]
        assert db.posts.ids(1, 77).tag_counts()["posts"].tolist() == [76]


def test_a_name_that_is_not_utf_8_is_told(path, tmp_path):
    copy = tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())
    with sqlite3.connect(copy) as connection:
        connection.execute("UPDATE tag SET name = CAST(x'61ff62' AS TEXT) WHERE id = 1")
    connection.close()
    with hb.open(copy) as db, pytest.raises(DatabaseFileError, match="text that is not UTF-8"):
        db.posts.tag_counts()
