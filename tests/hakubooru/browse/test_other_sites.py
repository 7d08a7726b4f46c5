"""The pages of posts of another site, and of a set that lacks most values: what is unknown is left out."""

import re

import pytest

import hakubooru as hb
from booru import tracing
from danbooru import api_post, write_lines
from gallery import ask
from hakubooru.browse import Browser
from hakubooru.browse.completion import Completion
from hakubooru.browse.facets import charts, facets, labelled
from hakubooru.ingest import build
from published_sets import SETS, posts
from published_sites import e621_export

PAGES = (
    "/",
    "/more?q=&from=0",
    "/facets?q=",
    "/charts?q=",
    "/post/1",
    "/family/1",
    "/set",
    "/set/fingerprint",
)


@pytest.fixture
def e621(tmp_path):
    dumps, lists = e621_export(tmp_path, count=60)
    build(dumps, tmp_path / "e621.db", tags=lists)
    with hb.open(tmp_path / "e621.db") as db:
        yield db


@pytest.fixture(params=["kohya", "isek-ai/danbooru-tags-2024", "Jakaline, Parquet", "waifuset"])
def lacking(tmp_path, request):
    (tmp_path / "set").mkdir()
    build(SETS[request.param].write(tmp_path / "set", posts()), tmp_path / "lacking.db")
    with hb.open(tmp_path / "lacking.db") as db:
        yield db


def entries(database):
    ids = database.posts.to_ids()[::-1]
    all_facets = [*facets(database, ids, labelled(database)), *charts(database, ids)]
    return {facet.title: {entry.words: entry for entry in facet.entries} for facet in all_facets}


def test_facets_have_the_words_of_the_site_and_count_what_they_find(e621):
    by_title = entries(e621)
    assert list(by_title["Rating"]) == ["safe", "questionable", "explicit"]
    assert set(by_title["Quality"]) > {"masterpiece", "worst quality"}, "by e621's own favourites"
    for values in by_title.values():
        for entry in values.values():
            assert e621.posts.search(entry.term).count() == entry.posts, entry.term
    assert [suggestion.term for suggestion in Completion(e621).suggestions("rating:")] == [
        "rating:safe",
        "rating:questionable",
        "rating:explicit",
    ]


def test_facets_of_a_set_count_no_value_that_it_lacks(lacking):
    by_title = entries(lacking)
    for name, column in {
        "Rating": "rating",
        "Quality": "fav_count",
        "Aspect bucket": "image_width",
        "File type": "file_ext",
        "Year": "created_at",
        "Score": "score",
        "Megapixels": "image_width",
    }.items():
        total = sum(entry.posts for entry in by_title.get(name, {}).values())
        assert total == (0 if column in lacking.info().lacking else 12), name


def test_what_some_posts_do_not_say_is_read_once(tmp_path):
    records = [api_post(number) | {"rating": None if number % 3 else "e"} for number in range(1, 31)]
    for record in records[:7]:
        record |= {"image_width": None}
    build([write_lines(tmp_path / "some.jsonl", records)], tmp_path / "some.db")
    with hb.open(tmp_path / "some.db") as db:
        assert {"rating", "image_width"} <= set(db.info().unknown)
        first = entries(db)
        assert sum(entry.posts for entry in first["Rating"].values()) == 10
        assert sum(entry.posts for entry in first["Megapixels"].values()) == 23
        statements = []
        with tracing(db, statements):
            assert entries(db) == first
        assert not [sql for sql in statements if "FROM post " in sql]


@pytest.mark.slow
def test_every_page_opens(lacking, e621):
    for database in (lacking, e621):
        with Browser(database, port=0) as browser:
            for page in PAGES:
                assert ask(browser.url, page).status == 200, page


@pytest.mark.slow
def test_the_page_of_a_post_names_its_site(e621):
    with Browser(e621, port=0) as browser:
        page = ask(browser.url, "/post/3").text
    assert 'href="https://e621.net/posts/3"' in page
    kinds = re.findall(r"<h2>(species|lore|contributor|invalid)</h2>", page)
    assert kinds == ["species", "lore", "contributor", "invalid"]
    assert "danbooru.donmai.us" not in page
