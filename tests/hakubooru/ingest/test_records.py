from datetime import UTC, date, datetime

import pytest

from danbooru import api_post
from hakubooru.ingest.batches import Objects
from hakubooru.ingest.json_text import Entry
from hakubooru.ingest.maps import COLUMNS
from hakubooru.ingest.post_tags import UNTYPED, NameNumbers
from hakubooru.ingest.records import RecordReader, instant
from hakubooru.ingest.sets import API


def read(post):
    posts, reasons = RecordReader(API, NameNumbers()).read(Objects([Entry("dump.jsonl", "line", 1, post)]))
    return [posts.record(place) for place in range(len(posts))], reasons


def read_record(post):
    (record,), reasons = read(post)
    assert not reasons
    return record


def column(post, name):
    return read_record(post).row[COLUMNS.index(name)]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("file_ext", "PNG", "png"),
        ("file_ext", "jpeg", "jpg"),
        ("file_ext", ".webp", "webp"),
        ("file_ext", "5.a.JPE", "jpg"),
        ("file_ext", "svg", "svg"),
        ("file_ext", "", None),
        ("md5", "900150983CD24FB0D6963F7D28E17F72", "900150983cd24fb0d6963f7d28e17f72"),
    ],
)
def test_texts_that_are_compared_are_written_as_danbooru_does(name, value, expected):
    assert column(api_post(**{name: value}), name) == expected


def test_a_post_becomes_a_row_of_the_file():
    record = read_record(api_post(5, general="solo", artist="bespin", rating="q", has_children=True))
    row = dict(zip(COLUMNS, record.row, strict=True))
    assert row == {
        "id": 5,
        "created_at": "2023-02-03T04:05:06.789-05:00",
        "uploader_id": 7,
        "source": "https://example.com/art",
        "md5": "00000000000000000000000000000005",
        "parent_id": None,
        "has_children": 1,
        "is_deleted": 0,
        "is_banned": 0,
        "pixiv_id": None,
        "has_active_children": 0,
        "bit_flags": 0,
        "has_large": 1,
        "has_visible_children": 0,
        "image_width": 800,
        "image_height": 1200,
        "file_size": 123456,
        "file_ext": "jpg",
        "rating": 2,
        "score": 12,
        "up_score": 14,
        "down_score": -2,
        "fav_count": 34,
        "file_url": "https://cdn.example.com/original/5.jpg",
        "large_file_url": "https://cdn.example.com/sample/5.jpg",
        "preview_file_url": "https://cdn.example.com/180x180/5.jpg",
        "updated_at": "2024-05-19T01:30:25.096-04:00",
    }
    assert record.updated == datetime(2024, 5, 19, 5, 30, 25, 96000, UTC)
    assert record.tags == {"solo": 0, "bespin": 1}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("g", 0),
        ("s", 1),
        ("q", 2),
        ("e", 3),
        ("general", 0),
        ("safe", 1),
        ("EXPLICIT", 3),
        (None, None),
        (..., None),
    ],
)
def test_ratings(text, number):
    assert column(api_post(rating=text), "rating") == number


def test_types_of_tags_are_those_of_the_file():
    post = api_post(general="a", artist="b", character="c", copyright="d", meta="e", tag_string="a b c d e f")
    assert read_record(post).tags == {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "f": UNTYPED}


def test_tags_keep_their_order_and_stand_once():
    post = api_post(general="b a", tag_string="b c a b  c ", tag_string_meta="d c")
    assert list(read_record(post).tags) == ["b", "c", "a", "d"]


def test_an_old_dump_without_meta_and_a_dump_without_types_will_do():
    assert read_record(api_post(general="solo highres", tag_string_meta=...)).tags == {
        "solo": 0,
        "highres": 0,
    }
    bare = {key: value for key, value in api_post().items() if not key.startswith("tag_string_")}
    assert read_record(bare).tags == {"1girl": UNTYPED, "solo": UNTYPED}
    assert read_record(api_post(tag_string=...)).tags == {"1girl": 0, "solo": 0}
    assert read_record(api_post(general="")).tags == {}


def test_a_hidden_post_keeps_its_row():
    hidden = dict.fromkeys(("md5", "file_url", "large_file_url", "preview_file_url"), ...)
    record = read_record(api_post(**hidden))
    row = dict(zip(COLUMNS, record.row, strict=True))
    assert [row[name] for name in hidden] == [None] * 4
    assert record.tags


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"md5": "test98bf686ca7910ee0"}, "md5", "test98bf686ca7910ee0"),
        ({"md5": ""}, "md5", None),
        ({"source": None}, "source", ""),
        ({"source": "it's \0 'quoted'"}, "source", "it's \0 'quoted'"),
        ({"score": 3.0}, "score", 3),
        ({"parent_id": 12.0}, "parent_id", 12),
        ({"parent_id": float("nan")}, "parent_id", None),
        ({"parent_id": 0}, "parent_id", None),
        ({"pixiv_id": 0}, "pixiv_id", None),
        ({"has_large": None}, "has_large", None),
        ({"is_deleted": ...}, "is_deleted", None),
        ({"is_deleted": float("nan")}, "is_deleted", None),
        ({"has_large": 1.0}, "has_large", 1),
        ({"uploader_id": ...}, "uploader_id", None),
        ({"down_score": None}, "down_score", None),
        ({"fav_count": float("nan")}, "fav_count", None),
        ({"score": ...}, "score", None),
        ({"created_at": None}, "created_at", None),
        ({"image_width": ...}, "image_width", None),
        ({"updated_at": None}, "updated_at", "2023-02-03T04:05:06.789-05:00"),
        ({"updated_at": ...}, "updated_at", "2023-02-03T04:05:06.789-05:00"),
        ({"created_at": "2016-07-26T17:57:29-04:00"}, "created_at", "2016-07-26T17:57:29-04:00"),
        ({"created_at": datetime(2016, 7, 26, tzinfo=UTC)}, "created_at", "2016-07-25T20:00:00.000-04:00"),
        ({"id": 2**62}, "id", 2**62),
    ],
)
def test_odd_values_are_data(changes, name, value):
    assert column(api_post(**changes), name) == value


BAD = [
    ({}, "id is missing"),
    (api_post(id=0), "id is 0, and must be a positive number"),
    (api_post(id=-5), "id is -5, and must be a positive number"),
    (api_post(1) | {"id": "12"}, "id is '12', and must be a whole number"),
    (api_post(1) | {"id": True}, "id is True, and must be a whole number"),
    (api_post(1) | {"id": 2**63}, "id is 9223372036854775808, and must be a whole number"),
    (api_post(1) | {"id": 1.5}, "id is 1.5, and must be a whole number"),
    (api_post(score="12"), "score is '12', and must be a whole number"),
    (api_post(fav_count=1e300), "fav_count is 1e+300, and must be a whole number"),
    (api_post(rating="x"), "rating is 'x', and must be one of g, s, q, e"),
    (api_post(rating=["g"]), "rating is a list, and must be one of g, s, q, e"),
    (api_post(created_at="yesterday"), "created_at is 'yesterday', and must be a date such as"),
    (api_post(created_at="20230203"), "created_at is '20230203', and must be a date such as"),
    (
        api_post(created_at="2017-01-01 03:00:00"),
        "is '2017-01-01 03:00:00', without a time zone, and must be a date such",
    ),
    (
        api_post(created_at=datetime(2017, 1, 1)),  # noqa: DTZ001
        "is '2017-01-01 00:00:00', without a time zone, and must be a date such",
    ),
    (api_post(created_at=date(2017, 1, 1)), "created_at is of the type date, and must be a date such as"),
    (api_post(created_at=1483239600), "created_at is 1483239600, and must be a date such as"),
    (api_post(created_at=""), "created_at is '', and must be a date such as"),
    (api_post(updated_at="2023-13-45"), "updated_at is '2023-13-45', and must be a date such as"),
    (api_post(file_ext=7), "file_ext is 7, and must be text"),
    (api_post(has_children="no"), "has_children is 'no', and must be true or false"),
    (api_post(is_deleted=2), "is_deleted is 2, and must be true or false"),
    (api_post(source={"url": "x"}), "source is an object, and must be text"),
    (api_post(md5=5), "md5 is 5, and must be text"),
    (api_post(tag_string=[1]), "tag_string is a list, and must be tags separated by spaces"),
    (api_post(tag_string=5), "tag_string is a number, and must be tags separated by spaces"),
    ({k: v for k, v in api_post().items() if not k.startswith("tag_")}, "tag_string is missing"),
]


@pytest.mark.parametrize(("value", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_what_is_no_post_is_refused_with_a_reason(value, reason):
    records, reasons = read(value)
    assert records == []
    assert reason in reasons[0]
    assert len(reasons[0]) < 200


def test_moments_compare_across_time_zones():
    assert instant("2024-03-10T01:30:00.000-05:00") > instant("2024-03-10T02:00:00.000-04:00")
    assert instant("2016-07-26T17:57:29") == datetime(2016, 7, 26, 17, 57, 29, tzinfo=UTC)
    assert instant("rubbish") < instant("0001-01-02")
