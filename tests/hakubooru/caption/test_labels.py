from __future__ import annotations

import numpy as np
import pytest

from hakubooru.caption.format import CaptionFormat
from hakubooru.caption.presets import PRESETS
from hakubooru.caption.words import Judge, date_label, upload_year

EPSILON = PRESETS["kohaku-epsilon"]


@pytest.mark.parametrize(
    ("day", "year"),
    [
        ("2005-05-23", 2005),
        ("2024-12-31", 2024),
        ("2031-01-01", 2031),
        ("2004-12-31", None),  # Danbooru was not there yet
        ("2016-13-01", None),
        ("2016-02-30", None),
        ("0000-00-00", None),
        ("2016", None),
        ("", None),
        ("yesterday", None),
    ],
)
def test_the_year_of_a_day(day, year):
    assert upload_year(day) == year


@pytest.mark.parametrize(
    ("year", "label"),
    [
        (2005, "old"),
        (2010, "old"),
        (2011, "early"),
        (2014, "early"),
        (2015, "mid"),
        (2017, "mid"),
        (2018, "recent"),
        (2020, "recent"),
        (2021, "newest"),
        (2024, "newest"),
        (2025, ""),
        (None, ""),
    ],
)
def test_date_labels_of_epsilon(year, label):
    assert date_label(year, EPSILON.date, EPSILON.undated) == label


def test_an_unreadable_date_gets_the_label_that_a_format_names():
    assert date_label(None, EPSILON.date, "early") == "early"


# Published fav_count at the percentiles 10, 30, 45, 60, 75, 90 of each rating.
THRESHOLDS = {
    0: (1, 4, 7, 10, 16, 27),
    1: (2, 8, 13, 19, 30, 56),
    2: (8, 21, 33, 49, 75, 132),
    3: (9, 27, 45, 69, 106, 190),
}
LABELS = (
    "worst quality",
    "low quality",
    "normal quality",
    "good quality",
    "great quality",
    "best quality",
    "masterpiece",
)


@pytest.mark.parametrize("rating", range(4))
def test_a_quality_label_stands_for_counts_above_its_threshold(rating):
    judge = Judge(EPSILON.grades["quality"])

    def places(counts):
        return judge(np.arange(len(counts)), np.full(len(counts), rating), np.array(counts), None).tolist()

    assert EPSILON.thresholds()[rating] == THRESHOLDS[rating]
    assert tuple(judge.words) == LABELS
    assert places(THRESHOLDS[rating]) == [*range(len(LABELS) - 1)]
    assert places([threshold + 1 for threshold in THRESHOLDS[rating]]) == [*range(1, len(LABELS))]
    assert places([0, 10**9]) == [0, len(LABELS) - 1]


def test_delta_has_other_percentiles():
    assert PRESETS["kohaku-delta"].thresholds()[3] == (9, 22, 52, 106, 151, 262)


def test_score_has_percentiles_of_its_own():
    assert CaptionFormat(order=("quality",), quality_by="score").thresholds()[0] == (1, 4, 6, 9, 14, 24)
