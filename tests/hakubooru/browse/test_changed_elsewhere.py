"""What changes beside the page: another window, another program, the folder, the database."""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing

import pytest

from gallery import ask, browsing
from hakubooru.browse.draft import Draft
from hakubooru.curating import RecipeStep
from hakubooru.errors import InputError


@pytest.fixture
def browser(gallery, tmp_path):
    """A running browser of a copy of the gallery for one test."""
    shutil.copytree(gallery, tmp_path / "gallery")
    with browsing(tmp_path / "gallery") as browser:
        browser.session.draft.clear()
        yield browser


def change(browser, how, **form):
    return ask(browser.url, f"/set/{how}", form=form, **{"HX-Request": "true"})


def mark_of(page, label):
    """The mark in the form of a button or field that a page has."""
    form = next(form for form in re.findall(r"<form.*?</form>", page.text, re.DOTALL) if label in form)
    return re.search(r'name="seen" value="(\w+)"', form)[1]


def test_a_step_that_an_old_page_shows_is_not_another_step_now(browser):
    for word in ("1girl", "solo", "rating:g"):
        change(browser, "add", kind="search", value=word)
    old = ask(browser.url, "/set")
    mark = mark_of(old, "Remove: search solo")
    assert change(browser, "remove", place="0", seen=mark).status == 200
    for how in ("remove", "switch", "up", "down", "replace"):
        answer = change(browser, how, place="1", seen=mark, kind="search", value="1boy")
        assert answer.status == 422
        assert "the steps have changed in another page" in answer.text
    assert [step.value for step in browser.session.draft.steps] == ["solo", "rating:g"]
    assert change(browser, "remove", place="1", seen=mark_of(answer, "Remove: search rating:g")).status == 200
    assert [step.value for step in browser.session.draft.steps] == ["solo"]


def test_settings_that_an_old_page_shows_are_not_saved_over_newer_ones(browser):
    mark = mark_of(ask(browser.url, "/set"), ">Save<")
    assert change(browser, "save", name="mine", seed="7", seen=mark).status == 200
    answer = change(browser, "save", name="mine", seed="0", seen=mark)
    assert (answer.status, browser.session.draft.recipe().seed) == (422, 7)
    change(browser, "add", kind="limit", value="5")  # steps are no settings
    assert change(browser, "save", name="mine", seed="8", seen=mark_of(answer, ">Save<")).status == 200


def test_a_page_does_not_leave_a_data_set_that_it_does_not_show(browser):
    old = ask(browser.url, "/set")
    change(browser, "add-stratum", low="5", high="9")
    page = ask(browser.url, "/set")
    assert (
        page.text.count("This data set is not saved. Leave it?") == 2
    )  # a range of ids is worth the question, too
    for how, label in (("new", ">New<"), ("open", ">Open<")):
        answer = change(browser, how, name="epsilon", seen=mark_of(old, label))
        assert (answer.status, answer.headers["hx-reswap"]) == (422, "outerHTML")
        assert "was changed in another page and is not saved" in answer.text
    assert browser.session.draft.selection().to_ids().tolist() == [5, 6, 7, 8]
    assert change(browser, "new", seen=mark_of(page, ">New<")).status == 200
    assert browser.session.draft.selection().count() == 150


def test_a_recipe_that_was_edited_elsewhere_is_neither_lost_nor_exported_unseen(db, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    draft = Draft(db, tmp_path)
    draft.settle("mine")
    draft.add(RecipeStep(kind="limit", value=5))
    path = draft.save()
    text = path.read_text(encoding="utf-8")
    path.write_text(text + "# mine\n", encoding="utf-8")
    for each_draft in (draft, Draft(db, tmp_path)):  # another start of the browser knows it, too
        with pytest.raises(InputError, match=r"mine\.toml was changed in another program: open it again"):
            each_draft.save()
    draft.open("mine")
    assert draft.save().read_text(encoding="utf-8").endswith("# mine\n")  # nothing to save: comments stay
    draft.add(RecipeStep(kind="limit", value=4))
    assert "# mine" not in draft.save().read_text(encoding="utf-8")
    path.unlink()
    assert draft.save().is_file()


def test_a_pick_that_is_switched_off_is_none(db, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    draft = Draft(db, tmp_path)
    draft.add(RecipeStep(kind="limit", value=0))
    draft.add(RecipeStep(kind="keep", value=(3,), off=True))
    assert draft.picked("keep") == frozenset()
    assert draft.pick("keep", 3)
    assert draft.selection().to_ids().tolist() == [3]


def test_a_folder_or_database_that_is_gone_is_named(browser, tmp_path):
    work = browser.session.exports._work
    work.rename(tmp_path / "moved")
    assert ask(browser.url, "/set").status == 200
    assert "No such file" in change(browser, "save", name="mine").text
    (tmp_path / "moved").rename(work)
    with closing(sqlite3.connect(browser.session.database.path)) as file:
        file.execute("DROP TABLE posttagrelation")
    answer = ask(browser.url, "/?q=solo")
    assert answer.status == 500
    assert (
        "no such table: posttagrelation. The database or the folder for recipes is not any more"
        in answer.text
    )
