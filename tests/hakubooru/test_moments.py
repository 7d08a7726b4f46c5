"""Moments become what Danbooru writes, and what is none is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some

from hakubooru.moments import (
    NoZoneError,
    are_danbooru_dates,
    are_of_our_time,
    danbooru_date,
    danbooru_dates,
)

EVE = "2016-12-31T22:00:00.000-05:00"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (EVE, EVE),
        ("2016-07-26T17:57:29-04:00", "2016-07-26T17:57:29-04:00"),
        ("2017-01-01 03:00:00+00", EVE),  # DuckDB's JSON
        ("2017-01-01T03:00:00+00:00", EVE),  # Polars
        ("2017-01-01T03:00:00.000Z", EVE),  # pandas
        ("2017-01-01 03:00:00.00000 UTC", EVE),  # the sets of 2021 and before
        ("2017-01-01T03:00Z", EVE),
        ("20170101T030000Z", EVE),
        ("2017-01-01 08:30:00+05:30", EVE),
        ("2016-12-31T22:00:00,000-05:00", EVE),
        ("2016-12-31 22:00:00-05:00", EVE),
        ("2017-07-01T12:00:00.000-05:00", "2017-07-01T13:00:00.000-04:00"),  # Chicago in summer
        ("2017-01-01T03:00:00.1239Z", "2016-12-31T22:00:00.123-05:00"),
        (datetime(2017, 1, 1, 3, tzinfo=UTC), EVE),
        (datetime(2016, 12, 31, 22, tzinfo=ZoneInfo("America/New_York")), EVE),
        (pd.Timestamp("2017-01-01 03:00", tz="UTC"), EVE),
        ("2021-11-07T05:30:00Z", "2021-11-07T01:30:00.000-04:00"),  # the hour that comes twice
        ("2021-11-07T06:30:00Z", "2021-11-07T01:30:00.000-05:00"),
        ("2021-11-07T01:30:00.000-05:00", "2021-11-07T01:30:00.000-05:00"),
    ],
)
def test_a_moment_in_any_spelling(text, expected):
    assert danbooru_date(text) == expected
    assert danbooru_date(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "2017-01-01", "20170101", "2017-13-01T00:00:00Z", "1800-01-01T00:00:00Z"),
        *("0001-01-01T00:00:00Z", "9999-12-31T23:00:00-12:00", "1483239600", "2017-01-01T03:00:00 EST"),
    ],
)
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(ValueError):
        danbooru_date(text)


@pytest.mark.parametrize("text", ["2017-01-01 03:00:00", "2017-01-01T03:00", datetime(2017, 1, 1)])  # noqa: DTZ001
def test_what_could_be_several_moments_is_refused(text):
    with pytest.raises(NoZoneError):
        danbooru_date(text)


@given(
    some.datetimes(datetime(1901, 1, 1), datetime(9998, 1, 1)),  # noqa: DTZ001 - the zone is added
    some.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_it_stays_the_same_moment_to_the_millisecond(day, zone):
    moment = day.replace(tzinfo=zone)
    expected = moment.astimezone(ZoneInfo("America/New_York")).isoformat(timespec="milliseconds")
    assert danbooru_date(moment) == danbooru_date(moment.isoformat()) == expected


@given(
    some.datetimes(datetime(1880, 1, 1), datetime(2099, 12, 31)).map(lambda moment: moment.isoformat()),  # noqa: DTZ001
    some.sampled_from(["", ".123", ".12"]),
    some.sampled_from(["-04:00", "-05:00", "+00:00", "Z", "-04:00\n"]),
)
def test_dates_that_are_right_at_once_are_returned_unchanged(moment, fraction, zone):
    text = f"{moment[:19]}{fraction}{zone}"
    if are_danbooru_dates([EVE, text])[1]:
        assert danbooru_date(text) == text


def test_most_dates_of_danbooru_are_right_at_once():
    texts = [
        EVE,
        "2016-07-26T17:57:29-04:00",
        "2016-07-26T17:57:29.000-05:00",
        "2021-11-07T12:00:00.000-05:00",
    ]
    assert are_danbooru_dates(texts) == [True, True, False, False]
    assert are_danbooru_dates([*texts, "2016-02-30T00:00:00-05:00"])[-1] is False
    assert are_danbooru_dates([EVE, "2016-07-26"]) == [False, False]
    assert are_danbooru_dates([]) == []


@given(
    some.lists(
        some.datetimes(datetime.fromisoformat("1970-01-01"), datetime.fromisoformat("2060-01-01")),
        max_size=20,
    ),
    some.sampled_from(["us", "ns"]),
)
def test_a_column_of_moments_is_written_as_one_by_one(moments, unit):
    column = np.array(moments, "datetime64[us]").astype(f"datetime64[{unit}]")
    assert danbooru_dates(column) == [danbooru_date(moment.replace(tzinfo=UTC)) for moment in moments]


def test_moments_in_nanoseconds_may_be_of_our_time():
    assert are_of_our_time(np.array(["1970-01-01", "2024-01-01"], "datetime64[ns]"))
    assert not are_of_our_time(np.array(["1969-12-31", "2024-01-01"], "datetime64[ns]"))


@pytest.mark.parametrize(
    ("moment", "is_ours"),
    [("1969-12-31T23:59:59", False), ("1970-01-01T00:00:00", True), ("9999-01-01", False)],
)
def test_of_our_time_is_from_1970_on(moment, is_ours):
    assert are_of_our_time(np.array(["2020-01-01", moment], "datetime64[us]")) is is_ours
    assert are_of_our_time(np.array([], "datetime64[us]"))
