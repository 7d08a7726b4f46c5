from __future__ import annotations

import pickle
import random
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hakubooru as hb
from booru import random_row, write, write_random
from hakubooru import Post
from hakubooru.engine.columns import NUMBERS
from hakubooru.engine.filters import ask_sqlite
from hakubooru.errors import InputError, SampleError, UnknownTagError
from hakubooru.store.reader import THREADS


def ids_where(db, keep) -> list[int]:
    """The slow, obvious way."""
    return [post.id for post in db.execute(Post.select().order_by(Post.id)) if keep(post)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("narrow", "keep"),
    [
        (lambda s: s, lambda p: True),
        (lambda s: s.ids(50, 60), lambda p: 50 <= p.id < 60),
        (lambda s: s.ids(50), lambda p: p.id >= 50),
        (lambda s: s.rating("g", "explicit"), lambda p: p.rating in {"general", "explicit"}),
        (lambda s: s.score(min=3, max=9), lambda p: 3 <= p.score <= 9),
        (lambda s: s.fav_count(max=5), lambda p: p.fav_count <= 5),
        (lambda s: s.where(Post.score > 10), lambda p: p.score > 10),
        (lambda s: s.without_deleted(), lambda p: not p.is_deleted),
        (lambda s: s.without_banned(), lambda p: not p.is_banned),
        (lambda s: s.without_gold(), lambda p: p.md5 is not None or p.is_banned),
        (lambda s: s.with_image(), lambda p: p.md5 and p.file_ext in {"jpg", "png", "webp", "avif"}),
        (lambda s: s.with_image(gif=True), lambda p: p.md5 and p.file_ext not in {"mp4", "zip"}),
        (lambda s: s.tagged("solo", "1girl"), lambda p: {"solo", "1girl"} <= {t.name for t in p.tags}),
        (lambda s: s.tagged(any=["solo", "comic"]), lambda p: {"solo", "comic"} & {t.name for t in p.tags}),
        (lambda s: s.tagged(none=["solo"]), lambda p: "solo" not in {t.name for t in p.tags}),
        (lambda s: s.among([3, 1, 9999, 5]), lambda p: p.id in {1, 3, 5}),
        (lambda s: s.ids(100).among(np.array([3, 150])), lambda p: p.id == 150),
    ],
)
def test_steps_give_what_they_say(db, narrow, keep):
    assert narrow(db.posts).to_ids().tolist() == ids_where(db, keep)


def test_a_selection_is_a_value(db):
    base = db.posts.rating("general")
    base.score(min=10)
    assert base == db.posts.rating("g")
    assert hash(base) == hash(db.posts.rating("g"))
    assert base != base.score(min=10)


def test_nothing_runs_until_asked(db, statements):
    db.posts.tagged("no_such_tag").sample(10**9, seed=1).order_by("-score").limit(3)
    assert statements == []


# The examples of one test share its database, which nothing changes.
on_one_database = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
sets = st.sets(st.integers(1, 200), max_size=40)


@pytest.mark.slow
@on_one_database
@given(sets, sets)
def test_set_operations_are_those_of_sets(db, left, right):
    a, b = db.posts.among(left), db.posts.among(right)
    assert (a | b).to_ids().tolist() == sorted(left | right)
    assert (a & b).to_ids().tolist() == sorted(left & right)
    assert (a - b).to_ids().tolist() == sorted(left - right)


@on_one_database
@given(
    st.permutations(["without_deleted", "without_gold", "with_image"]), st.integers(0, 60), st.integers(0, 9)
)
def test_filters_commute_and_samples_keep_their_place(db, filters, n, seed):

    def filtered(selection):
        for name in filters:
            selection = getattr(selection, name)()
        return selection

    plain = db.posts.without_deleted().without_gold().with_image()
    assert filtered(db.posts).to_ids().tolist() == plain.to_ids().tolist()
    early, late = filtered(db.posts.sample(n, seed=seed)), plain.sample(min(n, plain.count()), seed=seed)
    assert set(early.to_ids()) <= set(plain.to_ids())
    assert late.count() == min(n, plain.count())


@pytest.mark.parametrize("cost", [0, 10**9])
def test_scan_and_lookup_agree(db, cost):
    some = db.posts.sample(80, seed=3).to_ids()
    predicates = [hb.rating("g"), hb.tagged("solo")]
    ids = ask_sqlite(db, some, predicates, lookup_cost=cost)
    assert ids.tolist() == [i for i in some if i in db.posts.where(*predicates).to_ids()]


def scanned(statements) -> set[str]:
    """The columns that scans of posts have read."""
    return {
        name for sql in statements for name in re.findall(r" AS (\w+)", sql) if sql.endswith("ORDER BY id")
    }


FIRST = {"id", "traits", "score", "fav_count", "image_width", "image_height"}


def test_epsilon_reads_ids_and_flags_once(db, statements):
    strata = (
        db.posts.ids(0, 50).sample(20, seed=1) | db.posts.ids(50, 120).sample(40, seed=1) | db.posts.ids(120)
    )
    strata.without_deleted().without_gold().with_image().funnel()
    strata.rating("g").without_banned().to_ids()
    assert scanned(statements) == FIRST
    assert len([sql for sql in statements if sql.startswith("SELECT id AS id")]) == THREADS
    assert sum('"t1"' in sql for sql in statements) == 1  # the first range, before anything is read


def test_rare_numbers_are_read_when_asked_for(db, statements):
    db.posts.score(min=3).fav_count(max=20).where(Post.image_width * Post.image_height > 5).to_ids()
    assert scanned(statements) == FIRST
    db.posts.where(Post.file_size > 5).to_ids()
    assert scanned(statements) - FIRST == set(NUMBERS) - FIRST


def test_few_posts_are_asked_of_sqlite_in_one_statement(db, statements):
    db.posts.ids(10, 20).rating("g").score(min=1).without_deleted().to_ids()
    (sql,) = [sql for sql in statements if '"t1"' in sql]
    assert '"t1"."rating" IN (?)' in sql
    assert '"t1"."score" >= ?' in sql
    assert "COALESCE" in sql


def test_ids_are_read_alone_if_nothing_else_is_asked_for(db, statements):
    db.posts.sample(50, seed=1).to_ids()
    assert scanned(statements) == {"id"}
    db.posts.rating("g").to_ids()
    assert scanned(statements) == FIRST


def test_a_result_is_not_computed_twice(db, statements):
    selection = db.posts.without_deleted().sample(50, seed=1)
    ids = selection.to_ids()
    once = len(statements)
    selection.count()
    selection.rating("g").to_ids()
    assert len(statements) == once
    with pytest.raises(ValueError, match="read-only"):
        ids[0] = 1


def test_a_changed_file_is_read_anew(path):
    with hb.open(path, writable=True) as db:
        assert db.posts.count() == 200
        list(db.execute(Post.delete().where(Post.id == 1).returning(Post.id)))
        assert db.posts.count() == 199


def test_order_and_limit(db):
    rows = sorted(db.execute(Post.select()), key=lambda p: (-p.fav_count, -p.id))
    assert db.posts.order_by("-fav_count").to_ids().tolist() == [p.id for p in rows]
    assert db.posts.order_by(Post.fav_count.desc()).limit(7).to_ids().tolist() == [p.id for p in rows[:7]]
    sample = db.posts.order_by("-fav_count").rating("g").sample(10, seed=1).to_ids()
    assert sample.tolist() == [p.id for p in rows if p.id in set(sample)]
    assert db.posts.order_by("rating", "score").limit(0).count() == 0
    assert (db.posts.order_by("-id").limit(3) | db.posts.ids(1, 3)).to_ids().tolist() == [1, 2, 198, 199, 200]


@pytest.mark.slow
def test_posts_come_in_batches_of_queries(tmp_path):
    write_random(tmp_path / "many.db", count=2500)
    with hb.open(tmp_path / "many.db") as db:
        statements: list[str] = []
        db.connection().set_trace_callback(statements.append)
        posts = list(db.posts.posts())
        assert [len(post.tags) for post in posts]
        assert sum('"t1"' in sql or "FROM posttagrelation" in sql for sql in statements) == 3 * 3
        assert [post.id for post in posts] == list(range(1, 2501))


def test_tags_keep_the_order_of_their_relations(tmp_path):
    write(
        tmp_path / "a.db",
        [random_row(7, random.Random(1))],
        lambda _: ["solo", "comic", "1girl", "bespin"],
    )
    with hb.open(tmp_path / "a.db") as db:
        (post,) = db.posts.posts()
        assert [tag.name for tag in post.tags] == ["solo", "comic", "1girl", "bespin"]
        assert [tag.name for tag in post.tags_of("artist")] == ["bespin"]


def test_to_pandas(db):
    frame = db.posts.order_by("-id").limit(3).to_pandas(["id", "rating", "parent_id", "is_deleted", "md5"])
    assert frame["id"].tolist() == [200, 199, 198]
    assert str(frame["parent_id"].dtype) == "Int64"
    assert frame["is_deleted"].dtype == bool
    assert set(frame["rating"].cat.categories) == {"general", "sensitive", "questionable", "explicit"}
    assert frame["rating"].tolist() == [post.rating for post in db.posts.order_by("-id").limit(3).posts()]
    assert len(db.posts.to_pandas().columns) == 27
    assert len(db.posts.ids(10**6).to_pandas()) == 0


def test_to_arrow(db):
    table = db.posts.ids(1, 4).to_arrow(["id", "score"])
    assert table.to_pydict()["id"] == [1, 2, 3]


def test_funnel_adds_up(db):
    selection = (db.posts.ids(1, 101).sample(30, seed=1) | db.posts.ids(101)).without_deleted().with_image()
    frame = selection.funnel()
    assert frame["step"].str.strip().tolist() == [
        "id:1...101",
        "sample of 30, seed 1",
        "id:>=101",
        "together",
        "-is:deleted",
        "has:image",
    ]
    assert frame["posts"].tolist()[:4] == [100, 30, 100, 130]
    assert frame["posts"].iloc[-1] == selection.count()
    assert frame["posts"].iloc[-1] + frame["removed"].iloc[-2:].sum() == 130


def test_fractions_round_to_the_nearest(db):
    assert db.posts.sample(fraction=0.0126, seed=1).count() == 3
    assert db.posts.sample(fraction=1.0, seed=1).count() == 200


def test_unknown_tag_names_the_nearest(db):
    with pytest.raises(UnknownTagError, match="'lonng_hair'; similar tags: long_hair"):
        db.posts.tagged("lonng_hair").count()
    with pytest.raises(UnknownTagError, match="long hair"):
        db.posts.where((Post.score > 1) & hb.tagged("long hair")).count()


def test_sample_larger_than_its_population(db):
    with pytest.raises(SampleError, match=r"5,000.*200"):
        db.posts.sample(5000, seed=1).count()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda s: s.sample(seed=1), "either a number of posts or fraction="),
        (lambda s: s.sample(5, fraction=0.5, seed=1), "either a number of posts or fraction="),
        (lambda s: s.sample(-1, seed=1), "0 posts or more, not -1"),
        (lambda s: s.sample(fraction=2, seed=1), "from 0 to 1"),
        (lambda s: s.order_by(), "needs a column"),
        (lambda s: s.order_by("favs"), "'favs'"),
        (lambda s: s.limit(-1), "0 posts or more, not -1"),
        (lambda s: s.where(5), "is not a condition on posts"),
        (lambda s: s.among(["1", "x"]), "whole numbers"),
        (lambda s: s.among("no/such/file.txt"), "cannot be read"),
        (lambda s: s.to_pandas(["favs"]), "no column 'favs'"),
        (lambda s: s.to_pandas("id"), r"\['id'\]"),
        (lambda s: s | 5, "combines two selections"),
    ],
)
def test_mistakes(db, make, message):
    with pytest.raises(InputError, match=message):
        make(db.posts)


def test_two_files_do_not_mix(db, tmp_path):
    write_random(tmp_path / "other.db", count=20, seed=2)
    with hb.open(tmp_path / "other.db") as other:
        assert db.posts.count() == 200
        assert other.posts.count() == 20
        with pytest.raises(InputError, match=r"other\.db"):
            db.posts | other.posts


def test_pickles(db):
    selection = db.posts.ids(5, 100).sample(20, seed=1).where((Post.score > 3) & hb.tagged("solo"))
    copy = pickle.loads(pickle.dumps(selection))
    assert copy.step == selection.step
    assert copy.to_ids().tolist() == selection.to_ids().tolist()
    copy.database.close()


def test_shows_its_steps(db):
    assert repr(db.posts.ids(5).tagged("solo")) == "<Selection of posts.db: all posts, id:>=5, solo>"
