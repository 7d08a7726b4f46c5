"""What notebooks pass by mistake, or may well pass: a path for a database, a score without its name, one path for a list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hakubooru as hb
from pictures import picture, write_tar


@pytest.fixture
def db(path):
    with hb.open(path) as database:
        yield database


WRONG = {
    "a path for a database": (
        lambda db: hb.Captioner("posts.db"),
        r"Captioner\(\) takes an open database: write Captioner\(hb.open\('posts.db'\)\)",
    ),
    "a Path for a database": (lambda db: hb.Captioner(Path("a.db")), r"write Captioner\(hb.open\('a.db'\)\)"),
    "a selection for a database": (lambda db: hb.Captioner(db.posts), "takes an open database"),
    "a recipe on a path": (
        lambda db: hb.Recipe.load("epsilon").select("a.db"),
        r"write select\(hb.open\('a.db'\)\)",
    ),
    "a score": (
        lambda db: hb.score(20),
        r"^score\(\) takes arguments by name: write score\(min=…, max=…\)$",
    ),
    "a score of a selection": (lambda db: db.posts.score(20), r"write score\(min=…, max=…\)"),
    "a year": (lambda db: db.posts.date(2020), r"write date\(min=…, max=…\)"),
    "a width": (lambda db: hb.size(width=3), r"unexpected keyword argument 'width': write size\(min_width=…"),
    "no argument": (lambda db: hb.banned("yes"), r"^banned\(\) takes no arguments: write banned\(\)$"),
    "several ids for a list": (
        lambda db: db.posts.among(1, 2),
        r"^among\(\) takes 1 argument: write among\(ids\)$",
    ),
    "no seed": (
        lambda db: db.posts.sample(5),
        r"missing 1 required keyword-only argument: 'seed': write sample\(n, fraction=…, seed=…\)",
    ),
    "a column by []": (lambda db: db.posts["score"], r"write \[0\] or \[:10\], or .to_pandas"),
    "a table to join": (lambda db: db.join("silva", pd.DataFrame({"id": [1]})), "not from a DataFrame"),
    "a text of ids": (lambda db: list(hb.Captioner(db).captions("34")), "not '34'"),
    "a number of places": (lambda db: db.posts.export("out", images=5), "a place is a path or a URL"),
    "a list of numbers": (lambda db: hb.find_archives([5]), "a place is a path or a URL"),
    "a number of images to show": (lambda db: db.posts.show(5), "a place is a path or a URL"),
    "a number for a dump": (lambda db: hb.build(5, "out.db"), "a place is a path or a URL"),
    "a text of workers": (lambda db: db.posts.export("out", sink="captions", workers="2"), "workers is '2'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_it_is_one_clear_error(db, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    call, message = WRONG[case]
    with pytest.raises(hb.InputError, match=message):
        call(db)


def test_errors_within_a_question_stay_as_they_are(db):
    class Odd:
        def __index__(self):
            raise TypeError("odd")

    with pytest.raises(hb.InputError, match="takes a whole number"):
        db.posts.limit(Odd())
    with pytest.raises(TypeError, match="no truth value"):
        db.posts.where(hb.Post.score and hb.Post.id)


def test_a_selection_is_a_list_of_ids(db, tmp_path):
    some = db.posts.limit(3)
    assert db.posts.among(some).to_ids().tolist() == [1, 2, 3]
    assert [number for number, _ in hb.Captioner(db).captions(some)] == [1, 2, 3]
    hb.write_ids(tmp_path / "ids.txt", some)
    assert hb.read_ids(tmp_path / "ids.txt").tolist() == [1, 2, 3]


@pytest.mark.parametrize("form", [str, Path, lambda path: [path], lambda path: (str(path) for _ in range(1))])
def test_one_place_is_a_list_of_places(db, tmp_path, form):
    write_tar(tmp_path / "set" / "0001.tar", {"1.webp": picture(1), "2.webp": picture(2)})
    archives = hb.find_archives(form(tmp_path / "set"))
    for ids in ({1, 2, 9}, [9, 2, 1, 1], db.posts.limit(2), pd.Series([1, 2]), np.array([1, 2])):
        (group,) = hb.census(archives, ids)
        assert (group.images, group.wanted) == (2, 2)
    assert db.posts.limit(2).export(tmp_path / "out", images=form(tmp_path / "set")).exported == 2


def test_a_caption_format_may_be_the_path_of_a_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('caption = "danbooru"\n', encoding="utf-8")
    assert hb.caption_format(file) == hb.caption_format("danbooru")
