"""Parts that formats gained: joined texts, groups, prefixes, years, species."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hakubooru as hb
from booru import post_row, write
from hakubooru.caption import Captioner, caption_format, join_parts
from hakubooru.caption.words import _part_of
from hakubooru.store.schema import TAG_TYPES
from joined_columns import Columns

TEXTS = Columns(text={1: "A girl,\n asleep", 2: None, 3: " \n"})
TEXT = {"order": ["people", "keep", "general", "text", "rating"]}


@pytest.fixture
def posts(booru):
    return booru({n: ("1girl solo o_o", {}) for n in (1, 2, 3, 4)})


def captioned(database, shape, joined=TEXTS):
    captioner = Captioner(database, shape, joined)
    found = list(captioner.captioned(database.posts.to_ids()))
    assert [(one.id, one.caption) for one in found] == list(captioner.captions(database.posts.to_ids()))
    assert [join_parts(parts, captioner.format) for _, parts in captioner.parts(database.posts.to_ids())] == [
        one.caption for one in found
    ]
    return [(one.caption, one.parts) for one in found]


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


def test_a_text_holds_no_marks(posts):
    texts = Columns(text={1: "one ||| two %% three"})
    assert captioned(posts, TEXT | {"group_separator": " %% "}, texts)[0][0] == (
        "1girl ||| solo, o_o %% one two three %% safe"
    )


def test_a_text_is_trimmed_by_no_limit_and_is_text_in_json(posts):
    assert captioned(posts, TEXT | {"max_tags": 1})[0][0] == "1girl ||| A girl, asleep, safe"
    assert captioned(posts, TEXT | {"layout": "json"})[0][0] == (
        '{"people": ["1girl"], "general": ["solo", "o_o"], "text": "A girl, asleep", "rating": "safe"}'
    )


def test_texts_are_found_whatever_the_order_of_posts(posts):
    texts = Columns(text={n: f"text {n}" for n in (1, 3)})
    captions = Captioner(posts, TEXT, texts).captions(np.array([3, 2, 1]))
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


def test_types_of_other_sites_have_a_part():
    order = caption_format({"order": ["species", "general"]}).order
    assert order == ("species", "general")
    assert {kind: _part_of(kind) for kind in TAG_TYPES if _part_of(kind) < 0} in ({}, {"invalid": -1})


@pytest.mark.skipif("species" not in TAG_TYPES, reason="the file has no species")
def test_species_have_a_part_and_are_general_tags_without_it(caption):
    kinds = {"canine": ("species", 1), "solo": ("general", 1)}
    assert (
        caption({"order": ["species", "keep", "general"]}, "canine solo", popularity=kinds)
        == "canine ||| solo"
    )
    assert caption({"order": ["general"]}, "canine solo", popularity=kinds) == "canine, solo"


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="|%$,"), max_size=12)


@pytest.fixture(scope="module")
def twelve(tmp_path_factory):
    """Twelve posts of one tag."""
    file = tmp_path_factory.mktemp("captions") / "twelve.db"
    write(file, [post_row(n) for n in range(1, 13)], lambda _: ["solo"])
    with hb.open(file) as database:
        yield database


@given(st.lists(words, min_size=12, max_size=12))
def test_any_text_is_written_as_one_line(twelve, texts):
    joined = Columns(text=dict(enumerate(texts, start=1)))
    expected = [", ".join(filter(None, (" ".join(text.split()), "solo"))) for text in texts]
    found = captioned(twelve, {"order": ["text", "general"]}, joined)
    assert [text for text, _ in found] == expected
