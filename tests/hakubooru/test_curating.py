"""The steps of a recipe."""

from __future__ import annotations

import pytest

import hakubooru as hb
from hakubooru.errors import RecipeError

RECIPE = """
seed = 3
filter = ["without_deleted"]

[[steps]]
search = "1girl"
[[steps]]
sample_per = "rating"
at_most = 5
[[steps]]
sample = 3
off = true
[[steps]]
keep = [1, 2, 3]
[[steps]]
drop = [2]
"""


def test_the_steps_run_in_their_order_and_one_that_is_off_does_not(db):
    recipe = hb.Recipe.parse(RECIPE, "mine")
    expected = db.posts.without_deleted().search("1girl").sample_per("rating", at_most=5, seed=3)
    assert set(recipe.select(db).to_ids()) == ({*expected.to_ids()} | {1, 2, 3}) - {2}


def test_order_limit_and_a_strict_bound(db):
    text = "seed = 2\n[[steps]]\nsample_per = 'artist'\nat_most = 5\nstrict = true\n"
    recipe = hb.Recipe.parse(text + "[[steps]]\norder = '-score'\n[[steps]]\nlimit = 3\n", "mine")
    expected = db.posts.sample_per("artist", at_most=5, strict=True, seed=2).order_by("-score").limit(3)
    assert recipe.select(db) == expected
    assert expected.count() == 3


def test_samples_of_steps_are_scaled(db):
    recipe = hb.Recipe.parse("[[steps]]\nsample = 100\n[[steps]]\nsample = 0.5", "mine")
    assert recipe.select(db, scale=0.5).count() == 25


@pytest.mark.parametrize(
    "table",
    [
        'search = "1girl solo"',
        'filter = "with_image"',
        "sample = 0.5",
        'sample_per = "character"\nat_most = 200',
        'sample_per = "character"\nat_most = 200\nstrict = true\noff = true',
        'sample_weighted = "score"\nsample = 10',
        'order = ["-score", "id"]',
        "limit = 10",
        'best_of_family = "score"',
        "keep = [1, 2]\noff = true",
    ],
)
def test_a_step_is_read_from_its_own_table(table):
    (step,) = hb.Recipe.parse(f"[[steps]]\n{table}", "mine").steps
    assert type(step).parse(step.table()) == step


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('serch = "solo"', "did you mean 'search'"),
        ('search = "(solo"', "never closed"),
        ('filter = "with_imag"', "did you mean 'with_image'"),
        ("sample = 1.5", "a fraction from 0.0 to 1.0"),
        ('sample_per = "character"', "needs at_most"),
        ('sample_per = "character"\nat_most = 1\nstrict = 1', "strict .* must be true or false"),
        ("sample = 5\nstrict = true", "has no key 'strict'"),
        ("order = 5", "a list of columns"),
        ("order = []", "a list of columns"),
        ("limit = 0.5", "a number of posts"),
        ("keep = 5", "a list of post ids"),
        ('drop = ["a"]', "a list of post ids"),
        ("keep = [1]\ndrop = [2]", "each .*steps.* is one step"),
        ("keep = [1]\noff = 1", "true or false"),
    ],
)
def test_a_wrong_step_is_named(table, message):
    with pytest.raises(RecipeError, match=message):
        hb.Recipe.parse(f"[[steps]]\n{table}", "mine")


def test_the_seed_counts_for_random_posts_of_searches(db):
    in_query = hb.Recipe.parse('seed = 3\nquery = "random:5"', "mine").select(db)
    in_step = hb.Recipe.parse('seed = 3\n[[steps]]\nsearch = "random:5"', "mine").select(db)
    other = hb.Recipe.parse('query = "random:5"', "mine").select(db)
    assert in_query == in_step == db.posts.search("random:5", seed=3)
    assert set(in_query.to_ids()) != set(other.to_ids()) == set(db.posts.search("random:5").to_ids())
