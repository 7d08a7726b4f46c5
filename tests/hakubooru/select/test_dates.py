"""Dates and lengths of time as they are written."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakubooru.select.arguments import date_span
from hakubooru.select.danbooru.ranges import seconds

DAY = 86_400


@given(st.dates(date(1000, 1, 1), date(9998, 12, 31)), st.sampled_from("-/."))
def test_a_day_is_the_same_however_it_is_written(day, sign):
    span = (str(day), str(day + timedelta(days=1)))
    year, month, number = day.year, day.month, day.day
    assert date_span(f"{year}{sign}{month}{sign}{number}") == span
    assert date_span(f"{year}{sign}{month:02}{sign}{number:02}") == span
    assert date_span(f"{number}{sign}{month}{sign}{year}") == span
    assert date_span(f"{year}{month:02}{number:02}") == span


@pytest.mark.parametrize(
    "text",
    [
        "2017-05/15",
        "32/1/2021",
        "2021.13",
        "1-32-2021",
        "15-5-17",
        "5/2017",
        "2017-",
        "201705",
        "",
        "2017-05-15T12:00",
    ],
)
def test_what_is_no_date(text):
    with pytest.raises(ValueError, match=r"a date such as|a date of the calendar"):
        date_span(text)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("60", 60),
        ("90s", 90),
        ("1m", 60),
        ("1mi", 60),
        ("1M", 60),
        ("1hr", 3600),
        ("1h30m", 5400),
        ("1h30", 3630),
        ("1m30", 90),
        ("1.5h", 5400),
        (".5min", 30),
        ("2weeks", 14 * DAY),
        ("1wk2days", 9 * DAY),
        ("1mo", Fraction("365.25") * DAY / 12),
        ("1mon", Fraction("365.25") * DAY / 12),
        ("4yr", 1461 * DAY),
        ("1y2mo3w4d5h6m7s", Fraction("365.25") * DAY * 14 / 12 + 25 * DAY + 5 * 3600 + 367),
    ],
)
def test_a_length_of_time(text, length):
    assert seconds(text) == length


@pytest.mark.parametrize(
    "text", ["", "s", "1x", "30s1m", "1h1h", "-1d", "1:30", "1 d", "1d!", "1" * 200, "5.", "1minutess"]
)
def test_what_is_no_length_of_time(text):
    with pytest.raises(ValueError, match=r"^"):
        seconds(text)
