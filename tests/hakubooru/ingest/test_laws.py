"""What holds for any posts: what was built is read back, and neither order nor repetition nor batches matter."""

import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import hakubooru as hb
from danbooru import contents, every_row, write_lines
from hakubooru.ingest.builder import build_files
from hakubooru.ingest.maps import COLUMNS
from hakubooru.ingest.records import instant
from hakubooru.store.schema import RATINGS, TAG_TYPES

WHOLE = some.integers(-(2**63), 2**63 - 1)
TEXT = some.text(some.characters(exclude_categories=["Cs"]), max_size=20)
ANY_ID = some.integers(1, 2**40)
FEW_IDS = some.integers(1, 4)
# A text that begins as a list of JSON does is read as one.
NAME = some.text(
    some.characters(exclude_categories=["Cs"], exclude_characters=" ,"), min_size=1, max_size=12
).filter(lambda name: not name.startswith(('["', "['")))
OFFSETS = some.integers(-12, 14).map(lambda hours: timezone(timedelta(hours=hours)))
ZONE = ZoneInfo("America/New_York")
DATE = some.datetimes(datetime(1901, 1, 1), datetime(9998, 1, 1), timezones=OFFSETS).map(  # noqa: DTZ001 - the strategy adds the zone
    lambda moment: moment.isoformat(timespec="milliseconds")
)
TAGS = some.lists(
    some.tuples(
        some.one_of(some.sampled_from(["solo", "1girl", "'", "a\0"]), NAME), some.sampled_from(range(5))
    ),
    max_size=8,
)


@some.composite
def posts(draw, ids=ANY_ID):
    tags = draw(TAGS)
    post = {
        "id": draw(ids),
        "created_at": draw(DATE),
        "updated_at": draw(DATE),
        "source": draw(some.none() | TEXT),
        "md5": draw(some.none() | TEXT),
        "rating": draw(some.sampled_from("gsqe")),
        "file_ext": draw(TEXT.filter(bool)),
        "tag_string": " ".join(name for name, _ in tags),
    }
    for column in COLUMNS:
        if column.startswith(("has_", "is_")):
            post[column] = draw(some.booleans())
        elif column.endswith("_url"):
            post[column] = draw(some.none() | TEXT)
        elif column in {"parent_id", "pixiv_id"}:
            post[column] = draw(some.none() | WHOLE)
        elif column not in post:
            post[column] = draw(WHOLE)
    for number, kind in enumerate(TAG_TYPES):
        post[f"tag_string_{kind}"] = " ".join(name for name, type_number in tags if type_number == number)
    return post


def build_in(folder, *dumps, batch=5000):
    """The tables that dumps give, and the file."""
    out = Path(folder) / "some.db"
    out.unlink(missing_ok=True)
    names = [write_lines(Path(folder) / f"dump_{number}", dump) for number, dump in enumerate(dumps)]
    build_files(names, out, batch=batch)
    return contents(out), out


def read_back(column, value):
    """What a database has for a value of a dump."""
    if column == "rating":
        return RATINGS["gsqe".index(value)]
    if column == "source":
        return value or ""
    if column == "md5":
        return value.lower() or None if value else None
    if column == "file_ext":
        return value.rpartition(".")[2].lower() or None
    if column.endswith("_url"):
        return value or None
    if column in {"image_width", "image_height", "file_size", "parent_id", "pixiv_id"}:
        return value if value is not None and value > 0 else None
    if column.endswith("_at"):
        return datetime.fromisoformat(value).astimezone(ZONE).isoformat(timespec="milliseconds")
    return value


@pytest.mark.slow
@given(some.lists(posts(), min_size=1, max_size=8, unique_by=lambda post: post["id"]))
@settings(max_examples=30, deadline=None)
def test_what_was_built_is_read_back(records):
    with tempfile.TemporaryDirectory() as folder:
        _, out = build_in(folder, records)
        with hb.open(out) as db:
            by_id = {post.id: post for post in db.execute(hb.Post.select())}
            assert sorted(by_id) == sorted(record["id"] for record in records)
            for record in records:
                post = by_id[record["id"]]
                for column in COLUMNS:
                    assert getattr(post, column) == read_back(column, record[column])
                names = list(dict.fromkeys(filter(None, record["tag_string"].split(" "))))
                assert [tag.name for tag in post.tags] == names
            types = {}
            for record in records:
                for number, kind in enumerate(TAG_TYPES):
                    for name in filter(None, record[f"tag_string_{kind}"].split(" ")):
                        types[name] = max(number, types.get(name, 0))
            assert {tag.name: TAG_TYPES.index(tag.type) for tag in db.tags} == types
            for tag in db.tags:
                assert tag.popularity == sum(
                    tag.name in record["tag_string"].split(" ") for record in records
                )


@pytest.mark.slow
@given(
    some.lists(some.lists(posts(ids=FEW_IDS), min_size=1, max_size=3), min_size=1, max_size=3),
    some.randoms(use_true_random=False),
    some.sampled_from([1, 2, 5000]),
)
@settings(max_examples=25, deadline=None)
def test_neither_order_nor_repetition_nor_batches_matter(dumps, draw, batch):
    with tempfile.TemporaryDirectory() as folder:
        first, out = build_in(folder, *dumps)
        shuffled = [draw.sample(dump, len(dump)) for dump in draw.sample(dumps, len(dumps))]
        # A dump that stands there twice makes several of one, whose tables do not tell in which order they came.
        rows = every_row(build_in(folder, *dumps, dumps[0])[1])
        second, out = build_in(folder, *shuffled, shuffled[0], batch=batch)
        assert second == first
        assert every_row(out) == rows
        _, out = build_in(folder, *dumps)
        newest = {}
        for record in (record for dump in dumps for record in dump):
            newest.setdefault(record["id"], []).append(instant(record["updated_at"]))
        assert {row[0]: instant(row[-1]) for row in first[0]} == {
            post_id: max(dates) for post_id, dates in newest.items()
        }
        data = out.read_bytes()
        build_files([Path(folder) / f"dump_{number}" for number in range(len(dumps))], out)
        assert contents(out) == first
        # Records of the same age may take turns where they stand in several dumps.
        assert len(dumps) > 1 or out.read_bytes() == data
