"""The data set in the making: its steps, picks by hand, saving and opening."""

from __future__ import annotations

import pytest

import hakubooru as hb
from hakubooru.browse import Browser
from hakubooru.browse.draft import UNNAMED, Draft
from hakubooru.curating import RecipeStep
from hakubooru.errors import InputError, RecipeError

RECIPE = """
description = "portraits"
seed = 4
filter = ["without_deleted"]
query = "1girl"

[[strata]]
ids = [0, 100]
sample = 50

[[steps]]
sample_per = "rating"
at_most = 5

[caption]
base = "kohaku-delta"
max_tags = 30

[image]
format = "webp"
"""


@pytest.fixture
def draft(db, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "work").mkdir()
    return Draft(db, tmp_path / "work")


def search(text):
    return RecipeStep(kind="search", value=text)


def words(draft):
    return [row.words for row in draft.rows()]


def test_rows_count_the_posts_after_each_step(draft, db):
    draft.add(search("1girl"))
    draft.add(RecipeStep(kind="sample", value=10))
    draft.add(RecipeStep(kind="keep", value=(1, 2, 3)))
    girls, picks = db.posts.search("1girl").count(), draft.selection().count()
    assert [(row.posts, row.removed) for row in draft.rows()] == [
        (200, None),
        (girls, 200 - girls),
        (10, girls - 10),
        (picks, 10 - picks),
    ]
    draft.move(2, -1)
    assert words(draft) == ["all posts", "search 1girl", "keep 3 posts by id", "a sample of 10"]
    draft.switch(1)
    assert [row.posts for row in draft.rows()] == [200, girls, None, 10]
    draft.remove(0)
    assert draft.selection() == db.posts.sample(10, seed=0)


def test_strata_are_joined_and_taken_away(draft, db):
    draft.add_stratum(0, 50, 10)
    draft.add_stratum(150, None, None)
    draft.add(RecipeStep(kind="limit", value=5))
    expected = db.posts.ids(0, 50).sample(10, seed=0) | db.posts.ids(150)
    assert draft.selection() == expected.limit(5)
    assert words(draft) == ["10 of ids 0 to 50; all of ids 150 to the end", "the first 5"]
    with pytest.raises(InputError, match="is empty"):
        draft.add_stratum(9, 9, None)
    draft.clear_strata()
    assert words(draft)[0] == "all posts"


def test_a_step_that_cannot_run_is_named_and_the_next_ones_wait(draft):
    draft.add(RecipeStep(kind="sample", value=1000))
    draft.add(search("1girl"))
    rows = draft.rows()
    assert "1,000" in rows[1].problem
    assert [row.posts for row in rows] == [200, None, None]


def test_a_post_is_kept_or_dropped_or_neither(draft):
    draft.add(search("id:1..5"))
    assert draft.pick("keep", 9)
    assert draft.pick("keep", 8)
    assert draft.pick("drop", 2)
    assert draft.pick("drop", 8)
    assert not draft.pick("drop", 2)
    assert draft.selection().to_ids().tolist() == [1, 2, 3, 4, 5, 9]
    assert words(draft) == ["all posts", "search id:1..5", "keep 1 post by id", "drop 1 post by id"]
    draft.add(search("id:2.."))
    draft.pick("keep", 1)
    assert draft.selection().to_ids().tolist() == [1, 2, 3, 4, 5, 9]


def test_a_recipe_is_opened_and_saved_with_everything_in_it(draft, db, tmp_path):
    (tmp_path / "work" / "mine.toml").write_text(RECIPE)
    recipe = hb.Recipe.load(tmp_path / "work" / "mine.toml")
    draft.open("mine")
    assert words(draft)[1:] == ["without deleted", "search 1girl", "at most 5 per rating"]
    assert draft.is_saved
    draft.settle("second", seed=5)
    assert not draft.is_saved
    second = hb.Recipe.load(draft.save())
    assert second.name == "second"
    assert (second.strata, second.caption, second.image) == (recipe.strata, recipe.caption, recipe.image)
    draft.settle("second", seed=4)
    assert draft.selection() == recipe.select(db)
    assert draft.saved()[:2] == ["mine", "second"]


def test_a_recipe_that_ships_is_opened_by_its_name(draft):
    draft.open("epsilon")
    assert draft.name == "epsilon"
    assert draft.recipe() == hb.Recipe.parse(draft.text(), "epsilon")
    with pytest.raises(RecipeError, match="save one of that name first"):
        draft.open("nothing")


def test_what_was_not_saved_is_there_the_next_time(draft, db, tmp_path):
    draft.add(search("1girl"))
    draft.settle("mine")
    second = Draft(db, tmp_path / "work")
    assert (second.name, second.steps, second.is_saved) == ("mine", draft.steps, False)
    second.save()
    assert Draft(db, tmp_path / "work").is_saved
    assert Draft(db, tmp_path / "other").name == UNNAMED
    second.clear()
    assert Draft(db, tmp_path / "work").steps == []


@pytest.mark.slow
def test_what_was_not_saved_is_kept_when_the_browser_begins_with_a_recipe(draft, db, tmp_path):
    work = tmp_path / "work"
    (tmp_path / "theirs.toml").write_text(RECIPE)
    draft.add(search("1girl"))
    draft.settle("mine")
    with pytest.warns(UserWarning, match="recipe mine-unsaved, in"):
        browser = Browser(db, recipe="epsilon", work=work)
    with browser:
        assert browser.session.draft.name == "epsilon"
        assert "mine-unsaved" in browser.session.draft.saved()
    assert [step.value for step in hb.Recipe.load(work / "mine-unsaved.toml").steps] == ["1girl"]
    for recipe in ("epsilon", tmp_path / "theirs.toml", "epsilon"):
        assert Draft(db, work).begin(recipe) is None  # the page has not changed what is replaced
    draft.add(search("solo"))
    draft.settle("mine")
    with pytest.raises(RecipeError):
        Draft(db, work).begin("nothing")
    assert Draft(db, work).begin("epsilon") == work / "mine-unsaved-2.toml"
    assert sorted(path.stem for path in work.iterdir()) == ["mine-unsaved", "mine-unsaved-2"]


def test_joined_columns_come_from_the_work_folder_alone(draft, db, tmp_path):
    work = tmp_path / "work"
    (work / "scores.csv").write_text("id,score\n3,0.9\n4,0.2\n")
    (tmp_path / "outside.csv").write_text("id,score\n3,0.9\n")
    for odd in ("notes.txt", "two words.csv", ".hidden.csv"):
        (work / odd).write_text("id,score\n3,0.9\n")
    assert draft.joinable() == ["scores.csv"]
    for file in ("../outside.csv", str(tmp_path / "outside.csv"), "two words.csv", "none.csv", ""):
        with pytest.raises(InputError, match="has no file"):
            draft.join("silva", file)
    with pytest.raises(InputError, match="small letters"):
        draft.join("Silva", "scores.csv")
    draft.join("silva", "scores.csv")
    draft.add(search("silva:>0.5"))
    assert draft.selection().to_ids().tolist() == [3]
    draft.settle("joined")
    with hb.open(db.path) as other:
        assert hb.Recipe.load(draft.save()).select(other).to_ids().tolist() == [3]


def test_values_that_are_not_joined_any_more_are_not_known(draft, tmp_path):
    for name, row in (("first", "3,1"), ("second", "4,1")):
        (tmp_path / "work" / f"{name}.csv").write_text(f"id,score\n{row}\n")
    draft.join("silva", "first.csv")
    draft.add(search("silva:1"))
    draft.unjoin("silva")
    assert "silva" in draft.rows()[1].problem
    draft.join("silva", "second.csv")
    assert draft.rows()[1].posts == 1
    draft.clear()
    draft.join("silva", "first.csv")
    draft.add(search("silva:1"))
    assert draft.selection().to_ids().tolist() == [3]


def test_a_step_is_changed_in_its_place(draft):
    draft.add(search("1girl"))
    draft.add(RecipeStep(kind="limit", value=3))
    draft.switch(0)
    draft.replace(0, search("solo"))
    assert words(draft) == ["all posts", "search solo", "the first 3"]
    assert draft.steps[0].off


def test_another_recipe_is_not_replaced(draft):
    draft.settle("mine")
    draft.save()
    draft.check_free("mine")
    draft.clear()
    with pytest.raises(InputError, match="another recipe is called mine"):
        draft.check_free("mine")


def test_a_name_and_values_are_checked_before_anything_changes(draft):
    draft.settle("good")
    for name, options in [("../bad", {}), ("nul", {}), ("x", {"seed": "a"}), ("x", {"caption": "epsilom"})]:
        with pytest.raises(InputError):
            draft.settle(name, **options)
    assert (draft.name, draft.other) == ("good", {})
    with pytest.raises(InputError, match="load this page again"):
        draft.remove(3)
    draft.clear()
    with pytest.raises(InputError, match="a name first"):
        draft.save()
