"""What a user sees in a real Chromium when something goes wrong, and where the keyboard is afterwards."""

from __future__ import annotations

import json

import psutil
import pytest

from chromium import started
from gallery import ask, browsing

try:
    from playwright.sync_api import expect
except ImportError:  # `started` skips the tests
    expect = None

WAIT = 20_000  # a busy machine is no mistake
MISTAKE = "<!doctype html><header><input id='q'></header><pre class='mistake'>the disk is gone</pre>"

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("chromium")]  # one process starts it


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with browsing(tmp_path_factory.mktemp("gallery"), images=()) as browser:
        yield browser


@pytest.fixture(scope="module")
def window(server):
    with started() as chromium:
        window = chromium.new_context(base_url=server.url).new_page()
        window.set_default_timeout(WAIT)
        window.set_viewport_size({"width": 1280, "height": 900})
        yield window


@pytest.fixture
def page(window, server):
    """The window with an empty data set."""
    server.session.draft.clear()
    errors = []
    window.once("pageerror", lambda error: errors.append(error))  # noqa: PLW0108 - Playwright marks what it is given
    yield window
    window.unroute_all()
    assert errors == []


def test_a_mistake_is_brought_into_view_and_nothing_typed_is_lost(page):
    page.goto("/set")
    page.fill("#set-name", "epsilon-x")
    page.fill("#set-seed", "x")
    page.select_option("#set-format", "avif")
    page.click("#set-save")
    expect(page.locator(".mistake")).to_be_in_viewport(timeout=WAIT)
    page.fill("#new-search", "solo")
    page.keyboard.press("Enter")
    page.wait_for_selector(".rows li:nth-child(2)")
    assert [page.input_value(f"#set-{name}") for name in ("name", "seed", "format")] == [
        "epsilon-x",
        "x",
        "avif",
    ]


def test_the_keyboard_stays_with_a_step_that_moves(page):
    page.goto("/set")
    for kind in ("Keep", "Drop"):
        page.fill(f"[aria-label='Ids of posts to {kind.lower()}']", "1")
        page.click(f"button:text-is('{kind}')")
        page.wait_for_selector(f".rows .what:has-text('{kind.lower()} 1 post')")
    page.focus("[aria-label='Move up: drop 1 post by id']")
    page.keyboard.press("Enter")
    page.wait_for_selector(".rows li:nth-child(2):has-text('drop 1 post') [aria-label^='Move up']:focus")


def test_a_server_that_fails_or_is_gone_is_told_where_it_is_awaited(page):
    gone = "The server does not answer. Is hakubooru browse still running?"
    page.route("**/facets", lambda route: route.abort())
    page.route("**/more*", lambda route: route.fulfill(status=500, content_type="text/html", body=MISTAKE))
    page.goto("/")
    expect(page.locator(".fold p")).to_have_text(gone, timeout=WAIT)
    page.locator(".rest").scroll_into_view_if_needed()
    expect(page.locator("#trouble")).to_have_text("the disk is gone", timeout=WAIT)
    assert page.locator("[id=q]").count() == 1
    page.click("h1", force=True)
    assert page.locator("#trouble").is_hidden()
    page.route("**/pick", lambda route: route.abort())
    page.hover("#card-150")
    page.click("#card-150 [data-kind=keep]")
    expect(page.locator("#trouble")).to_have_text(gone, timeout=WAIT)
    page.click(".rest a")
    page.wait_for_selector("#card-90")


def test_an_export_is_watched_on_when_the_server_answers_again(page, server):
    draft = server.session.draft
    draft.settle("watched")
    about = draft.save().with_name("watched.export.json")
    process = psutil.Process()  # a process that runs as long as the test
    about.write_text(json.dumps({"pid": process.pid, "started": process.create_time()}))
    page.goto("/set")
    assert page.inner_text("#state") == "running"
    page.route("**/set/state", lambda route: route.abort())
    expect(page.locator("#trouble")).to_contain_text("does not answer", timeout=WAIT)
    about.write_text(json.dumps({"pid": process.pid, "started": 1}))
    page.unroute_all()
    expect(page.locator("#state")).to_have_text("ended", timeout=WAIT)
    expect(page.locator("#trouble")).to_be_hidden(timeout=WAIT)


def test_the_back_button_shows_the_picks_of_now(page, server):
    page.goto("/?q=solo")
    page.click("#card-147 .open")
    page.wait_for_url("**/post/147*")
    page.keyboard.press("k")
    page.wait_for_selector("main.kept")
    page.go_back()
    page.wait_for_selector("#card-147.kept [data-kind=keep][aria-pressed=true]")
    ask(server.url, "/set/add", form={"kind": "limit", "value": "5"})
    page.goto("/set")
    page.goto("/")
    ask(server.url, "/set/add", form={"kind": "limit", "value": "3"})
    page.go_back()
    page.wait_for_selector(".what:has-text('the first 3')")


def test_from_a_post_the_keyboard_comes_back_to_its_card(page):
    page.goto("/post/80")
    page.keyboard.press("Escape")
    page.wait_for_selector("#card-80 .open:focus")
    expect(page.locator("#card-80")).to_be_in_viewport(timeout=WAIT)
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#card-79 .open:focus")


def test_a_menu_closes_when_the_keyboard_leaves_it(page):
    page.goto("/")
    page.focus(".menu summary")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.wait_for_selector(".menu:not([open]) summary:focus")
    page.keyboard.press("Enter")
    page.wait_for_selector(".menu[open]")
    page.keyboard.press("Shift+Tab")
    page.wait_for_selector(".menu:not([open])")
    page.click(".menu summary")
    entry = "element => [element.offsetHeight, parseFloat(getComputedStyle(element).lineHeight)]"
    height, line = page.locator(".menu li a").first.evaluate(entry)
    assert height < 2 * line  # `newest` is not broken


def test_a_web_browser_that_stores_nothing_is_enough(page):
    # The last test: the window keeps these scripts.
    refusal = (
        "Object.defineProperty(window, '{}', {{ get() {{ throw new DOMException('', 'SecurityError') }} }})"
    )
    for storage in ("localStorage", "sessionStorage"):
        page.add_init_script(refusal.format(storage))
    page.goto("/")
    page.click("#theme")
    page.click("#reveal")
    page.wait_for_selector("html[data-theme=dark][data-revealed]")
    page.keyboard.press("?")
    page.wait_for_selector("#keys[open]")
