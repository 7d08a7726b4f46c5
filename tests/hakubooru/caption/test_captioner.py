from __future__ import annotations

import numpy as np
import pytest

import hakubooru as hb
from hakubooru.caption import Captioner, join_parts
from hakubooru.caption.captioner import _POSTS_A_BATCH
from hakubooru.errors import InputError

TAGS = "long_hair highres 1girl bespin o_o vocaloid solo hatsune_miku bad_id star_(sky) photoshop_(medium)"
POST = {"rating": "explicit", "fav_count": 107, "created_at": "2016-07-26T17:57:29.000-04:00"}


def test_epsilon(caption):
    assert caption("kohaku-epsilon", TAGS, **POST) == (
        "1girl, hatsune miku, vocaloid, bespin ||| long hair, o_o, solo, star (sky), best quality, mid, highres, "
        "nsfw, explicit"
    )


def test_splitting_at_the_keep_separator_and_trimming_leaves_clean_sides(caption):
    head, tail = caption("kohaku-epsilon", TAGS, **POST).split("|||")

    assert head.strip() == "1girl, hatsune miku, vocaloid, bespin"
    assert tail.strip().startswith("long hair, ")


def test_an_empty_side_leaves_the_separator(caption):
    assert caption({"order": ["people", "keep", "general"]}, "solo") == "||| solo"
    assert caption({"order": ["people", "keep", "general"]}, "1girl") == "1girl |||"
    assert caption({"order": ["people", "keep", "general"]}, "") == "|||"


def test_a_tag_that_holds_the_keep_separator_is_left_out(caption):
    tags = {"a|||b": ("general", 1)}
    assert caption({"order": ["keep", "general"]}, "a|||b solo", popularity=tags) == "||| solo"
    assert caption({"order": ["general"]}, "a|||b solo", popularity=tags) == "a|||b, solo"


@pytest.mark.parametrize(
    ("rating", "words"),
    [
        ("general", "safe"),
        ("sensitive", "sensitive"),
        ("questionable", "nsfw"),
        ("explicit", "nsfw, explicit"),
    ],
)
def test_rating_words(caption, rating, words):
    assert caption({"base": "kohaku-epsilon", "order": ["rating"]}, "solo", rating=rating) == words


def test_people_are_general_tags_where_the_order_has_no_people(caption):
    assert caption({"order": ["general", "meta"]}, "highres solo 1girl") == "solo, 1girl, highres"


def test_only_general_tags_count_people(caption):
    assert (
        caption({"order": ["people", "artist"]}, "2girls", popularity={"2girls": ("artist", 0)}) == "2girls"
    )


def test_banned_artist_is_dropped_and_no_other(caption):
    tags = "banned_artist banned_by_moderators bespin"
    assert caption({"base": "kohaku-epsilon", "order": ["artist"]}, tags) == "banned by moderators, bespin"


def test_tags_are_written_in_the_order_of_the_file_each_once(caption):
    assert caption({"order": ["general"]}, "solo o_o solo") == "solo, o_o"
    assert caption({"order": ["general"], "repeats": True}, "solo o_o solo") == "solo, o_o, solo"


def test_a_relation_to_a_tag_that_is_not_there_is_passed_over(booru, tmp_path):
    booru({1: ("solo", {}), 2: ("", {})}).close()
    with hb.open(tmp_path / "captions0.db", writable=True) as db:
        db.rows("INSERT INTO posttagrelation (post_id, tag_id) VALUES (1, 999999), (2, -5)")
        assert [text for _, text in Captioner(db, {"order": ["general"]}).captions(db.posts.to_ids())] == [
            "solo",
            "",
        ]


def test_captions_come_in_the_order_of_the_ids(booru):
    db = booru({post_id: (names, {}) for post_id, names in [(1, "solo"), (2, "1girl"), (5, "o_o")]})
    captions = list(Captioner(db, {"order": ["general"]}).captions(np.array([5, 1, 2, 5])))

    assert captions == [(5, "o_o"), (1, "solo"), (2, "1girl"), (5, "o_o")]


def test_an_id_that_no_post_has_is_an_error(booru):
    db = booru({1: ("solo", {}), 3: ("solo", {})})
    with pytest.raises(InputError, match=r"captions0.db has no post 2"):
        list(Captioner(db).captions(np.array([1, 2, 3])))


def test_one_query_a_batch_and_one_for_all_tags(booru, caplog):
    db = booru({post_id: ("solo", {}) for post_id in range(1, 2 * _POSTS_A_BATCH + 2)})
    ids = db.posts.to_ids()
    statements = []
    db.connection().set_trace_callback(statements.append)

    with caplog.at_level("DEBUG", "hakubooru.store.reader"):
        assert len(list(Captioner(db).captions(ids))) == len(ids)
    assert sum("json_each" in statement for statement in statements) == 3
    assert sum("FROM tag" in statement for statement in caplog.messages) == 1


@pytest.mark.parametrize(
    "indexes",
    [
        "DROP INDEX posttagrelation_post_id",
        "DROP INDEX posttagrelation_post_id; CREATE INDEX cover ON posttagrelation (post_id, tag_id)",
        'CREATE INDEX "a ""b" ON posttagrelation (post_id); DROP INDEX posttagrelation_post_id',
        "CREATE INDEX cover ON posttagrelation (post_id, tag_id); ANALYZE",
    ],
)
def test_tags_keep_the_order_of_the_relations_whatever_the_indexes(booru, tmp_path, indexes):
    booru({1: ("solo 1girl o_o long_hair", {}), 2: ("o_o 1girl", {})}).close()
    with hb.open(tmp_path / "captions0.db", writable=True) as db:
        db.connection().executescript(indexes)
        texts = [text for _, text in Captioner(db, {"order": ["tags"]}).captions(db.posts.to_ids())]
    assert texts == ["solo, 1girl, o_o, long hair", "o_o, 1girl"]


@pytest.mark.slow
def test_captions_of_few_and_of_many_posts_are_the_same(booru):
    db = booru({n: ("solo 1girl highres" if n % 3 else "", {"fav_count": n % 90}) for n in range(1, 2500)})
    captioner = Captioner(db)
    many = list(captioner.captions(db.posts.to_ids()))

    assert many[:50] == list(Captioner(db).captions(np.arange(1, 51)))
    assert many[:50] == list(captioner.captions(np.arange(1, 51)))


def test_parts_are_named_and_join_to_the_caption(booru):
    db = booru({1: (TAGS, POST), 2: ("", {})})
    captioner = Captioner(db, "kohaku-epsilon")
    ids = db.posts.to_ids()
    parts = dict(captioner.parts(ids))

    assert parts[1] == {
        "people": ["1girl"],
        "character": ["hatsune miku"],
        "copyright": ["vocaloid"],
        "artist": ["bespin"],
        "general": ["long hair", "o_o", "solo", "star (sky)"],
        "quality": ["best quality"],
        "date": ["mid"],
        "meta": ["highres"],
        "rating": ["nsfw", "explicit"],
    }
    for post_id, text in captioner.captions(ids):
        assert join_parts(parts[post_id], captioner.format) == text


@pytest.mark.parametrize(
    "shape",
    [
        "kohaku-epsilon",
        "hakubooru",
        "danbooru",
        {
            "base": "kohaku-epsilon",
            "before": "anime, art",
            "after": "end",
            "rating": {"explicit": "18+, nsfw"},
        },
        {"base": "kohaku-epsilon", "max_tags": 5, "after": "one, two"},
    ],
)
def test_counts_of_parts_cut_a_caption_into_its_parts(booru, shape):
    from hakubooru.caption import caption_format

    db = booru({1: (TAGS, POST), 2: ("", {}), 3: ("solo o_o highres", POST), 4: ("1girl", {})})
    captioner = Captioner(db, shape)
    ids = db.posts.to_ids()
    captioned = list(captioner.captioned(ids))
    separator = caption_format(shape).separator

    assert [(row.id, row.caption) for row in captioned] == list(captioner.captions(ids))
    for row, (_, parts) in zip(captioned, captioner.parts(ids), strict=True):
        words = [
            word
            for side in row.caption.split("|||")
            for word in side.strip().strip(",").split(separator)
            if word
        ]
        assert sum(row.parts.values()) == len(words)
        end = 0
        for part, count in row.parts.items():
            start, end = end, end + count
            if part in parts:
                assert separator.join(words[start:end]) == separator.join(parts[part])


def test_captions_of_no_posts(booru):
    db = booru({1: ("solo", {})})
    assert list(Captioner(db).captions(np.empty(0, np.int64))) == []


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda ids: np.array(ids, np.int32)])
@pytest.mark.parametrize("is_prepared", [False, True])
def test_ids_are_any_iterable(booru, kind, is_prepared):
    db = booru({1: ("solo", {}), 2: ("1girl", {}), 3: ("highres", {})})
    captioner = Captioner(db, "danbooru")
    if is_prepared:
        captioner.prepare([1, 2])
    assert [(row.id, row.caption) for row in captioner.captioned(kind([2, 1]))] == [(2, "1girl"), (1, "solo")]
    assert [row.caption for row in captioner.captioned([3, 1])] == ["highres", "solo"]
    assert list(captioner.captions(range(1, 3))) == [(1, "solo"), (2, "1girl")]
    assert [number for number, _ in captioner.parts([3])] == [3]


def test_what_is_no_id_is_named(booru):
    captioner = Captioner(booru({1: ("solo", {})}), "danbooru")
    with pytest.raises(InputError, match="entry 2: 'two' is not a post id"):
        list(captioner.captioned([1, "two"]))
