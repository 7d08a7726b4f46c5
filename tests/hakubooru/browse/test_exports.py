"""Exports that are started from the page: processes of their own."""

from __future__ import annotations

import shutil
import time

import pytest

import hakubooru as hb
from gallery import browsing
from hakubooru.browse.exports import Exports
from hakubooru.errors import InputError

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(gallery, tmp_path):
    """A copy of the gallery for one test, with a recipe."""
    shutil.copytree(gallery, tmp_path, dirs_exist_ok=True)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "mine.toml").write_text('query = "id:..100"\n')
    return tmp_path


def exports(folder):
    return Exports(folder / "gallery.db", folder / "work", [str(folder / "images")])


def final_state(exports, name):
    for _ in range(600):
        state = exports.watch(name)
        if not state.is_running:
            return state
        time.sleep(0.1)
    raise AssertionError(state)


def test_an_export_outlives_what_started_it_and_is_seen_by_the_next(folder):
    exports(folder).start("mine", sink="folder")
    another = exports(folder)
    assert another.watch("mine").is_running
    with pytest.raises(InputError, match="running already"):
        another.start("mine", sink="folder")
    state = final_state(another, "mine")
    assert state.state == "finished"
    assert "100 of 100 posts" in state.log
    assert hb.verify(folder / "work" / "mine").is_good


@pytest.mark.kill
def test_an_export_is_stopped_and_goes_on(folder):
    some = exports(folder)
    some.start("mine", sink="webdataset")
    some.stop("mine")
    assert final_state(some, "mine").state == "stopped"
    some.start("mine", sink="webdataset")
    assert final_state(some, "mine").state == "finished"


def test_an_export_that_fails_says_why(folder):
    (folder / "work" / "mine.toml").write_text("querry = 1\n")
    some = exports(folder)
    some.start("mine", sink="folder")
    state = final_state(some, "mine")
    assert (state.state, state.code) == ("failed", 2)
    assert "did you mean 'query'" in state.log


def test_what_cannot_be_exported_is_refused(folder):
    with pytest.raises(InputError, match="--images"):
        Exports(folder / "gallery.db", folder / "work", []).start("mine", sink="folder")
    with pytest.raises(InputError, match="no sink"):
        exports(folder).start("mine", sink="folders")
    assert exports(folder).watch("mine") is None


def test_the_browser_closes_while_an_export_runs(folder):
    with browsing(folder) as browser:
        browser.session.exports.start("mine", sink="captions")
    assert "100 of 100 posts" in final_state(exports(folder), "mine").log
