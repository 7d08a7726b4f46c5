"""What a curator asks of a post, beside the slow, obvious way in Python."""

from __future__ import annotations

import random
from datetime import date
from fractions import Fraction
from inspect import isfunction

import pytest

import hakubooru as hb
from booru import TAGS, random_row, write
from hakubooru import Post
from hakubooru.engine.masks import truth
from hakubooru.errors import InputError, UnknownTagError

NAMES = [name for name, _ in TAGS]
KINDS = dict(TAGS)


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    path = tmp_path_factory.mktemp("curating") / "posts.db"
    draw = random.Random(5)
    rows = []
    for post_id in range(1, 301):
        day = date.fromordinal(date(2018, 11, 1).toordinal() + draw.randrange(500))
        rows.append(
            random_row(post_id, draw)
            | {
                "created_at": f"{day}T{draw.randrange(24):02}:10:00.000-05:00",
                "image_width": draw.choice([300, 640, 1000, 1001, 1920]),
                "image_height": draw.choice([300, 480, 1000, 1500, 1080]),
                "has_children": draw.random() < 0.3,
                "parent_id": draw.choice([None, None, draw.randint(1, 350)]),
            }
        )
    bags = {row["id"]: draw.sample(NAMES, draw.randint(0, 6)) for row in rows}
    write(path, rows, lambda post_id: bags[post_id] + bags[post_id][:1])  # a tag may stand there twice
    with hb.open(path) as database:
        yield database


def names_of(post) -> set[str]:
    return {tag.name for tag in post.tags}


def count_of(post, kind=None) -> int:
    return sum(kind in (None, KINDS[name]) for name in names_of(post))


def day_of(post) -> str:
    return post.created_at[:10]


@pytest.mark.parametrize(
    ("condition", "keep"),
    [
        (hb.date(min=2019), lambda p: day_of(p) >= "2019-01-01"),
        (hb.date(max="2018"), lambda p: day_of(p) <= "2018-12-31"),
        (hb.date(min="2018-12", max="2019-02"), lambda p: "2018-12-01" <= day_of(p) <= "2019-02-28"),
        (
            hb.date(min="2019-5-23", max=date(2019, 5, 30)),
            lambda p: "2019-05-23" <= day_of(p) <= "2019-05-30",
        ),
        (hb.size(min_width=1000, max_height=1000), lambda p: p.image_width >= 1000 >= p.image_height),
        (hb.size(max_width=640, min_height=480), lambda p: p.image_width <= 640 and p.image_height >= 480),
        (hb.size(min_area=10**6), lambda p: p.image_width * p.image_height >= 10**6),
        (hb.size(min_area=90_000, max_area=90_000), lambda p: p.image_width == p.image_height == 300),
        (hb.size(min_ratio="16:9", max_ratio="16:9"), lambda p: p.image_width * 9 == p.image_height * 16),
        (hb.size(max_ratio=0.64), lambda p: Fraction(p.image_width, p.image_height) <= Fraction(16, 25)),
        (hb.size(min_ratio=Fraction(1001, 1000)), lambda p: p.image_width * 1000 >= p.image_height * 1001),
        (hb.file_type("png", "gif"), lambda p: p.file_ext in {"png", "gif"}),
        (hb.tag_count(min=2, max=4), lambda p: 2 <= count_of(p) <= 4),
        (hb.tag_count("general", max=0), lambda p: count_of(p, "general") == 0),
        (hb.tag_count("character", min=1), lambda p: "illaoi" in names_of(p)),
        (hb.artist("bespin"), lambda p: "bespin" in names_of(p)),
        (~hb.character("illaoi"), lambda p: "illaoi" not in names_of(p)),
        (hb.copyright("league_of_legends"), lambda p: "league_of_legends" in names_of(p)),
        (hb.parent(), lambda p: p.has_children),
        (hb.child(), lambda p: p.parent_id is not None),
        (hb.parent() | hb.child(), lambda p: p.has_children or p.parent_id is not None),
    ],
    ids=lambda value: "" if isfunction(value) else str(value),
)
def test_predicates_ask_what_they_say(db, condition, keep):
    expected = [post.id for post in db.posts.posts() if keep(post)]
    assert db.posts.where(condition).to_ids().tolist() == expected
    assert [post.id for post in db.execute(Post.select().where(condition).order_by(Post.id))] == expected
    assert db.posts.where(~condition).count() == 300 - len(expected)
    assert 0 < len(expected) < 300


@pytest.mark.parametrize(
    "condition", [hb.size(min_width=5, min_area=9, max_ratio=2), hb.file_type("png"), hb.parent(), hb.child()]
)
def test_numeric_ones_need_no_scan(db, condition):
    assert truth(condition, db.cache.columns).true.any()


def test_steps_are_the_predicates(db):
    posts = db.posts
    assert posts.date(min=2019) == posts.where(hb.date(min="2019"))
    assert posts.size(min_width=5, max_ratio=2) == posts.where(hb.size(min_width=5, max_ratio="2:1"))
    assert posts.file_type("png", "jpg") == posts.where(hb.file_type("jpg", "png"))
    assert posts.tag_count("meta", min=1) == posts.where(hb.tag_count("meta", min=1))
    assert posts.tag_popularity("artist", min=1) == posts.where(hb.tag_popularity("artist", min=1))
    assert posts.artist("bespin") == posts.tagged("bespin")
    assert posts.character("illaoi") == posts.where(hb.character("illaoi"))
    assert posts.copyright("league_of_legends") == posts.where(hb.copyright("league_of_legends"))
    assert posts.only_parents() == posts.where(hb.parent())
    assert posts.only_children() == posts.where(hb.child())


@pytest.mark.parametrize("is_counted", [False, True])
def test_popularity_is_that_of_the_file_or_counted(tmp_path, is_counted):
    path = tmp_path / "a.db"
    bags = {1: ["solo", "solo", "bespin"], 2: ["solo", "comic"], 3: ["comic"], 4: ["solo", "1girl"], 5: []}
    write(path, [random_row(post_id, random.Random(post_id)) for post_id in bags], bags.__getitem__)
    with hb.open(path, writable=True) as db:
        if is_counted:
            db.rows("UPDATE tag SET popularity = 3 WHERE name = 'solo'")
            db.rows("UPDATE tag SET popularity = 2 WHERE name = 'comic'")
        assert db.posts.tag_popularity(min=3).to_ids().tolist() == [1, 2, 4]
        assert db.posts.tag_popularity(min=2, max=2).to_ids().tolist() == [2, 3]
        assert db.posts.tag_popularity("artist", max=1).to_ids().tolist() == [1]
        assert db.posts.where(~hb.tag_popularity(max=1)).to_ids().tolist() == [2, 3, 5]


def families(db) -> dict[int, int]:
    """The slow way: relatives know each other, step by step, until nothing changes."""
    parents = {post.id: post.parent_id for post in db.execute(Post.select())}
    family = {node: node for pair in parents.items() for node in pair if node is not None}
    is_changing = True
    while is_changing:
        is_changing = False
        for child, parent in parents.items():
            if parent is not None and family[child] != family[parent]:
                family[child] = family[parent] = min(family[child], family[parent])
                is_changing = True
    return {post_id: family[post_id] for post_id in parents}


@pytest.mark.parametrize("by", ["score", "fav_count"])
def test_best_of_family(db, by):
    family = families(db)
    counts = {post.id: getattr(post, by) for post in db.execute(Post.select())}
    for source in (db.posts, db.posts.sample(150, seed=2), db.posts.order_by("-fav_count")):
        ids = source.to_ids().tolist()
        best: dict[int, int] = {}
        for post_id in sorted(ids, key=lambda post_id: (-counts[post_id], post_id)):
            best.setdefault(family[post_id], post_id)
        expected = [post_id for post_id in ids if post_id in set(best.values())]
        assert source.best_of_family(by).to_ids().tolist() == expected
        assert len(expected) < len(ids)


def test_a_ring_of_parents_is_a_family(tmp_path):
    path = tmp_path / "a.db"
    parents = {1: 4, 4: 2, 2: 1, 3: 4, 7: 99, 8: 99, 9: None}
    rows = [random_row(i, random.Random(i)) | {"parent_id": p, "score": i} for i, p in parents.items()]
    write(path, rows)
    with hb.open(path) as db:
        assert db.posts.best_of_family().to_ids().tolist() == [4, 8, 9]


def test_the_type_of_a_name_is_checked(db):
    with pytest.raises(
        InputError, match=r"'solo' is not of type artist but of type general: write tagged\('solo'\)"
    ):
        db.posts.where(hb.rating("g") | hb.artist("bespin", "solo")).count()
    with pytest.raises(UnknownTagError, match="illaoi"):
        db.posts.character("ilaoi").count()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (hb.date, "needs a range"),
        (lambda: hb.date(min="May"), "a date such as 2024, 2024-05 or 2024-05-31, not 'May'"),
        (lambda: hb.date(min="2023-02-30"), "calendar"),
        (lambda: hb.date(min=2020, max=2019), "empty"),
        (hb.size, "needs a range"),
        (lambda: hb.size(min_width=5, max_width=4), "width from 5 to 4 is an empty range"),
        (lambda: hb.size(min_ratio=2, max_ratio="3:2"), "ratio from 2 to 3/2 is an empty range"),
        (lambda: hb.size(min_ratio="wide"), "invalid aspect ratio 'wide': write width:height"),
        (lambda: hb.size(min_ratio="3:0"), "invalid aspect ratio '3:0'"),
        (lambda: hb.size(min_ratio=-1), "invalid aspect ratio -1"),
        (lambda: hb.size(max_ratio=float("inf")), "invalid aspect ratio inf"),
        (hb.file_type, "needs an extension"),
        (lambda: hb.file_type("jpeg"), "'jpg'"),
        (lambda: hb.tag_count("generall", min=1), "'generall' is not one of"),
        (lambda: hb.tag_count("general"), "needs a range"),
        (lambda: hb.tag_popularity("artist"), "needs a range"),
        (hb.artist, "needs the name"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_the_best_is_told_by_a_count(db):
    with pytest.raises(InputError, match="score or fav_count, not by 'favs'"):
        db.posts.best_of_family("favs")
