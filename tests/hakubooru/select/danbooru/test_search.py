"""What a search finds, against a slow and obvious evaluation that never sees the parser."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from booru import TAGS
from hakubooru.select.danbooru import apply, parse
from hakubooru.select.sampling import keys

NOW = datetime(2024, 3, 31, 12, tzinfo=UTC)
TYPES = dict(TAGS)
NAMES = list(TYPES)
MD5 = f"{10:032x}"


@pytest.fixture(scope="module")
def posts(db):
    """All posts by id, with their tags as `names`."""
    by_id = {post.id: post for post in db.posts.posts()}
    for post in by_id.values():
        post.names = {tag.name for tag in post.tags}
    return by_id


def ids(db, text):
    return apply(parse(text), db.posts, now=NOW).to_ids().tolist()


def count_of(kind):
    return lambda post: sum(TYPES[name] == kind for name in post.names)


def pixels(post):
    return post.image_width * post.image_height


def hundredths(post):
    return floor(Fraction(100 * post.image_width, post.image_height) + Fraction(1, 2))


def timestamp_of(post):
    return datetime.fromisoformat(post.created_at).timestamp()


LETTERS = {"g": "general", "s": "sensitive", "q": "questionable", "e": "explicit"}
COLUMNS = {
    "id": lambda p: p.id,
    "score": lambda p: p.score,
    "upvotes": lambda p: p.up_score,
    "downvotes": lambda p: -p.down_score,
    "favcount": lambda p: p.fav_count,
    "width": lambda p: p.image_width,
    "height": lambda p: p.image_height,
    "pixiv": lambda p: p.pixiv_id,
    "pixiv_id": lambda p: p.pixiv_id,
    "tagcount": lambda p: len(p.names),
    "gentags": count_of("general"),
    "arttags": count_of("artist"),
    "chartags": count_of("character"),
    "copytags": count_of("copyright"),
    "metatags": count_of("meta"),
}
INTEGER_FORMS = {
    "{a}": lambda x, a, b: x == a,
    ">{a}": lambda x, a, b: x > a,
    ">={a}": lambda x, a, b: x >= a,
    "{a}..": lambda x, a, b: x >= a,
    "<{a}": lambda x, a, b: x < a,
    "<={a}": lambda x, a, b: x <= a,
    "..{a}": lambda x, a, b: x <= a,
    "{a}..{b}": lambda x, a, b: min(a, b) <= x <= max(a, b),
    "{a}...{b}": lambda x, a, b: min(a, b) <= x < max(a, b),
    "{a},{b}": lambda x, a, b: x in (a, b),
    "any": lambda x, a, b: True,
}

# Each a search and what it means, written out.
MEANINGS = {
    "1girl": lambda p: "1girl" in p.names,
    "1GIRL": lambda p: "1girl" in p.names,
    "o_o": lambda p: "o_o" in p.names,
    "*girl": lambda p: "1girl" in p.names,
    "*o*": lambda p: any("o" in name for name in p.names),
    "l*": lambda p: any(name.startswith("l") for name in p.names),
    "*": lambda p: bool(p.names),
    "unaliased:solo": lambda p: "solo" in p.names,
    **{f"rating:{letter}": lambda p, name=name: p.rating == name for letter, name in LETTERS.items()},
    "rating:g,S": lambda p: p.rating in ("general", "sensitive"),
    "rating:explicit": lambda p: p.rating == "explicit",
    "is:sfw": lambda p: p.rating in ("general", "sensitive"),
    "is:nsfw": lambda p: p.rating in ("questionable", "explicit"),
    "is:sensitive": lambda p: p.rating == "sensitive",
    "is:deleted": lambda p: p.is_deleted,
    "is:banned": lambda p: p.is_banned,
    "is:active": lambda p: not p.is_deleted,
    "is:parent": lambda p: p.has_children,
    "is:child": lambda p: p.parent_id is not None,
    "is:gold": lambda p: p.md5 is None and not p.is_banned,
    "is:png": lambda p: p.file_ext == "png",
    "status:deleted": lambda p: p.is_deleted,
    "status:any": lambda p: True,
    "filetype:jpg,zip": lambda p: p.file_ext in ("jpg", "zip"),
    "has:parent": lambda p: p.parent_id is not None,
    "has:child": lambda p: p.has_children,
    "has:children": lambda p: p.has_children,
    "has:source": lambda p: p.source != "",
    "has:image": lambda p: p.md5 is not None and p.file_ext in ("jpg", "png", "webp", "avif"),
    "parent:1": lambda p: p.id == 1 or p.parent_id == 1,
    "parent:any": lambda p: p.parent_id is not None,
    "parent:none": lambda p: p.parent_id is None,
    "child:any": lambda p: p.has_children,
    "child:none": lambda p: not p.has_children,
    "embedded:true": lambda p: p.bit_flags % 2 == 1,
    "embedded:no": lambda p: p.bit_flags % 2 == 0,
    f"md5:{MD5}": lambda p: p.md5 == MD5,
    f"md5:{MD5.upper()},{8:032x}": lambda p: p.md5 in (MD5, f"{8:032x}"),
    "md5:none": lambda p: p.md5 is None,
    "md5:any": lambda p: p.md5 is not None,
    "source:https://i": lambda p: p.source.startswith("https://i"),
    "source:https:": lambda p: p.source.lower().startswith("https:"),
    "source:*.com": lambda p: ".com" in p.source,
    "source:a%b": lambda p: p.source.startswith("a%b"),
    "source:*a_b": lambda p: "a_b" in p.source,
    'source:"a%b*(d)"': lambda p: p.source.startswith("a%b"),
    "source:none": lambda p: p.source == "",
    'source:"none"': lambda p: p.source.startswith("none"),
    'source:""': lambda p: p.source == "",
    "pixiv:none": lambda p: p.pixiv_id is None,
    "pixiv:any": lambda p: p.pixiv_id is not None,
    "mpixels:0.5": lambda p: 475_000 <= pixels(p) <= 525_000,
    "mpixels:>=0.5": lambda p: pixels(p) >= 500_000,
    "mpixels:>0.5": lambda p: pixels(p) > 500_000,
    "mpixels:0.2497..0.4995": lambda p: 249_700 <= pixels(p) <= 499_500,
    "ratio:16:9": lambda p: hundredths(p) == 178,
    "ratio:16/9": lambda p: hundredths(p) == 178,
    "ratio:1.78": lambda p: hundredths(p) == 178,
    "ratio:>=1": lambda p: hundredths(p) >= 100,
    "ratio:<1:2": lambda p: hundredths(p) < 50,
    "ratio:0.5,1": lambda p: hundredths(p) in (50, 100),
    "ratio:1..2": lambda p: 100 <= hundredths(p) <= 200,
    "filesize:1024": lambda p: p.file_size == 1024,
    "filesize:1kb": lambda p: 972.8 <= p.file_size <= 1075.2,
    "filesize:>1k": lambda p: p.file_size > 1024,
    "filesize:1KB..1mb": lambda p: 1024 <= p.file_size <= 2**20,
    "filesize:..1.5M": lambda p: p.file_size <= 1.5 * 2**20,
    "date:2024-03-01": lambda p: p.created_at[:10] == "2024-03-01",
    "date:2024-3-1": lambda p: p.created_at[:10] == "2024-03-01",
    "date:2024-03": lambda p: p.created_at[:7] == "2024-03",
    "date:2024-12": lambda p: p.created_at[:7] == "2024-12",
    "date:2023": lambda p: p.created_at[:4] == "2023",
    "date:<2023-12": lambda p: p.created_at[:7] < "2023-12",
    "date:<=2023-12": lambda p: p.created_at[:7] <= "2023-12",
    "date:>2023": lambda p: p.created_at[:4] > "2023",
    "date:>=2024-01-29": lambda p: p.created_at[:10] >= "2024-01-29",
    "date:2015..2023": lambda p: "2015" <= p.created_at[:4] <= "2023",
    "date:2015...2024": lambda p: "2015" <= p.created_at[:4] < "2024",
    "date:2023-01,2024-01": lambda p: p.created_at[:7] in ("2023-01", "2024-01"),
    "age:<30d": lambda p: timestamp_of(p) > NOW.timestamp() - 30 * 86_400,
    "age:>1y": lambda p: timestamp_of(p) < datetime(2023, 3, 31, 12, tzinfo=UTC).timestamp(),
    "age:<=1mo": lambda p: timestamp_of(p) >= datetime(2024, 2, 29, 12, tzinfo=UTC).timestamp(),
    "age:2weeks..1y": lambda p: (
        datetime(2023, 3, 31, 12, tzinfo=UTC).timestamp()
        <= timestamp_of(p)
        <= NOW.timestamp() - 14 * 86_400 + 0.5
    ),
    "age:2d": lambda p: datetime.fromtimestamp(timestamp_of(p), UTC).date().isoformat() == "2024-03-29",
}
NEEDING_OTHERS = {
    "parent:deleted": lambda p, posts: p.parent_id in posts and posts[p.parent_id].is_deleted,
    "parent:active": lambda p, posts: p.parent_id in posts and not posts[p.parent_id].is_deleted,
    "parent:banned": lambda p, posts: p.parent_id in posts and posts[p.parent_id].is_banned,
    "child:deleted": lambda p, posts: any(q.parent_id == p.id and q.is_deleted for q in posts.values()),
    "child:active": lambda p, posts: any(q.parent_id == p.id and not q.is_deleted for q in posts.values()),
}


@pytest.mark.parametrize("text", MEANINGS)
def test_each_metatag_means_what_it_says(db, posts, text):
    expected = [post.id for post in posts.values() if MEANINGS[text](post)]
    assert ids(db, text) == expected
    assert ids(db, f"-{text}") == [post_id for post_id in posts if post_id not in expected]


@pytest.mark.parametrize("text", NEEDING_OTHERS)
def test_states_of_parents_and_children(db, posts, text):
    assert ids(db, text) == [post.id for post in posts.values() if NEEDING_OTHERS[text](post, posts)]


def test_the_meanings_find_something_and_not_everything(posts):
    """Else the tests above would prove little."""
    counts = {text: sum(map(meaning, posts.values())) for text, meaning in MEANINGS.items()}
    assert [text for text, count in counts.items() if not count] == []
    everything = [text for text, count in counts.items() if count == len(posts)]
    assert everything == ["status:any"]


def integer_leaf(name, form, a, b):
    value, compare = COLUMNS[name], INTEGER_FORMS[form]

    def keep(post):
        number = value(post)
        return number is not None and compare(number, a, b)

    return f"{name}:{form.format(a=a, b=b)}", keep


numbers = st.integers(-3, 25)
integer_leaves = (
    st.tuples(st.sampled_from(list(COLUMNS)), st.sampled_from(list(INTEGER_FORMS)), numbers, numbers)
    .filter(lambda parts: "..." not in parts[1] or parts[2] != parts[3])
    .map(lambda parts: integer_leaf(*parts))
)
leaves = (
    st.sampled_from(NAMES).map(lambda name: (name, lambda post: name in post.names))
    | st.sampled_from(list(MEANINGS.items()))
    | integer_leaves
)


def factor(sign, inner):
    text, keep = inner
    if sign == "-":
        return "-" + text, lambda post: not keep(post)
    return sign + text, keep


def in_list(factors):
    optional = [keep for text, keep in factors if text.startswith("~")]
    needed = [keep for text, keep in factors if not text.startswith("~")]

    def keep(post):
        return all(part(post) for part in needed) and (not optional or any(part(post) for part in optional))

    return " ".join(text for text, _ in factors), keep


def in_alternatives(lists):
    return " or ".join(text for text, _ in lists), lambda post: any(keep(post) for _, keep in lists)


def searches(inner):
    grouped = inner.map(lambda parts: (f"({parts[0]})", parts[1]))
    factors = st.builds(factor, st.sampled_from(["", "", "-", "~"]), leaves | grouped)
    lists = st.lists(factors, min_size=1, max_size=3).map(in_list)
    return st.lists(lists, min_size=1, max_size=3).map(in_alternatives)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.recursive(leaves, searches, max_leaves=8))
def test_a_search_finds_what_the_slow_obvious_way_finds(db, posts, search):
    text, keep = search
    assert ids(db, text) == [post.id for post in posts.values() if keep(post)]


ORDERS = {
    "id_desc": lambda p: -p.id,
    "id": lambda p: p.id,
    "score": lambda p: (-p.score, -p.id),
    "score_asc": lambda p: (p.score, p.id),
    "FavCount": lambda p: (-p.fav_count, -p.id),
    "favcount_desc": lambda p: (-p.fav_count, -p.id),
    "upvotes": lambda p: (-p.up_score, -p.id),
    "downvotes": lambda p: (p.down_score, p.id),
    "mpixels": lambda p: (-pixels(p), -p.id),
    "mpixels_asc": lambda p: (pixels(p), p.id),
    "portrait": lambda p: (p.image_width / p.image_height, -p.id),
    "landscape": lambda p: (-p.image_width / p.image_height, -p.id),
    "landscape_asc": lambda p: (p.image_width / p.image_height, p.id),
    "filesize": lambda p: (-p.file_size, -p.id),
    "tagcount": lambda p: (-len(p.names), -p.id),
    "gentags_asc": lambda p: (count_of("general")(p), p.id),
    "md5_asc": lambda p: (p.md5 or "", p.id),
    "created_at_asc": lambda p: (p.created_at, p.id),
    "change_asc": lambda p: (p.updated_at, p.id),
    "random": lambda p: int(keys(np.array([p.id]), 0)[0]),
}


@pytest.mark.parametrize("order", ORDERS)
def test_each_order(db, posts, order):
    expected = sorted((post for post in posts.values() if "solo" in post.names), key=ORDERS[order])
    assert ids(db, f"solo order:{order}") == [post.id for post in expected]
    assert ids(db, f"order:{order} solo limit:7") == [post.id for post in expected[:7]]


def test_without_an_order_a_limit_gives_the_newest(db, posts):
    assert ids(db, "limit:3") == sorted(posts)[:-4:-1]


def test_random_gives_that_many_or_all_there_are(db, posts):
    few = ids(db, "random:5")
    assert sorted(few) == db.posts.sample(5, seed=0).to_ids().tolist()
    assert sorted(ids(db, "random:1000")) == sorted(posts)
    assert ids(db, "random:5 order:id") == sorted(few)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [*MEANINGS, *NEEDING_OTHERS, *(f"{name}:1..2" for name in COLUMNS), "order:tagcount limit:2", "random:2"],
)
def test_a_search_can_be_sent_to_another_process(db, text):
    selection = db.posts.search(text)
    copy = pickle.loads(pickle.dumps(selection))
    copy.database.close()
    assert copy.step == selection.step


def test_age_counts_from_the_moment_of_the_search(db):
    everything = db.posts.count()
    assert db.posts.search("age:>1s").count() == everything
    assert db.posts.search("age:<1s").count() == 0


@pytest.mark.slow
def test_a_search_of_many_terms_stays_within_the_limits_of_sqlite(db, posts):
    assert ids(db, " or ".join(f"id:{n}" for n in range(1, 1100))) == sorted(posts)
    assert ids(db, " ".join(f"-id:{n}" for n in range(1, 1100))) == []
    listed = ",".join(map(str, range(1, 33_000)))
    assert ids(db, f"id:{listed}") == sorted(posts)
    assert ids(db, "(" * 20 + "solo" + ")" * 20) == ids(db, "solo")


def test_nested_groups_stay_within_the_limits_of_sqlite(db, posts):
    text, expected = "score:>3", {post.id for post in posts.values() if post.score > 3}
    for depth in range(20):
        name = NAMES[depth % len(NAMES)]
        bearing = {post.id for post in posts.values() if name in post.names}
        text = f"-({text} {name})" if depth % 2 else f"({text} or {name})"
        expected = set(posts) - (expected & bearing) if depth % 2 else expected | bearing
    assert ids(db, text) == sorted(expected)


def test_random_posts_are_drawn_by_the_seed(db):
    for query in ("random:9", "order:random limit:9"):
        samples = [db.posts.search(query, seed=seed).to_ids().tolist() for seed in (0, 1, 2)]
        assert samples == [db.posts.shuffle(seed=seed).limit(9).to_ids().tolist() for seed in (0, 1, 2)]
        assert len(set(map(tuple, samples))) == 3
        assert ids(db, query) == samples[0]
