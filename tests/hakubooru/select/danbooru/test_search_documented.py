"""Searches as Danbooru's help:cheatsheet writes them, on nine posts that can be looked over."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

import hakubooru as hb
from booru import post_row, write
from hakubooru.errors import SearchError
from hakubooru.select.danbooru import apply, parse

NOW = datetime(2024, 3, 31, 16, tzinfo=UTC)  # noon in New York
TAGS = [
    ("1girl", "general"),
    ("solo", "general"),
    ("long_hair", "general"),
    ("lace_hem", "general"),
    ("old_name", "general"),
    ("new_name", "general"),
    ("hatsune_miku", "character"),
    ("saber_(fate)", "character"),
    (":)", "general"),
    ("=)", "general"),
]
BAGS = {
    1: ["1girl", "solo", "long_hair"],
    2: ["1girl", "lace_hem"],
    3: ["long_hair", "hatsune_miku"],
    4: ["old_name", "saber_(fate)"],
    5: ["new_name", ":)"],
    6: ["new_name", "=)"],
    7: ["solo"],
    8: ["hatsune_miku", "hatsune_miku"],
    9: [],
}
ROWS = [
    post_row(
        1,
        created_at="2024-03-31T11:00:00.000-04:00",
        score=10,
        file_size=2**20,
        rating="general",
        md5="a" * 32,
        has_children=True,
    ),
    post_row(
        2,
        created_at="2024-03-30T01:00:00.000-04:00",
        score=5,
        file_size=1_048_000,
        rating="sensitive",
        parent_id=1,
        has_children=True,
    ),
    post_row(
        3,
        created_at="2023-04-01T09:00:00.000-04:00",
        score=0,
        file_size=2 * 2**20,
        rating="questionable",
        parent_id=1,
        is_deleted=True,
    ),
    post_row(
        4,
        created_at="2017-05-15T12:00:00.000-04:00",
        score=-3,
        file_size=1_090_000,
        rating="explicit",
        parent_id=2,
    ),
    post_row(
        5, created_at="2017-05-16T00:00:00.000-04:00", score=7, file_size=500, source="foo bar", down_score=-2
    ),
    post_row(
        6,
        created_at="2016-12-31T23:59:59.000-05:00",
        score=7,
        file_size=2000,
        source="any/old",
        down_score=-2,
    ),
    post_row(
        7,
        created_at="2015-01-01T00:00:00.000-05:00",
        source="NONE of it",
        image_width=0,
        image_height=0,
        down_score=-1,
    ),
    post_row(8, created_at="2014-02-28T00:00:00.000-05:00", source="a*b", bit_flags=1, pixiv_id=42),
    post_row(
        9, created_at="2005-05-24T00:00:00.000-04:00", source="aXb", image_width=1500, image_height=1000
    ),
]


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    path = tmp_path_factory.mktemp("documented") / "posts.db"
    write(path, ROWS, BAGS.__getitem__, TAGS)
    with hb.open(path, writable=True) as database:
        database.connection().executescript(
            """
            CREATE TABLE tagalias (alias VARCHAR(255) NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL);
            INSERT INTO tagalias VALUES ('old_name', 'new_name'), ('/m', 'hatsune_miku'), ('lost', 'no_such_tag'), (':)', 'no_such_tag');
            """
        )
        yield database


# The search, what it finds (in the search's order), and Danbooru's rule.
DOCUMENTED = [
    ("filesize:1mb", [1, 2, 4], "a size in kb or mb means within 5% of it"),
    ("filesize:1048000b", [2], "bytes are counted exactly, with the letter"),
    ("filesize:1048000", [2], "and without it"),
    ("filesize:1mb,2mb", [1, 3], "a list holds exact sizes"),
    ("filesize:2000,>1.5mb", [3, 6], "a list may hold ranges"),
    ("filesize:1mb,>2mb", [1, 2, 4], "beside a range, a size alone is within 5% again"),
    ("filesize:<.5k", [5], "a number may begin with its point"),
    ("mpixels:0.8,1.5", [*range(1, 7), 8, 9], "a list of areas is exact"),
    ("mpixels:+.8", [*range(1, 7), 8], "signs and points, as Ruby's Float reads them"),
    ("mpixels:15e-1", [9], "exponents, too"),
    ("ratio:.15e1", [9], "and in ratios"),
    ("ratio:>1", [*range(1, 7), 8, 9], "no height, no ratio"),
    ("id:1,3..5", [1, 3, 4, 5], "a list of ids with a range"),
    ("id:1,>=8", [1, 8, 9], "and with a sign"),
    ('id:"1, 3 5"', [1, 3, 5], "blanks part a list as commas do"),
    ("id:1,2,", [1, 2], "a comma at the end is nothing"),
    ("-id:<=2,4..9", [3], "not any of the list"),
    ("score:<0,>7", [1, 4], "below or above"),
    ("pixiv:none,>41", list(range(1, 10)), "`none` beside a range"),
    ("age:<60", [], "a number without a unit is seconds"),
    ("age:<1h30m", [1], "units may follow each other, the longer first"),
    ("age:1h..2h", [1], "a range of ages"),
    ("age:<1.4d", [1], "parts of units"),
    ("age:<1y", [1, 2, 3], "a year is 365.25 days"),
    ("age:<12mo", [1, 2, 3], "and a month a twelfth of it"),
    ("age:<365.1d", [1, 2], "which is 365 days and 6 hours"),
    ("age:1d", [2], "an age alone is a day in New York: 30 March from its midnight"),
    ("age:<1y,>15y", [1, 2, 3, 9], "a list of ages"),
    ("date:2017-05-15", [4], "a day"),
    ("date:2017/05/15", [4], "with strokes"),
    ("date:2017.5.15", [4], "with points"),
    ("date:15-5-2017", [4], "the day first"),
    ("date:15/5/2017", [4], "so, too"),
    ("date:15.5.2017", [4], "and so"),
    ("date:20170515", [4], "in one"),
    ("date:2017/05", [4, 5], "a month"),
    ("date:2017-05-15,2016/12", [4, 6], "a list of a day and a month"),
    ("date:<2006,31/3/2024..", [1, 9], "a list of ranges"),
    ("source:", list(range(1, 5)), "without a value: no source"),
    ("source: 1girl", [1, 2], "the next word is a tag"),
    ("(source: or id:9) -1girl", [3, 4, 9], "and it may stand anywhere"),
    ("source:any", [6], "`any` is the beginning of a source"),
    ('source:"none"', [7], "in quotes, `none` is, too"),
    ("source:NONE", list(range(1, 5)), "without them it is no source"),
    (r"source:foo\ bar", [5], "a blank after a backslash belongs to the value"),
    (r"source:foo\ bar new_name", [5], "the value ends at one without"),
    (r"source:a\*b", [8], "a star after a backslash is a star"),
    ("source:a*b", [8, 9], "without, it is anything"),
    ("old_name", [5, 6], "an alias comes before an old tag that is still borne"),
    ("unaliased:old_name", [4], "unless one asks for the old tag"),
    ("-old_name id:4..6", [4], "the same after a minus"),
    (":)", [5], "an alias of a tag that the file does not have is still the old tag"),
    ("/m", [3, 8], "an alias with a stroke"),
    ("/lh", [1, 3], "initials mean the commonest tag that has them: long_hair, not lace_hem"),
    ("/HM", [3, 8], "in either case"),
    ("saber_*)", [4], "a ) that closes nothing belongs to the wildcard"),
    ("*)", [4, 5, 6], "any tag that ends so"),
    ("((saber_*) or :))", [4, 5], "in a group it closes the group"),
    ("=)", [6], "a tag whose ) opens nowhere"),
    ("children:2", [1], "how many children"),
    ("child_count:1..", [1, 2], "by the longer name"),
    ("children:0 -source:", [5, 6, 7, 8, 9], "none"),
    ("deleted_children:1", [1], "how many that are deleted"),
    ("active_child_count:1", [1, 2], "and how many that are not"),
    ("deleted_child_count:<1 parent:1", [2, 3], "none that is deleted"),
    ("active_children:0 child:any", [], "none that is not"),
    ("order:children child:any", [1, 2], "the most children first"),
    ("order:child_count_asc id:1..3", [3, 2, 1], "and the fewest"),
    ("order:active_children_desc id:1,2,9", [2, 1, 9], "ties by id downwards"),
    ("order:custom id:3,1,2", [3, 1, 2], "in the order of the list"),
    ("1girl id:2,3,1 order:custom limit:1", [2], "of what the rest of the search leaves"),
    ("order:custom id:7", [7], "a list of one"),
    ("order:none limit:2", [1, 2], "in no order: as they stand in the file"),
    ("order:score ORDER:Score limit:2 LIMIT:2", [1, 6], "the same again is no contradiction"),
    ("order:downvotes id:5..7", [5, 6, 7], "ties of downvotes stand by id upwards"),
    ("order:downvotes_asc id:5..7", [7, 6, 5], "and downwards where the order is turned"),
    ("is:safe", [2], "sensitive had this name"),
    ("rating:safe,q", [2, 3], "in a list, too"),
    ("rating:quest", [3], "a rating is known by its beginning"),
    ("filetype:png,jpg,", list(range(1, 10)), "a list of types"),
    ("embedded:ON", [8], "yes by any of its names"),
    ("embedded:0 id:8..9", [9], "no, likewise"),
    (f"md5:{'A' * 32}", [1], "in either case"),
    (f"md5:>={'a' * 32}", [1], "hashes have an order, too"),
    ("score:+1_0", [1], "numbers as Ruby's Integer reads them"),
]


@pytest.mark.parametrize(("text", "expected", "rule"), DOCUMENTED)
def test_a_search_finds_what_the_rule_says(db, text, expected, rule):
    assert apply(parse(text), db.posts, now=NOW).to_ids().tolist() == expected, rule


@pytest.mark.parametrize("text", [text for text, _, _ in DOCUMENTED if " or " not in text])
def test_a_search_prints_as_one_that_means_the_same(db, text):
    printed = str(parse(text))
    assert parse(printed) == parse(text)
    assert str(parse(printed)) == printed


NOTHING_LIKE_IT = [
    ("order:custom id:>1", "custom needs one id: with the list of ids"),
    ("order:custom id:1 id:2", "custom needs one id:"),
    ("order:custom -id:1,2", "custom needs one id:"),
    ("order:custom (id:1 or solo)", "custom needs one id:"),
    ("limit:5 limit:10", "limit: is given twice; keep one"),
    ("order:score order:score_asc", "order: is given twice; keep one"),
    ("lost", "the database has no tag 'lost'"),
    ("/zz", "the database has no tag '/zz'"),
    ("solo)", "this \\) closes nothing"),
    ("hatsune miku", "no tag 'hatsune'; tags have underscores in place of spaces: write hatsune_miku"),
    ("1girl Hatsune Miku solo", "no tag 'Hatsune'; .* write hatsune_miku"),
    ('"hatsune miku"', "write hatsune_miku"),
    ("solo old hair", "no tag 'old'; similar tags: new_name"),
    ("solo long hair", "no tag 'long'; .*: write long_hair"),
    ("miku", "similar tags: hatsune_miku"),
    ("fate", r"similar tags: saber_\(fate\)"),
]


@pytest.mark.parametrize(("text", "message"), NOTHING_LIKE_IT)
def test_what_cannot_be_meant_is_refused_with_the_mend(db, text, message):
    with pytest.raises(SearchError, match=message):
        db.posts.search(text)
