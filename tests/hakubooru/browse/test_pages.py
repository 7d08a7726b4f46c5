"""The pages as they are sent, without a web browser."""

from __future__ import annotations

import json
import re
import tomllib
from html import unescape
from urllib.parse import quote

import pytest

import hakubooru as hb
from gallery import ODD, ask, browsing


@pytest.fixture(scope="module")
def browser(folder):
    """A running browser whose first page is a search."""
    with browsing(folder, query="solo") as browser:
        yield browser


@pytest.fixture
def get(browser):
    return lambda path: ask(browser.url, path)


def posts(answer):
    return [int(number) for number in re.findall(r'id="card-(\d+)"', answer.text)]


def test_pages_follow_each_other_in_the_order_of_the_search(get):
    assert posts(get("/?q=order:score_asc")) == [*range(1, 61)]
    assert posts(get("/more?q=order:score_asc&from=60")) == [*range(61, 121)]
    last = get("/more?q=order:score_asc&from=120")
    assert posts(last) == [*range(121, 151)]
    assert "hx-get" not in last.text
    assert posts(get("/?q=limit:3")) == [150, 149, 148]


@pytest.mark.slow
def test_each_page_of_a_search_has_an_address(get):
    """Without JavaScript, and to come back from a post to its card."""
    for place, shown in {"0": 150, "60": 90, "61": 90, "149": 30, "99999": 30, "x": 150}.items():
        assert posts(get(f"/?from={place}"))[0] == shown
    assert 'rel="next" href="/?from=60"' in get("/").text
    page = get("/?q=score:..99&from=60").text
    assert re.findall(r'rel="(prev|next)" href="(\S+)"', page) == [("prev", "/?q=score%3A..99")]
    assert "posts 1 to 60<" in page
    assert 'id="back" href="/?from=60#card-90"' in get("/post/90").text
    assert 'id="back" href="/?q=solo#card-147"' in get("/post/147?q=solo").text


def test_the_first_address_has_the_first_search(browser):
    assert browser.first.endswith("/?q=solo")


def test_neighbours_of_a_post_are_those_of_the_search(get):
    page = get("/post/147?q=solo").text
    assert re.findall(r'id="(?:before|after)" rel="\w+" href="/post/(\d+)', page) == ["150", "144"]
    assert 'id="after"' not in get("/post/3?q=solo").text
    assert get("/post/4?q=solo").status == 200
    assert get("/post/999").status == 404


@pytest.mark.slow
def test_odd_names_never_become_html(get):
    for path in (f"/?q={quote(ODD)}", "/post/7", "/facets", f"/?q={quote('<script>alert(1)</script>')}"):
        text = get(path).text
        assert "<b>" not in text.replace("<b>7</b>", "")
        assert "<script>alert" not in text
    assert ODD.replace("_", " ") in unescape(get("/post/7").text)


def test_pictures_are_sent_and_missing_ones_are_drawn(get):
    picture = get("/thumbnail/5")
    assert (picture.status, picture.headers["content-type"]) == (200, "image/webp")
    assert get("/view/5").headers["content-type"] == "image/png"
    missing = get("/thumbnail/145")
    assert (missing.status, missing.headers["content-type"]) == (404, "image/svg+xml")
    assert "<text" in missing.text
    assert "no archive holds it" in missing.text


def test_without_images_cards_of_metadata_are_shown(folder):
    with browsing(folder, images=()) as browser:
        page = ask(browser.url, "/?q=illaoi")
        assert '<img src="/thumbnail' not in page.text
        assert '<span class="tag-character">illaoi</span>' in page.text
        assert ask(browser.url, "/thumbnail/5").status == 404


def test_a_search_is_checked_while_it_is_typed(get):
    assert json.loads(get("/check?q=solo").body) == {"posts": 50}
    answer = json.loads(get("/check?q=1girl+(solo").body)
    assert answer["mistake"] == "this ( is never closed; add a )"
    assert answer["place"].splitlines()[1].strip() == "^"


@pytest.mark.slow
def test_numbers_of_a_limited_search_say_that_a_link_finds_others_too(get):
    for page in ("facets", "charts"):
        for text in ("solo", "solo limit:5", "random:5"):
            assert ("finds other posts, too" in get(f"/{page}?q={quote(text)}").text) == (":5" in text)


def test_suggestions_are_sent_with_type_and_posts(get):
    (first, *_) = json.loads(get("/complete?word=lon").body)
    assert first == {"term": "long_hair", "type": "general", "posts": 30, "alias": None}


def test_odd_requests_are_answered_with_a_sentence(get):
    for path in ("/?q=score:x", "/more?q=(", "/facets?q=zzz", "/post/1?q=(", "/charts?q=or"):
        answer = get(path)
        assert answer.status == 400
        assert "Traceback" not in answer.text
    assert get("/more?q=&from=-1").status == get("/more?q=&from=9999999").status == 200
    assert "There is no such page." in get("/nothing").text
    for number in ("9" * 18, "9" * 19, "9" * 5000):
        for page in ("post", "thumbnail", "view"):
            assert get(f"/{page}/{number}").status == 404
        assert get(f"/set?edit={number}").status == 200


@pytest.mark.slow
def test_a_data_set_works_without_javascript(folder):
    with browsing(folder) as browser:
        url = browser.url
        assert ask(url, "/set/add", form={"kind": "search", "value": "solo"}).headers["location"] == "/set"
        ask(url, "/pick", form={"post": "1", "kind": "keep"})
        answer = ask(
            url, "/set/save", form={"name": "plain", "seed": "7", "format": "webp", "caption": "danbooru"}
        )
        assert answer.status == 303
        table = tomllib.loads(ask(url, "/set/recipe.toml").text)
        assert table == {
            "seed": 7,
            "caption": "danbooru",
            "image": {"format": "webp"},
            "steps": [{"search": "solo"}, {"keep": [1]}],
        }
        assert tomllib.loads((folder / "work" / "plain.toml").read_text()) == table
        assert posts(ask(url, "/?in=set&q=id:..9")) == [9, 6, 3, 1]
        with hb.open(folder / "gallery.db") as db:
            fingerprint = hb.Recipe.load(folder / "work" / "plain.toml").select(db).fingerprint()
        assert fingerprint in ask(url, "/set/fingerprint").text


def test_each_format_that_the_page_offers_can_be_saved(browser):
    """A recipe with one that is not offered would lose it."""
    page = ask(browser.url, "/set").text
    (offered,) = re.findall(r'<select id="set-format" name="format">(.*?)</select>', page)
    formats = re.findall(r"<option>(\w+)</option>", offered)
    assert formats == ["webp", "avif", "jpeg", "png"]
    for name in formats:
        assert ask(browser.url, "/set/save", form={"name": "offered", "format": name}).status == 303
        assert f"<option selected>{name}</option>" in ask(browser.url, "/set").text
    ask(browser.url, "/set/new", form={"name": ""})


def test_without_javascript_a_mistake_is_a_whole_page_with_what_was_typed(browser):
    form = {"name": "a b", "seed": "x", "caption": "danbooru", "format": "png", "description": "<i>"}
    answer = ask(browser.url, "/set/save", form=form)
    assert answer.status == 422
    assert "<!doctype html>" in answer.text
    assert "cannot be used" in answer.text
    for part in ('value="a b"', 'value="x"', "selected>danbooru<", "selected>png<", 'value="&lt;i&gt;"'):
        assert part in answer.text
    assert "<!doctype html>" in ask(browser.url, "/set/add", form={"kind": "search"}).text


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"kind": "search", "value": ""}, "write a search first"),
        ({"kind": "search", "value": "lng_hair"}, "long_hair"),
        ({"kind": "sample", "value": "many"}, "write a whole number"),
        ({"kind": "sample_per", "value": "colour", "number": "5"}, "sample_per"),
        ({"kind": "limit", "value": "-1"}, "write a whole number"),
        ({"kind": "order", "value": "scor"}, "score"),
        ({"kind": "drop", "value": "1 x"}, "write a whole number"),
        ({"kind": "explode", "value": "1"}, "has no key"),
        ({}, "has no key"),
    ],
)
def test_a_wrong_step_is_told(browser, form, message):
    answer = ask(browser.url, "/set/add", form=form)
    assert answer.status == 422
    assert message in unescape(answer.text)
