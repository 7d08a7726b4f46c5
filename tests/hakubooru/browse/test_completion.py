"""Suggestions for the word that is being typed."""

from __future__ import annotations

import pytest

from booru import post_row, write
from hakubooru.browse.completion import Completion
from hakubooru.database import open_database
from hakubooru.select.danbooru import parse
from hakubooru.store.tags import ALIAS_TABLE

TAGS = [
    ("long_hair", "general"),
    ("hair_ribbon", "general"),
    ("hatsune_miku", "character"),
    ("chair", "general"),
    ("rating_girl", "general"),
    ("ハチ(猫)", "artist"),
    ("unused", "general"),
]
POSTS = {1: TAGS[:4], 2: TAGS[:1], 3: TAGS[3:6], 4: TAGS[3:4]}


@pytest.fixture
def completion(tmp_path):
    path = tmp_path / "tags.db"
    write(path, [post_row(i) for i in POSTS], lambda i: [name for name, _ in POSTS[i]], TAGS)
    with open_database(path, writable=True) as db:
        db.rows(ALIAS_TABLE)
        db.rows("INSERT INTO tagalias VALUES ('miku', 'hatsune_miku')")
        db.connection().commit()
        yield Completion(db)


def terms(completion, word):
    return [each.term for each in completion.suggestions(word)]


def test_the_start_of_a_name_comes_before_the_start_of_a_word_and_that_before_any_part(completion):
    assert terms(completion, "hair") == ["hair_ribbon", "long_hair", "chair"]


def test_suggestions_have_type_and_posts(completion):
    (miku,) = completion.suggestions("MIKU")
    assert (miku.term, miku.type, miku.posts, miku.alias) == ("hatsune_miku", "character", 1, "miku")
    assert [each.posts for each in completion.suggestions("hair")] == [1, 2, 3]


def test_names_in_any_writing_are_completed(completion):
    assert terms(completion, "ハチ") == ["ハチ(猫)"]
    assert terms(completion, "猫") == ["ハチ(猫)"]


def test_metatags_and_their_values_are_completed(completion):
    assert terms(completion, "rati") == ["rating_girl", "ratio:", "rating:"]
    assert terms(completion, "rating:s") == ["rating:sensitive"]
    assert terms(completion, "order:score") == ["order:score", "order:score_asc"]


@pytest.mark.parametrize("word", ["", "*", "%", "zzz", "a\nb", "'", "\\", "rating:zzz"])
def test_what_fits_nothing_suggests_nothing(completion, word):
    assert terms(completion, word) == []


@pytest.mark.parametrize("name", ["rating", "order", "filetype", "is", "has", "parent", "child"])
def test_every_value_can_be_searched(completion, name):
    for letter in "abcdefghijklmnopqrstuvwxyz":
        for term in terms(completion, f"{name}:{letter}"):
            parse(term)
