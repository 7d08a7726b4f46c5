"""Files of values by post id, joined to a database."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile
import tracemalloc
from itertools import count

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

import hakubooru as hb
from booru import write_random
from hakubooru.errors import InputError, SearchError

POSTS = 40
SCORES = {post: round(0.05 * (post * 7 % 20), 2) for post in range(1, 31)}
TEXTS = {post: f"a girl with {post} cats" for post in range(1, 31)}
names = count()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("joined") / "posts.db"
    write_random(path, POSTS)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def db(path):
    with hb.open(path) as database:
        yield database


def write_csv(path, rows, delimiter=","):
    path.write_text("".join(delimiter.join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    return path


def write_tar_of_texts(path, texts, mode):
    with tarfile.open(path, mode) as tar:
        for name, text in texts.items():
            data = text.encode()
            member = tarfile.TarInfo(f"texts/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


FORMS = {
    "s.parquet": lambda path: parquet.write_table(
        pa.table({"post_id": list(SCORES), "score": list(SCORES.values()), "embedding": [[1.0]] * 30}), path
    ),
    "s.csv": lambda path: write_csv(
        path, [("score", "id"), *((score, post) for post, score in SCORES.items())]
    ),
    "s.tsv": lambda path: write_csv(path, [("id", "score"), *SCORES.items()], "\t"),
    "s.csv.gz": lambda path: path.write_bytes(
        gzip.compress(
            "".join(["\ufeffid,score\n", *(f"{post},{score}\n" for post, score in SCORES.items())]).encode()
        )
    ),
    "s.jsonl": lambda path: path.write_text(
        "".join(
            json.dumps({"id": post, "score": score, "more": {}}) + "\n"
            for post, score in reversed(SCORES.items())
        )
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_values(db, tmp_path, form):
    FORMS[form](tmp_path / form)
    joined = db.join("silva", tmp_path / form)
    assert dict(joined.columns) == {"score": "number"}
    ids = np.array([31, 3, 1, 2, 9_999])
    assert joined.values(db.connection(), ids) == [None, SCORES[3], SCORES[1], SCORES[2], None]
    assert joined.count(db.connection(), db.posts.to_ids()) == 30
    assert joined.count(db.connection(), ids) == 3
    posts, numbers = joined.numbers(db.connection())
    assert dict(zip(posts.tolist(), numbers.tolist(), strict=True)) == SCORES


@pytest.mark.parametrize(("name", "mode"), [("t.tar", "w"), ("t.tar.gz", "w:gz"), ("t.tgz", "w:gz")])
def test_a_tar_of_texts(db, tmp_path, name, mode):
    texts = {f"{post}.txt": text for post, text in TEXTS.items()} | {"1.json": "{}", "readme.txt": "x"}
    write_tar_of_texts(tmp_path / name, texts, mode)
    joined = db.join("florence", tmp_path / name)
    assert dict(joined.columns) == {"text": "text"}
    assert joined.values(db.connection(), np.array([2, 40])) == [TEXTS[2], None]
    ids = db.posts.search('florence:"a girl with 2 cats" or florence:*9*cats').to_ids().tolist()
    assert ids == [2, 9, 19, 29]
    assert db.posts.search("florence:none").count() == 10
    with pytest.raises(InputError, match="is text, and numbers were asked for"):
        joined.numbers(db.connection())


def test_a_folder_of_files_is_one(db, tmp_path):
    for part in range(3):
        rows = list(SCORES.items())[part::3]
        parquet.write_table(
            pa.table(
                {
                    "id": [post for post, _ in rows],
                    "score": [score for _, score in rows],
                    "ok": [True] * len(rows),
                }
            ),
            tmp_path / f"data-{part:04d}.parquet",
        )
    (tmp_path / "README.md").write_text("scores")
    joined = db.join("silva", tmp_path)
    assert joined.count(db.connection(), db.posts.to_ids()) == 30
    expected = [post for post, score in SCORES.items() if score > 0.5]
    assert db.posts.search("silva:>0.5").to_ids().tolist() == expected  # `score` may be left out
    assert db.posts.search("silva.score:>0.5 silva.ok:1").to_ids().tolist() == expected
    assert len(expected) > 5


def test_values_are_searched_and_sorted_and_what_has_none_comes_last(db, tmp_path):
    FORMS["s.csv"](tmp_path / "s.csv")
    db.join("silva", tmp_path / "s.csv")
    up = sorted(SCORES, key=lambda post: (SCORES[post], post))
    assert db.posts.search("order:silva_asc").to_ids().tolist() == up + list(range(31, 41))
    down = sorted(SCORES, key=lambda post: (-SCORES[post], -post))
    assert db.posts.search("order:silva").to_ids().tolist() == down + list(range(40, 30, -1))
    assert db.posts.order_by("-silva", "id").limit(3).to_ids().tolist() == sorted(
        down[:3], key=lambda p: (-SCORES[p], p)
    )
    assert db.posts.search("silva:none").to_ids().tolist() == list(range(31, 41))
    high = {post for post, score in SCORES.items() if score >= 0.7}
    assert set(db.posts.search("-silva:>=0.7").to_ids()) == set(range(1, POSTS + 1)) - high
    rated = db.posts.search("silva:>=0.7 or rating:e").to_ids()
    assert set(rated) == high | set(db.posts.rating("e").to_ids())
    column = db.joined["silva"].column("score")
    assert set(db.posts.where((column >= 0.7) & (hb.Post.id < 20)).to_ids()) == {
        post for post in high if post < 20
    }


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.integers(1, 60), st.none() | st.floats(-2, 2) | st.integers(-2, 2), min_size=1),
    st.floats(-2, 2).map(lambda value: round(value, 2)),
    st.sampled_from([">", ">=", "<", "<=", ""]),
)
def test_a_search_is_what_python_finds(db, tmp_path_factory, values, bound, sign):
    path = tmp_path_factory.mktemp("values") / "v.parquet"
    numbers = [None if value is None else float(value) for value in values.values()]
    parquet.write_table(pa.table({"id": list(values), "v": pa.array(numbers, pa.float64())}), path)
    compare = {">": "__gt__", ">=": "__ge__", "<": "__lt__", "<=": "__le__", "": "__eq__"}[sign]
    expected = [
        post
        for post in range(1, POSTS + 1)
        if values.get(post) is not None and getattr(float(values[post]), compare)(bound)
    ]
    if all(number is None for number in numbers):
        return
    name = f"v{next(names)}"
    with hb.open(db.path) as fresh:
        fresh.join(name, path)
        assert fresh.posts.search(f"{name}:{sign}{bound}").to_ids().tolist() == expected


def test_a_database_in_another_process_and_thread_knows_them(db, tmp_path):
    FORMS["s.jsonl"](tmp_path / "s.jsonl")
    db.posts.count()
    db.join("silva", tmp_path / "s.jsonl")
    expected = db.posts.search("silva:>0.5").to_ids().tolist()
    with pickle.loads(pickle.dumps(db)) as other:
        assert other.posts.search("silva:>0.5").to_ids().tolist() == expected


def test_fingerprints_and_locks_hold_the_hash_of_the_file(db, tmp_path, path):
    FORMS["s.csv"](tmp_path / "s.csv")
    db.join("silva", tmp_path / "s.csv")
    selection = db.posts.search("silva:>0.5")
    plain = db.posts.among(selection.to_ids())
    assert selection.fingerprint() != plain.fingerprint()
    assert db.posts.search("order:silva limit:40").fingerprint() != db.posts.fingerprint()
    with hb.open(path) as other:
        assert db.posts.rating("g").fingerprint() == other.posts.rating("g").fingerprint()
    lock = hb.Lock.of(selection, asked={}, caption=None)
    assert lock.joined == {"silva": db.joined["silva"].sha256}
    write_csv(
        tmp_path / "s.csv", [("id", "score"), *((post, score + 0.001) for post, score in SCORES.items())]
    )
    with hb.open(path) as fresh:
        fresh.join("silva", tmp_path / "s.csv")
        now = hb.Lock.of(fresh.posts.search("silva:>0.5"), asked={}, caption=None)
    assert any(change.startswith("joined: silva was ") for change in lock.changes(now))


def test_a_recipe_joins(db, tmp_path):
    FORMS["s.csv"](tmp_path / "s.csv")
    text = f'query = "silva:>0.5 order:silva"\n[join]\nsilva = "{tmp_path / "s.csv"}"\n'
    ids = hb.Recipe.parse(text, "mine").select(db).to_ids().tolist()
    assert set(ids) == {post for post, score in SCORES.items() if score > 0.5}
    assert ids[0] == max(SCORES, key=lambda post: (SCORES[post], post))


def test_a_text_of_digits_in_a_csv_is_text_where_one_value_is(db, tmp_path):
    write_csv(tmp_path / "t.csv", [("id", "a", "b", "c"), (1, "007", "1_0", ""), (2, "x", "2", "")])
    joined = db.join("t", tmp_path / "t.csv")
    assert dict(joined.columns) == {"a": "text", "b": "text"}
    assert joined.values(db.connection(), np.array([1, 2]), "a") == ["007", "x"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "id,score\n5,1\n7,2\n5,3\n", "post 5 has several rows; keep one"),
        ("a.csv", "id,score\n5.5,1\n", "'5.5' is not a post id"),
        ("a.csv", "id,score\n,1\n", "is not a post id"),
        ("a.csv", "post,score\n5,1\n", "has no column id or post_id"),
        ("a.csv", "id,score\n5,1,2\n", "fields, not 2"),
        ("a.csv", "id,score\n", "has no values of posts"),
        ("a.csv", "id,score\n1,\n", "has no values of posts"),
        ("a.csv", "", "has no column id or post_id"),
        ("a.jsonl", '{"id": 1, "x": 1}\n{"id": 2,\n', "line 2 is not JSON"),
        ("a.jsonl", "[1]\n", "is not an object"),
        ("a.jsonl", '{"id": true, "x": 1}\n', "True is not a post id"),
        ("a.parquet", "PAR1", "cannot be read"),
        ("a.tar", "no tar at all", "cannot be read"),
        ("a.docx", "x", "cannot be joined; give .parquet, "),
    ],
)
def test_files_that_cannot_be(db, tmp_path, name, text, message):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        db.join("silva", tmp_path / name)
    assert db.joined == {}


def test_names_that_cannot_be(db, tmp_path):
    FORMS["s.csv"](tmp_path / "s.csv")
    for name, message in {
        "Silva": "small letters",
        "a.b": "small letters",
        "score": "has a meaning",
        "order": "has a meaning",
    }.items():
        with pytest.raises(InputError, match=message):
            db.join(name, tmp_path / "s.csv")
    db.join("silva", tmp_path / "s.csv")
    db.join("silva", tmp_path / "s.csv")  # again is no mistake
    FORMS["s.tsv"](tmp_path / "other.tsv")
    with pytest.raises(InputError, match=r"silva is the name of .* already"):
        db.join("silva", tmp_path / "other.tsv")
    with pytest.raises(InputError, match="does not exist"):
        db.join("other", tmp_path / "none.csv")
    for query, near in (("slva:>0.5", "silva"), ("silva.scor:1", r"silva\.score")):
        with pytest.raises(SearchError, match=rf"no tag '{query}'; the nearest metatag is {near}:"):
            db.posts.search(query)
    with pytest.raises(SearchError, match="did you mean 'silva'"):
        db.posts.search("order:slva")
    with pytest.raises(SearchError, match=r"silva: takes numbers such as 2 or 1\.5, not 'high'"):
        db.posts.search("silva:high")
    with pytest.raises(InputError, match="silva has no column 'scores'; did you mean 'score'"):
        db.joined["silva"].column("scores")


@pytest.mark.slow
def test_texts_are_not_held_in_memory(db, tmp_path):
    text = "a girl with a cat " * 60
    with (tmp_path / "t.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(f'{{"id": {post}, "text": "{text}{post}"}}\n' for post in range(30_000, 0, -1))
    assert (tmp_path / "t.jsonl").stat().st_size > 30_000_000
    tracemalloc.start()
    try:
        joined = db.join("texts", tmp_path / "t.jsonl")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 20_000_000  # 5,000 rows at a time, and not all 30,000
    assert joined.values(db.connection(), np.array([7])) == [f"{text}7"]
