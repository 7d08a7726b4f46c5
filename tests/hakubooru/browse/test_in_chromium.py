"""The page in a real Chromium, as a user sees it."""

from __future__ import annotations

import tomllib

import pytest

import hakubooru as hb
from chromium import serious, started
from gallery import ODD

try:
    from playwright.sync_api import expect
except ImportError:  # `started` skips the tests
    expect = None

WAIT = 20_000  # a busy machine is no mistake

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("chromium")]  # one process starts it


@pytest.fixture(scope="module")
def chromium():
    with started() as browser:
        yield browser


@pytest.fixture(scope="module")
def errors():
    """What the console of the window has said."""
    return []


@pytest.fixture(scope="module")
def window(chromium, browser, errors):
    """One window for all tests: a new one is another process, which must first learn fonts and scripts."""
    context = chromium.new_context(base_url=browser.url)
    context.set_default_timeout(WAIT)
    window = context.new_page()
    window.on("pageerror", lambda error: errors.append(error))  # noqa: PLW0108 - Playwright marks what it is given
    window.on("dialog", lambda dialog: dialog.accept())
    window.on("console", lambda line: errors.append(line.text) if "Content Security" in line.text else None)
    return window


@pytest.fixture
def page(window, errors):
    """The window as a user opens it; an error in its console fails the test."""
    errors.clear()
    window.set_viewport_size({"width": 1280, "height": 900})
    window.emulate_media(color_scheme="light")
    yield window
    window.evaluate("localStorage.clear(); sessionStorage.clear()")
    window.unroute_all()
    assert errors == []


def search(page, text):
    page.fill("#q", text)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def count(page):
    return int(page.inner_text("#count").replace(",", ""))


def load(page, path):
    """Open a page, with all that it asks for after itself."""
    page.goto(path)
    page.wait_for_selector("[hx-trigger=load] > p:has-text(' …')", state="detached")


def begin_set(page):
    """Begin a new data set, and wait until its page has replaced the one before, whose fields are alike."""
    page.goto("/set")
    page.evaluate("document.querySelector('#new-search').dataset.old = 'yes'")
    page.click("button:text-is('New')")
    page.wait_for_selector("#new-search:not([data-old])")
    page.wait_for_selector("h1:has-text('untitled')")


def test_a_data_set_that_is_not_saved_is_left_only_on_purpose(page):
    begin_set(page)
    page.fill("form:has(> button:text-is('Limit')) input[name=value]", "7")
    page.click("button:text-is('Limit')")
    page.wait_for_selector("text=the first 7")
    with page.expect_event("dialog") as dialog:
        page.click("button:text-is('New')")
    page.wait_for_selector("text=Begin with a search, here")
    assert dialog.value.message == "This data set is not saved. Leave it?"


def test_a_search_is_answered_counted_and_stands_in_the_address(page):
    page.goto("/")
    assert count(page) == 150
    search(page, "solo rating:g")
    assert count(page) == 24
    assert "q=solo+rating%3Ag" in page.url
    page.go_back()
    assert count(page) == 150


def test_pictures_come_with_scrolling(page):
    page.goto("/")
    selector = "#grid img"
    assert page.locator(selector).count() == 60
    page.locator(".rest").scroll_into_view_if_needed()
    expect(page.locator(selector)).to_have_count(120, timeout=WAIT)
    # The newest ten have no picture in the archives.
    assert (
        page.locator("#card-140 img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 60
    )


def test_a_word_is_completed_while_it_is_typed(page):
    page.goto("/")
    page.click("#q")
    page.keyboard.type("-hair")
    page.wait_for_selector("#suggestions li")
    assert page.inner_text("#suggestions li").split() == ["long_hair", "30"]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.input_value("#q") == "-long_hair "
    expect(page.locator("#typed")).to_have_text("120 posts", timeout=WAIT)


def test_a_fast_tab_and_enter_search_for_the_whole_tag(page):
    page.goto("/")

    def answer_late(route):
        page.wait_for_timeout(300)
        route.continue_()

    page.click("#q")
    page.keyboard.type("s")
    page.wait_for_selector("#suggestions li")
    page.route("**/complete*", answer_late)
    page.keyboard.type("ol")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=solo*")


def test_a_facet_narrows_the_search_to_its_count(page):
    page.goto("/")
    search(page, "1girl")
    page.click("aside a:text-is('explicit')")
    page.wait_for_url("**rating*")
    assert count(page) == 37
    page.click("aside a[aria-label='Search without solo']")
    page.wait_for_url("**-solo*")
    assert count(page) == 37 - 13
    page.click("a[aria-label='Remove rating:explicit from the search']")
    assert count(page) == 100


def test_charts_narrow_too(page):
    page.goto("/")
    page.click("summary:has-text('Charts')")
    page.click(".plot a:has-text('Score 5 to 9')")
    page.wait_for_url("**score*")
    assert count(page) == 5


def test_a_mistake_is_marked_under_its_place(page):
    page.goto("/")
    search(page, "1girl lng_hair")
    lines = page.inner_text(".mistake pre").splitlines()
    assert lines[1].strip() == "^" * len("lng_hair")
    assert lines[1].index("^") == lines[0].index("lng_hair")
    assert "long_hair" in page.inner_text(".mistake p")
    page.click("[aria-label='Remove lng_hair from the search']")
    assert count(page) == 150


def test_explicit_pictures_are_blurred_until_asked_for(page):
    page.goto("/")
    picture = page.locator("#card-139 img")  # 139 % 4 is 3: explicit
    assert "blur" in picture.evaluate("image => getComputedStyle(image).filter")
    page.click("#reveal")
    expect(picture).to_have_css("filter", "none", timeout=WAIT)


def test_a_post_shows_its_tags_captions_and_family(page):
    page.goto("/post/3?q=1girl")
    assert page.inner_text(".caption").startswith("1girl ||| solo, ")
    assert page.locator(".caption .part-people").first.inner_text() == "1girl"
    page.wait_for_selector("#card-4")
    assert page.locator(".card").count() == 2
    page.click("a[aria-label='Search without solo']")
    assert page.input_value("#q") == "1girl -solo"


def test_odd_names_are_text(page):
    page.goto("/post/7")
    assert page.locator("aside").get_by_text(ODD, exact=True).count() == 1
    page.click("aside li:has-text('it') a[aria-label^='Search with ']")
    assert count(page) == 1


def test_a_set_is_picked_by_hand_saved_and_opened_again(page, folder):
    page.goto("/")
    search(page, "solo")
    page.hover("#card-150")
    page.click("#card-150 [data-kind=drop]")
    page.wait_for_selector("#card-150.dropped")
    page.click("text=Add this search to the data set")
    page.click("form:has([value=keep]) >> visible=true >> input[name=value]")
    page.keyboard.type("1 2")
    page.click("button:text-is('Keep')")
    page.wait_for_selector(".rows li:nth-child(4)")
    assert page.locator(".rows .posts").all_inner_texts() == ["150", "149", "49", "51"]
    page.fill("input[name=name]", "by-hand")
    page.click("button:text-is('Save')")
    page.wait_for_selector("h1:has-text('by-hand') >> nth=0")
    page.wait_for_selector("#unsaved", state="detached")
    recipe = hb.Recipe.load(folder / "work" / "by-hand.toml")
    with hb.open(folder / "gallery.db") as db:
        assert set(recipe.select(db).to_ids()) == {*range(3, 150, 3), 1, 2}
    page.click("button:text-is('New')")
    page.wait_for_selector("h1:has-text('untitled')")
    page.select_option("form:has(button:text-is('Open')) select", "by-hand")
    page.click("button:text-is('Open')")
    page.wait_for_selector("h1:has-text('by-hand')")
    page.click("[aria-label='Switch off: search solo']")
    page.wait_for_selector(".rows li.off")
    page.click("text=Look at the posts")
    assert count(page) == 149


def test_values_of_a_file_are_joined_and_searched(page, folder):
    (folder / "work" / "scores.csv").write_text("id,score\n3,0.9\n6,0.8\n7,0.1\n")
    begin_set(page)
    page.select_option("[aria-label='File of values by post id']", "scores.csv")
    page.fill("[aria-label='Name of the values in searches']", "silva")
    page.click("button:text-is('Join')")
    page.wait_for_selector(".joins li:has-text('silva')")
    page.fill("#new-search", "silva:>0.5")
    page.click("form:has(#new-search) button")
    page.wait_for_selector(".rows li:nth-child(2)")
    assert page.locator(".rows .posts").all_inner_texts() == ["150", "2"]
    page.fill("input[name=name]", "with-scores")
    page.click("button:text-is('Save')")
    page.wait_for_selector("#unsaved", state="detached")
    with hb.open(folder / "gallery.db") as db:
        ids = hb.Recipe.load(folder / "work" / "with-scores.toml").select(db).to_ids()
    assert ids.tolist() == [3, 6]
    page.click("[aria-label='Remove the joined silva']")
    expect(page.locator(".rows .problem")).to_contain_text("silva", timeout=WAIT)


def test_a_balanced_sample_says_how_many_posts_each_group_has(page):
    begin_set(page)
    for number in (20, 7):
        page.fill("[aria-label='How many per group']", str(number))
        page.click("button:text-is('Balance')")
        expect(page.locator(".groups")).to_contain_text(f"illaoi {number}", timeout=WAIT)
    page.click(".groups a")
    assert count(page) == 7


def test_a_step_is_completed_and_changed(page):
    begin_set(page)
    page.click("#new-search")
    page.keyboard.type("1girl -sol")
    page.wait_for_selector("#new-search-list li")
    page.keyboard.press("Tab")
    expect(page.locator("#new-search")).to_have_value("1girl -solo ", timeout=WAIT)
    page.keyboard.press("Enter")
    page.click("[aria-label='Change: search 1girl -solo']")
    assert serious(page) == []
    page.fill("#edited-search", "lng_hair")
    page.click("button:text-is('Change')")
    expect(page.locator(".mistake")).to_contain_text("long_hair", timeout=WAIT)
    page.goto("/set?edit=0")
    page.fill("#edited-search", "long_hair")
    page.click("button:text-is('Change')")
    page.wait_for_selector(".rows .what:has-text('search long_hair')")
    assert page.locator(".rows .posts").all_inner_texts() == ["150", "30"]
    assert page.url.endswith("/set")


def test_a_data_set_is_exported_to_its_end(page, folder):
    begin_set(page)
    page.fill("#new-search", "long_hair id:<100")
    page.click("form:has(#new-search) button")
    page.wait_for_selector(".rows li:nth-child(2)")
    page.fill("input[name=name]", "exported")
    page.click("button:text-is('Save')")
    page.wait_for_selector("#export-title ~ form")
    page.click("button:has-text('Export into')")
    expect(page.locator("#state")).to_have_text("finished", timeout=120_000)
    assert "19 of 19 posts" in page.inner_text(".export pre")
    assert len(list((folder / "work" / "exported").rglob("*.png"))) == 19
    assert tomllib.loads((folder / "work" / "exported.toml").read_text())["caption"] == "kohaku-epsilon"


@pytest.mark.kill
def test_an_export_is_stopped_and_goes_on(page, folder):
    begin_set(page)
    page.fill("#new-search", "id:<=140")
    page.click("form:has(#new-search) button")
    page.wait_for_selector(".rows li:nth-child(2)")
    page.fill("input[name=name]", "stopped")
    page.select_option("select[name=format]", "webp")
    page.click("button:text-is('Save')")
    page.wait_for_selector("#export-title ~ form")
    page.click("button:has-text('Export into')")
    page.click("button:text-is('Stop')")
    expect(page.locator("#state")).to_have_text("stopped", timeout=120_000)
    assert page.locator("progress").count() == 0
    page.click("button:has-text('Export into')")
    expect(page.locator("#state")).to_have_text("finished", timeout=120_000)
    assert len(list((folder / "work" / "stopped").rglob("*.webp"))) == 140


def test_everything_can_be_done_by_keyboard(page):
    page.goto("/")
    keys = page.keyboard
    keys.press("/")
    keys.type("sol")
    page.wait_for_selector("#suggestions li")
    keys.press("Tab")
    keys.press("Enter")
    page.wait_for_url("**q=solo*")
    page.focus("#card-150 .open")
    keys.press("ArrowRight")
    keys.press("Enter")
    page.wait_for_url("**/post/147*")
    keys.press("k")
    page.wait_for_selector("main.kept")
    keys.press("ArrowRight")
    page.wait_for_url("**/post/144*")
    keys.press("a")
    page.wait_for_url("**/post/147*")
    keys.press("k")
    page.wait_for_selector("main:not(.kept)")
    keys.press("Escape")
    page.wait_for_url("**/?q=solo*")
    keys.press("?")
    assert page.locator("#keys").is_visible()


@pytest.mark.parametrize(("theme", "rules"), [("light", []), ("dark", ["color-contrast"])])
def test_nobody_is_kept_out(page, theme, rules):
    page.emulate_media(color_scheme=theme)
    for path in ("/?q=solo id:>120", "/?q=(", "/post/5?q=1girl", "/set"):
        load(page, path)
        if page.locator(".charts").count():
            page.click(".charts summary")
            page.wait_for_selector(".plot")
        problems = serious(page, *rules)
        assert problems == [], path
    page.keyboard.press("?")
    assert serious(page, *rules) == []


def test_a_narrow_screen_needs_no_scrolling_sideways(page):
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/", "/post/5?q=1girl", "/set"):
        load(page, path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
