"""What is wrong with a search is said in one sentence, above the search and carets under the place."""

from __future__ import annotations

import pytest

import hakubooru as hb
from booru import write
from hakubooru.errors import InputError, SearchError


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    """A database without posts: a mistake is found before they are looked at."""
    path = tmp_path_factory.mktemp("mistakes") / "tags.db"
    write(path, [])
    with hb.open(path) as database:
        yield database


# The search, the place, and the sentence.
MISTAKES = [
    ("( ", "(", "this ( is never closed; add a )"),
    ("(solo", "(", "this ( is never closed; add a )"),
    ("solo)", ")", "this ) closes nothing; remove it, or add a ( before it"),
    ("solo ) comic", ")", "this ) closes nothing; remove it, or add a ( before it"),
    ("()", "()", "these parentheses are empty"),
    ("solo ()", "()", "these parentheses are empty"),
    ("solo or", "or", "`or` needs something on its right"),
    ("or solo", "or", "`or` needs something on its left"),
    ("solo or and comic", "and", "`and` needs something on its left"),
    ("-", "-", "- needs a tag, a metatag or a group after it"),
    ("solo -", "-", "- needs a tag, a metatag or a group after it"),
    ("~-solo", "~", "~ needs a tag, a metatag or a group after it"),
    ("-or", "-", "- needs a tag, a metatag or a group after it"),
    ("1gril", "1gril", "the database has no tag '1gril'; similar tags: 1girl"),
    (
        "solo_(",
        "solo_(",
        "the database has no tag 'solo_('; one of its parentheses has no partner; similar tags: solo",
    ),
    ("scor:>5", "scor:>5", "the database has no tag 'scor:>5'; the nearest metatag is score:"),
    ("ratng:g", "ratng:g", "the database has no tag 'ratng:g'; the nearest metatag is rating:"),
    (
        "solo,comic",
        "solo,comic",
        "the database has no tag 'solo,comic'; blanks stand between tags, not commas: write solo comic",
    ),
    (
        "scorE>=5",
        "scorE>=5",
        "the database has no tag 'scorE>=5'; a metatag has a colon: write scorE:>=5",
    ),
    ("rating:", "rating:", "rating: needs a value right after it"),
    ("rating:x", "rating:x", "rating: cannot be 'x'; there are: general, sensitive, questionable, explicit"),
    ("rating:sfw", "rating:sfw", "rating: cannot be 'sfw', which means two ratings; write is:sfw"),
    ("is:delted", "is:delted", "is: cannot be 'delted'; did you mean 'deleted'?"),
    ("is:pending", "is:pending", "is: cannot be 'pending' here: a metadata file has no moderation queue"),
    ("score:abc", "score:abc", "score: takes whole numbers, not 'abc'"),
    ("score:>>5", "score:>>5", "score: takes whole numbers, not '>5'"),
    (
        "score:5...5",
        "score:5...5",
        "score: takes ranges with values in them, and this one is empty: ... does not include its end, .. does",
    ),
    ("score:5,>x", "score:5,>x", "score: takes whole numbers, not 'x'"),
    ("score:,5", "score:,5", "score: takes lists such as a,b, and ',5' has nothing before its first comma"),
    (
        "score:99999999999999999999",
        "score:99999999999999999999",
        "score: takes numbers below 9.2e+18, and '99999999999999999999' is larger",
    ),
    ("mpixels:big", "mpixels:big", "mpixels: takes numbers such as 2 or 1.5, not 'big'"),
    ("ratio:16:0", "ratio:16:0", "ratio: takes width:height, such as 16:9, and the height in '16:0' is 0"),
    (
        "filesize:3gb",
        "filesize:3gb",
        "filesize: takes bytes, or sizes such as 200kb or 1.5mb, not '3gb'",
    ),
    (
        "date:yesterday",
        "date:yesterday",
        "date: takes a date such as 2024, 2024-05 or 2024-05-31, not 'yesterday'",
    ),
    ("date:2024-02-30", "date:2024-02-30", "date: takes a date of the calendar, which '2024-02-30' is not"),
    (
        "age:30s1m",
        "age:30s1m",
        "age: takes ages such as 3d, 1h30m or 1y (units: s, m, h, d, w, mo, y), not '30s1m'",
    ),
    ("age:5000y", "age:5000y", "age: takes ages within the calendar, and '5000y' goes back too far"),
    ("md5:abc", "md5:abc", "md5: takes hashes of 32 hexadecimal digits, not 'abc'"),
    ("filetype:jpeg", "filetype:jpeg", "filetype: cannot be 'jpeg'; did you mean 'jpg'?"),
    (
        "parent:x",
        "parent:x",
        "parent: cannot be 'x'; there are: a post's id, any, none, deleted, banned, active",
    ),
    ("child:5", "child:5", "child: cannot be '5'; there are: any, none, deleted, banned, active"),
    ("embedded:maybe", "embedded:maybe", "embedded: cannot be 'maybe'; there are: true, yes, false, no"),
    ("pool:5", "pool:5", "pool: cannot be answered: a metadata file has no pools"),
    (
        "user:albert",
        "user:albert",
        "user: cannot be answered: a metadata file has no user names (it has the number of the uploader: .where(Post.uploader_id == …))",
    ),
    ("fav:albert", "fav:albert", "fav: cannot be answered: a metadata file has no favourites of users"),
    ("commenter:x", "commenter:x", "commenter: cannot be answered: a metadata file has no comments"),
    ("duration:>5", "duration:>5", "duration: cannot be answered: a metadata file has no lengths of videos"),
    ("order:scor", "order:scor", "order: cannot be 'scor'; did you mean 'score'?"),
    (
        "order:comment_asc",
        "order:comment_asc",
        "order: cannot be 'comment_asc' here: a metadata file has no comments",
    ),
    ("order:rank", "order:rank", "order: cannot be 'rank' here: a metadata file has no ranking of the day"),
    ("limit:0", "limit:0", "limit: takes a number of posts, 1 or more, not '0'"),
    (
        "solo or order:score",
        "order:score",
        "order: belongs to the whole search: not after - or ~, in parentheses, or beside `or`; write (… or …) order:score",
    ),
    (
        "-limit:5",
        "limit:5",
        "limit: belongs to the whole search: not after - or ~, in parentheses, or beside `or`; write (… or …) limit:5",
    ),
    ("order:id order:score", "order:score", "order: is given twice; keep one"),
    ('source:"a', '"', "this quote is never closed"),
    ('source:"a"b', "b", "a space is missing after the quote"),
    ("x*", "x*", "no tag matches x*"),
    ("*:)", "*:)", "no tag matches *:)"),
    (
        "order:custom",
        "order:custom",
        "order: custom needs one id: with the list of ids: write id:3,1,2 order:custom",
    ),
    (
        "status:appealed",
        "status:appealed",
        "status: cannot be 'appealed' here: a metadata file has no moderation queue",
    ),
]


@pytest.mark.parametrize(("text", "place", "sentence"), MISTAKES)
def test_mistakes(db, text, place, sentence):
    with pytest.raises(SearchError) as error:
        db.posts.search(text)
    message, line, carets = str(error.value).splitlines()
    assert message == sentence
    assert line == f"  {text}"
    assert line[carets.index("^") :][: carets.count("^")] == place
    assert isinstance(error.value, InputError)


def test_a_wildcard_of_more_than_a_hundred_tags_says_how_many(tmp_path):
    with hb.create(tmp_path / "tags.db") as db:
        with db.bind():
            hb.Tag.insert_many(
                [{"name": f"hat_{n}", "type": 0, "popularity": n} for n in range(101)]
            ).execute()
        with pytest.raises(SearchError, match="matches 101 tags, and at most 100 are allowed"):
            db.posts.search("hat_*")
        assert db.posts.search("hat_1*").count() == 0


def test_deep_parentheses(db):
    assert db.posts.search("(" * 20 + "solo" + ")" * 20) == db.posts.search("solo")
    with pytest.raises(SearchError, match="more than 20 deep"):
        db.posts.search("(" * 10_000 + "solo" + ")" * 10_000)
