"""What is proposed for a tag that a database does not have, and what patterns and initials find."""

from __future__ import annotations

import pytest

import hakubooru as hb
from hakubooru.errors import UnknownTagError

POPULARITY = {
    "hatsune_miku": 100,
    "sakura_miku": 20,
    "mika": 30,
    "mikuni": 2,
    "1girl": 900,
    "cat_girl": 50,
    "saber_(fate)": 40,
    "fate": 0,
    "hair_ribbon": 300,
    "hakurei_reimu": 50,
    "jeanne_d'arc": 7,
    'don\'t_say_"lazy"': 6,
    "k-on!": 5,
    "o_o": 4,
    "long_hair": 500,
    "東方": 3,
    r"\m/": 1,
    "100%": 1,
}


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    with hb.create(tmp_path_factory.mktemp("suggestions") / "tags.db") as database:
        for number, (name, count) in enumerate(POPULARITY.items(), 1):
            database.rows("INSERT INTO tag VALUES (?, ?, 0, ?)", [number, name, count])
        yield database


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("miku", ["hatsune_miku", "sakura_miku", "mika"]),
        ("Miku", ["hatsune_miku", "sakura_miku", "mika"]),
        ("hatsune miku", ["hatsune_miku"]),
        ("girl", ["cat_girl", "1girl"]),
        ("saber", ["saber_(fate)"]),
        ("saber_", ["saber_(fate)"]),
        ("reimu", ["hakurei_reimu"]),
        ("reim", ["hakurei_reimu"]),
        ("hatsune_mikuu", ["hatsune_miku"]),
        ("1gril", ["1girl"]),
        ("kon", ["k-on!"]),
        ("東", ["東方"]),
        ("qqqqqqqqqqqqqqq", []),
        ("", []),
    ],
)
def test_a_tag_is_proposed_by_its_letters_and_by_its_parts(db, name, names):
    assert db.tags.nearest(name)[: len(names) or None] == names


@pytest.mark.parametrize(("name", "mend"), [("miku", "hatsune_miku"), ("hatsune miku", "hatsune_miku")])
def test_the_error_names_it(db, name, mend):
    for ask in (lambda: db.posts.tagged(name).count(), lambda: db.tags[name], lambda: db.tags.matching(name)):
        with pytest.raises(UnknownTagError, match=f"no tag '{name}'; similar tags: {mend}"):
            ask()


@pytest.mark.parametrize(
    ("initials", "tag"),
    [
        ("hr", "hair_ribbon"),
        ("HR", "hair_ribbon"),
        ("lh", "long_hair"),
        ("jd", "jeanne_d'arc"),
        ("dsl", 'don\'t_say_"lazy"'),
        ("ko", "k-on!"),
        ("sf", "saber_(fate)"),
        ("o", "o_o"),
        ("1", "1girl"),
        ("zz", None),
        ("h*", None),
        ("", None),
    ],
)
def test_initials(db, initials, tag):
    assert db.tags.abbreviated(initials) == tag


def test_an_empty_tag_has_no_initials(db):
    assert db.tags.abbreviated("f") is None


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*miku*", ["hatsune_miku", "sakura_miku", "mikuni"]),
        (r"\m/", [r"\m/"]),
        (r"\\m*", [r"\m/"]),
        (r"\m*", [r"\m/"]),
        ("100%", ["100%"]),
        ("*%", ["100%"]),
        ("o_*", ["o_o"]),
        ("K-ON!", ["k-on!"]),
    ],
)
def test_patterns(db, pattern, names):
    assert [tag.name for tag in db.tags.matching(pattern)] == names
    assert db.tags.count_matching(pattern) == len(names)


def test_a_limit_cuts_and_none_does_not(db):
    assert len(db.tags.matching("*", 3)) == 3
    assert len(db.tags.matching("*", None)) == db.tags.count_matching("*") == len(POPULARITY)
