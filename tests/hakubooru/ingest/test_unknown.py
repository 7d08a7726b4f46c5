"""What a source does not know stays unknown: counted, shown, and never taken for false or zero."""

import pandas as pd
import pytest

import hakubooru as hb
from danbooru import api_post, write_lines
from hakubooru.errors import DatabaseFileError, InputError
from hakubooru.ingest import build
from old_generations import write_generation
from published_sets import SETS, posts
from whole_command import call


@pytest.fixture
def path(tmp_path):
    """Six posts: two deleted, two not, and two that do not say; the last two do not say their rating and favourites."""
    states = {1: True, 2: True, 3: False, 4: False, 5: None, 6: None}
    some = [api_post(number, is_deleted=state, fav_count=number) for number, state in states.items()]
    for post in some[4:]:
        post |= {"rating": None, "fav_count": None, "is_banned": ...}
    some[4:] = [{key: value for key, value in post.items() if value is not ...} for post in some[4:]]
    build([write_lines(tmp_path / "posts.jsonl", some)], tmp_path / "some.db")
    return tmp_path / "some.db"


@pytest.mark.parametrize("are_read", [False, True])
@pytest.mark.parametrize(
    ("search", "ids"),
    [
        ("is:deleted", [1, 2]),
        ("-is:deleted", [3, 4, 5, 6]),
        ("is:active", [3, 4]),
        ("-is:active", [1, 2, 5, 6]),
        ("is:banned", []),
        ("favcount:>=0", [1, 2, 3, 4]),
        ("favcount:<2", [1]),
        ("-favcount:<2", [2, 3, 4, 5, 6]),
        ("rating:g", [1, 2, 3, 4]),
        ("-rating:g", [5, 6]),
        ("order:favcount_asc favcount:>2", [3, 4]),
        ("order:favcount_asc", [1, 2, 3, 4, 5, 6]),
        ("order:favcount", [4, 3, 2, 1, 6, 5]),
        ("order:favcount_asc limit:2 -id:1", [2, 3]),
    ],
)
def test_a_condition_on_an_unknown_value_is_not_met_and_its_negation_is(path, search, ids, are_read):
    with hb.open(path) as db:
        if are_read:
            db.posts.score(min=0).count()
        assert db.posts.search(search).to_ids().tolist() == ids


def test_an_order_by_columns_has_unknown_values_last(path):
    with hb.open(path) as db:
        for terms, ids in (
            (["fav_count"], [1, 2, 3, 4, 5, 6]),
            (["-fav_count"], [4, 3, 2, 1, 6, 5]),
            ([hb.Post.rating, hb.Post.fav_count.desc()], [4, 3, 2, 1, 6, 5]),
            ([hb.Post.fav_count.asc(nulls="first")], [5, 6, 1, 2, 3, 4]),
        ):
            assert db.posts.order_by(*terms).to_ids().tolist() == ids


def test_steps_of_a_selection_read_unknown_as_a_search_does(path):
    with hb.open(path) as db:
        assert db.posts.without_deleted().to_ids().tolist() == [3, 4, 5, 6]
        assert db.posts.where(hb.Post.is_deleted == False).to_ids().tolist() == [3, 4]  # noqa: E712
        assert db.posts.where(hb.Post.is_deleted.is_null()).to_ids().tolist() == [5, 6]
        (row,) = db.posts.ids(5, 6).to_pandas(["fav_count", "rating", "is_deleted"]).to_dict("records")
        assert all(value is None or value != value for value in row.values())  # noqa: PLR0124 - NaN
        with pytest.raises(
            hb.InputError, match=r"2 posts do not have fav_count; take a column that all posts have"
        ):
            db.posts.sample_weighted("fav_count", 1, seed=1).to_ids()


def test_explain_says_how_many_posts_do_not_say(path):
    with hb.open(path) as db:
        explanation = db.posts.search("-is:deleted score:>1").explain()
        assert explanation.splitlines()[-1].startswith(
            "2 posts do not say is_deleted: they match no condition on it"
        )
        assert "do not say" not in db.posts.search("score:>1").explain()


def test_build_and_info_count_what_is_unknown(path, tmp_path):
    code, stdout, _ = call("db", "build", tmp_path / "posts.jsonl", "--out", tmp_path / "new.db")
    assert code == 0
    assert "posts.jsonl: JSON, posts of Danbooru's API" in stdout
    assert "2 posts do not say whether they are deleted (is_deleted)" in stdout
    assert "2 posts do not say their rating (rating)" in stdout
    _, stdout, _ = call("db", "info", path)
    assert "2 posts do not say whether they are deleted (is_deleted)" in stdout
    assert "        site  danbooru" in stdout
    with hb.open(path) as db:
        assert db.info().unknown == {"fav_count": 2, "is_banned": 2, "is_deleted": 2, "rating": 2}


def test_a_later_dump_that_knows_more_makes_it_known(path, tmp_path):
    newer = [api_post(number, updated_at="2025-01-01T00:00:00.000-05:00") for number in (5, 6)]
    report = build([write_lines(tmp_path / "newer.jsonl", newer)], path)
    assert report.unknown == {}
    with hb.open(path) as db:
        assert db.posts.search("is:active").to_ids().tolist() == [3, 4, 5, 6]


def test_a_caption_of_an_unknown_count_has_no_quality_word(path):
    with hb.open(path) as db:
        texts = [text for _, text in db.posts.captions(hb.CaptionFormat(order=("rating", "quality")))]
    assert texts[4:] == ["", ""]
    assert all(text.startswith("safe, ") for text in texts[:4])


def test_statistics_and_groups_of_posts_that_do_not_say(path):
    with hb.open(path) as db:
        stats = db.posts.stats()
        assert sum(stats.ratings.values()) <= stats.posts == 6
        with pytest.raises(hb.InputError, match="2 posts do not have rating"):
            db.posts.sample_per("rating", at_most=1, seed=1).to_ids()
        assert db.posts.sample_per("year", at_most=9, seed=1).count() == 6


def test_statistics_count_no_unknown_value_as_zero(path):
    with hb.open(path) as db:
        stats = db.posts.stats()
        assert sum(stats.ratings.values()) == sum(stats.quality.values()) == 4
        assert sum(stats.scores.values()) == sum(stats.megapixels.values()) == 6


def test_statistics_count_no_quality_of_an_unknown_rating(tmp_path):
    some = [api_post(1, rating=None), api_post(2)]
    build([write_lines(tmp_path / "posts.jsonl", some)], tmp_path / "some.db")
    with hb.open(tmp_path / "some.db") as db:
        texts = [text for _, text in db.posts.captions(hb.CaptionFormat(order=("quality",)))]
        assert texts[0] == ""
        assert db.posts.stats().quality == {texts[1]: 1}


def test_statistics_of_a_file_whose_gaps_were_filled_by_hand(path):
    with hb.open(path, writable=True) as db:
        db.connection().execute("UPDATE post SET rating = 0, fav_count = 9 WHERE rating IS NULL")
        assert db.about.unknown["rating"] == 2
        assert db.posts.stats().ratings["general"] == 6


def test_the_posts_of_danbooru2026_that_do_not_say(tmp_path):
    """Its posts of some ranges of ids were collected without their state, and hidden posts have no file."""
    some = posts()
    for post in some[3:6]:
        post.update(dict.fromkeys(("is_deleted", "is_banned", "is_pending", "is_flagged", "uploader_id")))
    report = build(SETS["nyanko-devs/danbooru2026"].write(tmp_path, some), tmp_path / "some.db")
    assert report.unknown == {"is_banned": 3, "is_deleted": 3, "uploader_id": 3}
    with hb.open(tmp_path / "some.db") as db:
        assert db.posts.search("is:deleted").to_ids().tolist() == [10]
        assert db.posts.search("is:active").to_ids().tolist() == [1, 2, 3, 7, 8, 9, 11, 12]
        assert db.posts.search("-is:deleted").count() == 11
        (hidden,) = db.posts.ids(7, 8).posts()
        assert hidden.md5 is None


@pytest.fixture
def lacking(tmp_path):
    """Posts of a set without favourites, md5 and states."""
    (tmp_path / "set").mkdir()
    report = build(SETS["isek-ai/danbooru-tags-2024"].write(tmp_path / "set", posts()), tmp_path / "tags.db")
    assert {"fav_count", "md5", "is_deleted", "created_at"} <= set(report.lacking)
    return tmp_path / "tags.db"


@pytest.mark.parametrize(
    ("search", "column"),
    [
        ("favcount:>5", "fav_count"),
        ("-is:deleted", "is_deleted"),
        ("order:score", "score"),
        ("parent:deleted", "is_deleted"),
        ("date:2023", "created_at"),
        ("is:gold", "file_url"),
        ("parent:none", "parent_id"),
    ],
)
def test_what_no_source_has_is_an_error_not_a_zero(lacking, search, column):
    with (
        hb.open(lacking) as db,
        pytest.raises(hb.InputError, match=rf"none of its sources has {column}; leave it out"),
    ):
        db.posts.search(search).to_ids()


def test_steps_that_need_what_no_source_has_are_errors(lacking):
    with hb.open(lacking) as db:
        for selection in (
            db.posts.with_image(),
            db.posts.without_gold(),
            db.posts.best_of_family(by="score"),
            db.posts.sample_per("year", at_most=1, seed=1),
            db.posts.order_by("-fav_count"),
        ):
            with pytest.raises(hb.InputError, match="none of its sources has"):
                selection.to_ids()
        with pytest.raises(hb.InputError, match=r"fav_count, and .* has no fav_count"):
            next(iter(db.posts.captions("kohaku-epsilon")))
        stats = db.posts.stats()
        assert (stats.quality, stats.scores, sum(stats.ratings.values())) == ({}, {}, 12)
        assert db.posts.search("1girl rating:g").to_ids().tolist() == [4, 8, 12]
        assert db.posts.sample_per("character", at_most=2, seed=1).count() == 2


def test_what_no_source_has_is_not_shown(lacking):
    code, stdout, _ = call("select", lacking, "id:5", "--show", 1)
    assert code == 0
    assert "5  sensitive, 800x1200" in stdout.splitlines()
    assert "None" not in stdout


def test_a_published_file_is_migrated_before_it_takes_what_is_unknown(tmp_path):
    old = write_generation(tmp_path / "old.db", 4, [], [])
    data = old.read_bytes()
    with hb.open(old) as db:
        assert db.info().site == "danbooru"
    assert old.read_bytes() == data
    dump = write_lines(tmp_path / "posts.jsonl", [api_post(1, is_deleted=None)])
    with pytest.raises(DatabaseFileError, match=r"NOT NULL.*run `hakubooru db migrate` on it"):
        build([dump], old)
    assert hb.migrate(old).scripts[-1] == "0006_unknown_values"
    assert build([dump], old).unknown == {"is_deleted": 1}


def test_a_joined_column_of_a_lacking_name_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    dump = write_lines(tmp_path / "posts.jsonl", [{"id": number, "tag_string": "solo"} for number in (1, 2)])
    build([dump], tmp_path / "posts.db")
    scores = tmp_path / "scores.csv"
    scores.write_text("post_id,score\n1,0.7\n2,0.2\n")
    with hb.open(tmp_path / "posts.db") as db:
        db.join("silva", scores)
        assert db.posts.search("silva:>0.5").to_ids().tolist() == [1]
        assert db.posts.search("order:silva").to_ids().tolist() == [1, 2]
        with pytest.raises(InputError, match="none of its sources has score"):
            db.posts.search("score:>5").to_ids()


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_size_of_zero_or_less_is_unknown(tmp_path, form):
    sizes = [(0, 0, 0), (-1, -1, -1), (100, 0, 7), (100, 200, 7), (None, None, None)]
    names = ("image_width", "image_height", "file_size")
    rows = [api_post(at) | dict(zip(names, some, strict=True)) for at, some in enumerate(sizes, 1)]
    dump = write_lines(tmp_path / "dump.jsonl", rows)
    if form == "csv":
        columns = ["id", "rating", "created_at", "tag_string_general", *names]
        pd.DataFrame(rows)[columns].astype(dict.fromkeys(names, "Int64")).to_csv(
            dump := tmp_path / "dump.csv", index=False
        )
    report = build([dump], tmp_path / "posts.db")
    assert {name: report.unknown[name] for name in names} == dict(zip(names, (3, 4, 3), strict=True))
    with hb.open(tmp_path / "posts.db") as db:
        assert db.posts.search("width:<1000").to_ids().tolist() == [3, 4]
        assert db.posts.search("filesize:<1mb").to_ids().tolist() == [3, 4]
