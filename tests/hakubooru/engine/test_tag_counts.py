from __future__ import annotations

import random
from collections import Counter

import pytest

import hakubooru as hb
from booru import TAGS, random_row, write
from hakubooru import PostTagRelation
from hakubooru.engine import columns, sidecar
from hakubooru.engine.optimize import optimize
from hakubooru.store import reader

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


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("piece", [1, 7, 100, 1_000_000])
def test_counts_each_post_once_a_tag(path, monkeypatch, few, piece):
    monkeypatch.setattr(columns, "_FEW", 0 if few else 10**9)
    monkeypatch.setattr(reader, "_ROWS_A_PIECE", piece)
    monkeypatch.setattr(reader, "_POSTS_A_PIECE", piece)
    with hb.open(path) as db:
        for selection in (db.posts, db.posts.order_by("-id").limit(40), db.posts.limit(0)):
            expected = Counter(name for post in selection.posts() for name in {tag.name for tag in post.tags})
            frame = selection.tag_counts()
            assert dict(zip(frame["name"], frame["posts"], strict=True)) == expected
            assert frame["name"].tolist() == sorted(expected, key=lambda name: (-expected[name], name))
            assert dict(zip(frame["name"], frame["type"], strict=True)) == {
                name: kind for name, kind in TAGS if name in expected
            }
            assert str(frame["posts"].dtype) == "int64"


def test_the_sidecar_tells_the_same(path, tmp_path, monkeypatch):
    copy = tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())
    with hb.open(copy) as db:
        optimize(db)
    monkeypatch.setattr(columns, "_FEW", 10**9)
    monkeypatch.setattr(reader, "_in_parallel", None)
    for size in (1, 50, 10**6):
        monkeypatch.setattr(sidecar, "_POSTS_A_READ", size)
        with hb.open(copy) as db:
            for selection in (db.posts, db.posts.order_by("-id").limit(40)):
                counts = Counter(
                    name for post in selection.posts() for name in {tag.name for tag in post.tags}
                )
                frame = selection.tag_counts()
                assert dict(zip(frame["name"], frame["posts"], strict=True)) == counts


def test_the_sidecar_counts_rare_tags_too(tmp_path):
    bags = {post_id: [NAMES[0]] + ([NAMES[1]] if post_id == 77 else []) for post_id in range(1, 101)}
    write(tmp_path / "a.db", [random_row(post_id, random.Random(1)) for post_id in bags], bags.__getitem__)
    with hb.open(tmp_path / "a.db") as db:
        optimize(db)
    with hb.open(tmp_path / "a.db") as db:
        frame = db.posts.tag_counts()
        assert list(zip(frame["name"], frame["posts"], strict=True)) == [(NAMES[0], 100), (NAMES[1], 1)]
        assert db.posts.ids(1, 77).tag_counts()["posts"].tolist() == [76]
