"""Parts that formats gained: joined texts, groups, prefixes, years, species."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hakubooru as hb
from hakubooru.caption import Captioner, caption_format, join_parts
from hakubooru.caption.captioner import Batch
from hakubooru.caption.words import Vocabulary
from hakubooru.engine.optimize import optimize
from hakubooru.engine.posts import TaggedPosts
from joined_columns import join

TEXTS = {1: "A girl,\n asleep", 2: None, 3: " \n", 4: ""}
pytestmark = pytest.mark.usefixtures("cache")
TEXT = {"order": ["people", "keep", "general", "text", "rating"]}


@pytest.fixture
def posts(booru, tmp_path):
    return join(booru({n: ("1girl solo o_o", {}) for n in (1, 2, 3, 4)}), tmp_path, text=TEXTS)


def captioned(database, shape):
    captioner = Captioner(database, shape)
    results = list(captioner.captioned(database.posts.to_ids()))
    assert [(result.id, result.caption) for result in results] == list(
        captioner.captions(database.posts.to_ids())
    )
    assert [join_parts(parts, captioner.format) for _, parts in captioner.parts(database.posts.to_ids())] == [
        result.caption for result in results
    ]
    return [(result.caption, result.parts) for result in results]


def test_a_text_is_a_part(posts):
    assert captioned(posts, TEXT) == [
        ("1girl ||| solo, o_o, A girl, asleep, safe", {"people": 1, "general": 2, "text": 2, "rating": 1}),
        *[("1girl ||| solo, o_o, safe", {"people": 1, "general": 2, "rating": 1})] * 3,
    ]


def test_a_text_in_place_of_general_tags(posts):
    assert captioned(posts, TEXT | {"text_replaces": True})[:2] == [
        ("1girl ||| A girl, asleep, safe", {"people": 1, "text": 2, "rating": 1}),
        ("1girl ||| solo, o_o, safe", {"people": 1, "general": 2, "rating": 1}),
    ]
    # Without the part `text` nothing replaces them.
    order = [part for part in TEXT["order"] if part != "text"]
    shape = {"order": order, "text_replaces": True}
    assert captioned(posts, shape)[0] == captioned(posts, TEXT)[1]


def test_a_text_holds_no_marks(posts, tmp_path):
    join(posts, tmp_path, nl={1: "one ||| two %% three"})
    assert captioned(posts, TEXT | {"group_separator": " %% ", "text": "nl"})[0][0] == (
        "1girl ||| solo, o_o %% one two three %% safe"
    )


def test_a_text_is_trimmed_by_no_limit_and_is_text_in_json(posts):
    assert captioned(posts, TEXT | {"max_tags": 1})[0][0] == "1girl ||| A girl, asleep, safe"
    assert captioned(posts, TEXT | {"layout": "json"})[0][0] == (
        '{"people": ["1girl"], "general": ["solo", "o_o"], "text": "A girl, asleep", "rating": "safe"}'
    )


def test_texts_are_found_whatever_the_order_of_posts(posts, tmp_path):
    join(posts, tmp_path, nl={n: f"text {n}" for n in (1, 3)})
    captions = Captioner(posts, TEXT | {"text": "nl"}).captions(np.array([3, 2, 1]))
    assert [text.split("o_o, ")[1] for _, text in captions] == ["text 3, safe", "safe", "text 1, safe"]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ({"order": ["people", "general", "rating"]}, "1girl %% solo $ o_o %% safe"),
        ({"order": ["people", "keep", "general", "rating"]}, "1girl ||| solo $ o_o %% safe"),
        ({"order": ["rating", "people", "keep", "general"]}, "safe $ 1girl ||| solo $ o_o"),
        ({"order": ["keep", "people", "general"], "after": "end"}, "||| 1girl %% solo $ o_o %% end"),
        ({"order": ["people", "rating"], "before": "art"}, "art %% 1girl %% safe"),
        ({"order": ["artist", "people"]}, "1girl"),
    ],
)
def test_groups(posts, shape, expected):
    shape = shape | {"separator": " $ ", "group_separator": " %% "}
    assert captioned(posts, shape)[0][0] == expected


def test_prefixes_stand_before_the_tags_of_a_part(caption):
    shape = {"order": ["artist", "general"], "prefix": {"artist": "@", "general": "#"}, "escape": True}
    assert caption(shape, "bespin solo star_(sky)") == r"@bespin, #solo, #star \(sky\)"
    assert caption({"base": "webui", "order": ["tags"], "prefix": {"artist": "by "}}, "solo bespin") == (
        "solo, by bespin"
    )


@pytest.mark.parametrize(
    ("year", "label"), [("2016", "year 2016"), ("2005", "year 2005"), ("1999", ""), ("x", "")]
)
def test_years(caption, year, label):
    assert caption({"order": ["year"]}, "", created_at=f"{year}-02-03T00:00:00-05:00") == label


def test_another_text_before_the_year(caption):
    assert caption({"order": ["year"], "year": ""}, "", created_at="2016-02-03T00:00:00-05:00") == "2016"


def test_species_have_a_part_and_are_general_tags_without_it(caption):
    kinds = {
        "canine": ("species", 1),
        "young": ("lore", 1),
        "solo": ("general", 1),
        "voice": ("contributor", 1),
    }
    order = ["species", "lore", "keep", "general"]
    assert caption({"order": order}, "canine solo young voice", popularity=kinds) == "canine, young ||| solo"
    assert caption({"order": ["general"]}, "canine solo young", popularity=kinds) == "canine, solo"
    shape = {"order": ["species"], "prefix": {"species": "#"}}
    assert caption(shape, "canine voice", popularity=kinds) == "#canine"  # no part writes `voice`


def test_species_lose_tags_to_a_limit_with_the_general_ones(caption):
    kinds = {"canine": ("species", 1), "feline": ("species", 1)}
    shape = {"order": ["artist", "species", "general"], "max_tags": 2}
    assert caption(shape, "bespin solo o_o canine feline", popularity=kinds) == "bespin, canine"


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="|%$,"), max_size=12)


@pytest.mark.slow
@given(texts=st.lists(words, min_size=12, max_size=12))
def test_any_text_is_written_as_one_line(texts):
    shape = caption_format({"order": ["text", "general"]})
    tags = pa.table({"id": [1], "name": ["solo"], "type": [0], "popularity": [1]})
    ones, zeros = np.ones(12, np.int64), np.zeros(12, np.int64)
    posts = TaggedPosts(np.arange(12), zeros, [""] * 12, ones, ones, {"text": texts})
    batch = Batch(shape, Vocabulary(shape, tags), posts)
    expected = [", ".join(filter(None, (" ".join(text.split()), "solo"))) for text in texts]
    assert batch.texts() == expected == [join_parts(parts, shape) for parts in batch.parts()]


def test_a_sidecar_changes_no_caption_with_joined_values(path, tmp_path):
    texts = {post: f"text {post}" for post in range(1, 201, 3)}
    scores = {post: post / 200 for post in range(1, 201, 2)}
    shape = {
        "order": ["people", "quality", "aesthetic", "date", "rating", "general", "text"],
        "quality_scale": "database",
        "aesthetic": {"labels": {"high": 60, "low": 0}, "by": "silva", "scale": "database"},
    }
    captions = []
    for _ in ("without", "with a sidecar"):
        with hb.open(path) as database:
            join(database, tmp_path, text=texts, silva=scores)
            captions.append([*Captioner(database, shape).captions(database.posts.to_ids()[::-1])])
            optimize(database)
    assert captions[0] == captions[1]
    assert sum(", text " in text for _, text in captions[0]) == len(texts)
