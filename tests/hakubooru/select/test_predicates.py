from __future__ import annotations

import pickle

import pytest

import hakubooru as hb
from booru import post_row
from hakubooru import Post, PostTagRelation, Tag
from hakubooru.errors import InputError
from hakubooru.select.predicates import And, Or, predicate, tags_asked
from hakubooru.store.reader import THREADS


def test_equal_exactly_when_they_ask_the_same():
    assert hb.score(min=5) == hb.score(min=5)
    assert hb.score(min=5) != hb.score(min=6)
    assert hb.score(min=5) != hb.fav_count(min=5)
    assert hash(hb.score(min=5)) == hash(hb.score(min=5))
    assert predicate(Post.score >= 5) == hb.score(min=5)
    assert predicate(Post.score > 5) != predicate(Post.score > 6)
    assert hb.tagged("solo") != hb.tagged("comic")
    assert ~~hb.tagged("solo") == hb.tagged("solo")
    assert hb.rating("g", "s") == hb.rating("sensitive", "general")


def test_and_or_flatten():
    a, b, c = hb.score(min=1), hb.tagged("solo"), hb.rating("g")
    assert (a & b) & c == a & (b & c)
    assert (a | b) | c == a | (b | c)
    assert a & b != a | b


def test_reads_as_a_search():
    condition = hb.rating("g", "s") & ~hb.tagged("comic") | hb.score(min=50)
    assert str(condition) == "rating:general,sensitive -comic or score:>=50"


@pytest.mark.parametrize(
    "joined",
    [
        hb.tagged("solo") & (Post.score > 10),
        (Post.score > 10) & hb.tagged("solo"),
        (Post.score > 10) & (hb.tagged("solo") | hb.tagged("comic")) & ~hb.rating("e"),
    ],
)
def test_mixes_with_peewee(db, joined):
    ids = db.posts.where(joined).to_ids()
    assert 0 < len(ids) < 200
    assert all(post.score > 10 for post in db.posts.where(joined).posts())
    assert "solo" in {tag.name for tag in tags_asked(predicate(joined))}


def test_stands_in_a_peewee_query(db):
    rows = list(db.execute(Post.select().where(hb.tagged("solo"), Post.score > 10)))
    assert {row.id for row in rows} == set(db.posts.tagged("solo").score(min=11).to_ids().tolist())


def test_not_is_the_complement_even_of_the_unknown(db):
    child = Post.parent_id == 1
    inside, outside = db.posts.where(child), db.posts.where(~predicate(child))
    assert inside.count() > 0
    assert inside.count() + outside.count() == 200


def test_unknown_operands_are_refused():
    with pytest.raises(TypeError):
        hb.score(min=1) & 5
    with pytest.raises(InputError, match="is not a condition on posts"):
        predicate(Post.score.name == "score")


def test_pickles():
    condition = (hb.rating("g") & (Post.score > 10)) | ~hb.tagged("solo")
    assert pickle.loads(pickle.dumps(condition)) == condition


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (hb.rating, "needs a rating"),
        (lambda: hb.rating("nsfw"), "'nsfw' is not one of general"),
        (hb.score, "needs a range"),
        (lambda: hb.score(min=5, max=4), "empty"),
        (lambda: hb.ids(5, 5), r"ids\(5, 5\) is empty: `high` is not included"),
        (hb.tagged, "needs a tag"),
        (lambda: hb.tagged(all="solo"), r"\['solo'\]"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.slow
def test_any_number_of_parts_stays_within_the_limits_of_sqlite(db):
    many = [Post.id == number for number in range(1, 1200)]
    assert db.posts.where(Or(tuple(map(predicate, many)))).count() == 200
    assert db.posts.where(And(tuple(~predicate(one) for one in many))).count() == 0


@pytest.mark.parametrize("count", [1, 2, 5, pytest.param(300, marks=pytest.mark.slow)])
def test_many_tags_at_once(tmp_path, count):
    names = [f"tag_{number}" for number in range(count)]
    with hb.create(tmp_path / "tags.db") as db:
        with db.bind():
            Post.insert_many([post_row(number) for number in range(1, count + 3)]).execute()
            Tag.insert_many([{"name": name, "type": 0, "popularity": 0} for name in names]).execute()
            ids = {tag.name: tag.id for tag in Tag.select()}
            pairs = [{"post": number + 1, "tag": ids[name]} for number, name in enumerate(names)]
            PostTagRelation.insert_many(
                [*pairs, *({"post": count + 1, "tag": ids[name]} for name in names)]
            ).execute()
        assert db.posts.tagged(any=names).to_ids().tolist() == list(range(1, count + 2))
        assert db.posts.tagged(none=names).to_ids().tolist() == [count + 2]
        assert db.posts.tagged(none=[*names, *names]).ids(2).to_ids().tolist() == [count + 2]
        assert db.posts.ids(1, count + 2).tagged(none=names[1:] or names).count() == (count > 1)
        assert count + 1 in db.posts.tagged(all=names).to_ids()


def test_the_posts_of_each_tag_are_read_once_and_the_names_together(db, statements):
    db.posts.tagged("solo", none=["comic", "1girl", "o_o"]).count()
    assert sum("WHERE tag_id = ?" in statement for statement in statements) == 4 * THREADS
    assert sum("SELECT id, name FROM tag" in statement for statement in statements) == 1
