"""Narrowing searches, taking terms away, and terms that mean exactly one tag."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakubooru.browse.answers import Searches, chips, narrowed, term_of
from hakubooru.select.danbooru import parse
from hakubooru.select.danbooru.grammar import Metatag, Name

TAGS = Path(__file__).parents[2] / "data" / "danbooru_tags.csv.gz"


@pytest.mark.parametrize(
    ("text", "term", "expected"),
    [
        ("", "solo", "solo"),
        ("1girl", "solo", "1girl solo"),
        ("1girl solo", "solo", "1girl solo"),
        ("1girl solo", "-solo", "1girl -solo"),
        ("1girl -solo", "solo", "1girl solo"),
        ("1girl or 2girls", "solo", "(1girl or 2girls) solo"),
        ("1girl order:score", "rating:g", "1girl rating:g order:score"),
        ("1girl order:score", "order:id", "1girl order:id"),
        ("a or b", "order:score", "(a or b) order:score"),
        ("1girl", "(rating:g favcount:..3 or rating:s favcount:..5)", "1girl ((rating:g favcount:..3) or (rating:s favcount:..5))"),
        ("(1girl", "solo", "(1girl solo"),
    ],
)  # fmt: skip
def test_a_search_is_narrowed_by_a_term(text, term, expected):
    assert narrowed(text, term, {}) == expected


def test_each_term_can_be_taken_away():
    rests = {chip.words: chip.rest for chip in chips("(a or b) -c score:>5 order:score limit:10", {})}
    assert rests == {
        "a or b": "-c score:>5 order:score limit:10",
        "-c": "(a or b) score:>5 order:score limit:10",
        "score:>5": "(a or b) -c order:score limit:10",
        "order:score": "(a or b) -c score:>5 limit:10",
        "limit:10": "(a or b) -c score:>5 order:score",
    }
    assert chips("(a", {}) == chips("", {}) == []


def means(term, name):
    meaning = parse(term).condition
    return meaning in {Name(name), Metatag("unaliased", name, quoted=True)}


@pytest.mark.slow
def test_real_tags_have_a_term():
    with gzip.open(TAGS, "rt", encoding="utf-8") as file:
        names = [row[0] for row in csv.reader(file)]
    odd = [name for name in names if not name.replace("_", "").isalnum()]
    assert len(odd) > 10_000
    assert [name for name in odd[:4000] if not means(term_of(name), name)] == []


@given(st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1))
def test_any_name_has_a_term(name):
    assert means(term_of(name), name)


def test_joined_columns_are_metatags(db, tmp_path):
    (tmp_path / "scores.csv").write_text("id,score,text\n3,0.9,a b\n6,0.8,a b\n7,0.1,c\n")
    db.join("silva", tmp_path / "scores.csv")
    text = 'silva.text:"a b" order:silva.score_asc'
    assert Searches().answer(text, db.posts).ids.tolist() == [6, 3]
    joined = db.joined_columns
    assert [chip.words for chip in chips(text, joined)] == ['silva.text:"a b"', "order:silva.score_asc"]
    assert narrowed(text, "order:silva.score", joined) == 'silva.text:"a b" order:silva.score'
