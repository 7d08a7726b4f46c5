from __future__ import annotations

from dataclasses import replace

import pytest

import hakubooru as hb
from booru import TAGS, post_row, write, write_random
from hakubooru.caption import caption_format
from hakubooru.errors import InputError, RecipeError, SampleError
from hakubooru.recipe import shipped


def test_epsilon_is_exactly_the_published_selection(db):
    expected = (
        (
            db.posts.ids(0, 2_000_000).sample(1_000_000, seed=1)
            | db.posts.ids(2_000_000, 5_000_000).sample(2_000_000, seed=1)
            | db.posts.ids(5_000_000)
        )
        .without_deleted()
        .without_gold()
        .with_image()
    )
    recipe = hb.Recipe.load("epsilon")
    assert recipe.select(db) == expected
    assert recipe.caption == "kohaku-epsilon"
    assert recipe.last_id == 7_350_000


def test_scale_multiplies_bounds_and_samples(db):
    scaled = hb.Recipe.load("epsilon").select(db, scale=0.00002)
    assert repr(scaled).count("id:0...40, sample of 20, seed 1") == 1
    assert "id:40...100, sample of 40, seed 1" in repr(scaled)
    assert "id:>=100" in repr(scaled)


@pytest.mark.parametrize(("count", "beyond"), [(146, None), (147, 147), (200, 147)])
def test_says_when_the_file_goes_further(tmp_path, count, beyond):
    write_random(tmp_path / "a.db", count=count)
    with hb.open(tmp_path / "a.db") as db:
        assert hb.Recipe.load("epsilon").beyond(db, scale=0.00002) == beyond


def test_every_shipped_recipe_loads():
    assert shipped() == ["delta", "epsilon", "safe-portraits"]
    for name in shipped():
        assert hb.Recipe.load(name).description


def test_a_file_of_ones_own(tmp_path, db):
    file = tmp_path / "mine.toml"
    file.write_text("seed = 3\n[[strata]]\nids = [10, 60]\nsample = 0.5\n", encoding="utf-8")
    recipe = hb.Recipe.load(file)
    assert recipe.name == "mine"
    assert recipe.select(db) == db.posts.ids(10, 60).sample(fraction=0.5, seed=3)


def test_delta_is_as_published(db):
    expected = (
        (
            db.posts.ids(0, 3_000_000).sample(1_000_000, seed=1)
            | db.posts.ids(3_000_000, 5_000_000).sample(1_000_000, seed=1)
            | db.posts.ids(5_000_000)
        )
        .without_deleted()
        .without_gold()
        .with_image()
    )
    recipe = hb.Recipe.load("delta")
    assert recipe.select(db) == expected
    assert recipe.caption == "kohaku-delta"


def test_a_query_comes_last(tmp_path, db):
    text = 'seed = 3\nquery = "solo rating:g order:score limit:5"\nfilter = ["with_image"]\n[[strata]]\nids = [10]\n'
    recipe = hb.Recipe.parse(text, "mine")
    expected = db.posts.ids(10).with_image().search("solo rating:g order:score limit:5")
    assert recipe.select(db) == expected
    assert 0 < expected.count() <= 5


def test_safe_portraits_find_what_they_say(tmp_path):
    bags = {
        1: ["solo", "portrait"],
        2: ["solo", "upper_body"],
        3: ["solo"],
        4: ["upper_body", "multiple_views"],
        5: ["solo", "portrait", "comic"],
        6: ["solo", "portrait"],
        7: ["solo", "portrait"],
    }
    upright = {"image_width": 800, "image_height": 1000, "fav_count": 5}
    rows = [post_row(post_id, **upright) for post_id in bags]
    rows[5]["rating"] = "sensitive"
    rows[6]["image_width"] = 810
    extra = [("portrait", "general"), ("upper_body", "general"), ("multiple_views", "general")]
    write(tmp_path / "a.db", rows, bags.__getitem__, tags=[*TAGS, *extra])
    with hb.open(tmp_path / "a.db") as db:
        assert hb.Recipe.load("safe-portraits").select(db).to_ids().tolist() == [1, 2]


def test_a_caption_format_of_ones_own(db):
    recipe = hb.Recipe.parse('[caption]\nbase = "kohaku-delta"\nmax_tags = 2\n', "mine")
    assert recipe.caption == replace(caption_format("kohaku-delta"), max_tags=2)
    assert all(caption for _, caption in recipe.select(db).captions(recipe.caption))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = ", "not TOML"),
        ("sed = 1", "no key 'sed'; did you mean 'seed'"),
        ("seed = 1.5", "whole number"),
        ("seed = true", "whole number"),
        ("caption = 3", "caption: 3 is not a caption format"),
        ('caption = "kohaku-epsilom"', "caption: .*kohaku-epsilon"),
        ("[caption]\nbase = 'kohaku-delta'\nmax_tag = 5", "caption: .*max_tags"),
        ("query = 5", "text in quotes"),
        ('query = "1girl (solo"', r"query: .*\n"),
        ('query = "pool:5"', "query: .*cannot be answered"),
        ('filter = "with_image"', "is not a list"),
        ('filter = ["with_images"]', "did you mean 'with_image'"),
        ("strata = 5", "is not a list of tables"),
        ("strata = [5]", r"\[\[strata\]\]"),
        ("[[strata]]\nsample = 5", "strata.ids is missing"),
        ("[[strata]]\nids = [5, 5]", "is empty: the upper end is not included"),
        ("[[strata]]\nids = [1, 2, 3]", "from, up to"),
        ("[[strata]]\nids = [-1]", "from, up to"),
        ("[[strata]]\nids = [1]\nsample = 1.5", "fraction"),
        ("[[strata]]\nids = [1]\nsize = 5", "no key 'size'"),
        ("sed = 1\nlast_id = true", "2 things are wrong: .*'seed'.*last_id = true; write a whole number"),
    ],
)
def test_mistakes_name_the_place(tmp_path, text, message):
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=message) as caught:
        hb.Recipe.load(file)
    assert "mine.toml" in str(caught.value)


def test_unknown_recipe_names_those_that_ship():
    with pytest.raises(RecipeError, match="epsilon"):
        hb.Recipe.load("epsilom")


@pytest.mark.parametrize("scale", [0, -1, float("nan"), 1e-9])
def test_scales_that_leave_nothing(db, scale):
    with pytest.raises(RecipeError, match="scale"):
        hb.Recipe.load("epsilon").select(db, scale=scale)


def test_a_recipe_can_say_its_captions_in_full(db):
    recipe = hb.Recipe.parse('seed = 1\n[caption]\nbase = "webui"\nbefore = "anime"\n', "mine")
    [(_, text)] = recipe.select(db).limit(1).captions(recipe.caption)
    assert text.startswith("anime, ")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_of_a_windows_editor_is_read(tmp_path, encoding):
    text = 'seed = 1\r\nfilter = ["without_deleted"]\r\n[caption]\r\nbase = "danbooru"\r\nbefore = "★"\r\n'
    (tmp_path / "mine.toml").write_bytes(text.encode(encoding))
    assert hb.Recipe.load(tmp_path / "mine.toml").filter == ("without_deleted",)
    assert caption_format(str(tmp_path / "mine.toml")).before == "★"


def test_a_file_without_posts_is_not_too_small_for_a_recipe(tmp_path):
    recipe = hb.Recipe.parse("[[strata]]\nids = [0, 10]\nsample = 5", "some")
    with hb.create(tmp_path / "empty.db") as empty:
        recipe.check(empty)  # raises nothing; the sample itself says what is missing
        with pytest.raises(SampleError):
            recipe.select(empty).to_ids()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("query = '1gurl'", "recipe mine: query: the database has no tag '1gurl'"),
        (
            "[[steps]]\nlimit = 5\n[[steps]]\nsearch = '1gurl'",
            "recipe mine: steps, step 2: the database has no tag",
        ),
        ("[[steps]]\norder = ['silva']", "recipe mine: steps, step 1: posts have no column 'silva'"),
        (
            "[join]\nsilva = 'none.csv'",
            "recipe mine: join.silva: none.csv does not exist in the current folder, ",
        ),
    ],
)
def test_what_a_database_cannot_answer_is_named_by_recipe_and_key(path, text, message):
    recipe = hb.Recipe.parse(text, "mine")
    with hb.open(path) as db, pytest.raises(InputError) as caught:
        recipe.select(db)
    assert str(caught.value).startswith(message)


def test_a_wrong_step_is_named_by_its_number():
    with pytest.raises(RecipeError, match=r"^mine: steps, step 2: a step has no key 'serch'"):
        hb.Recipe.parse("[[steps]]\nlimit = 5\n[[steps]]\nserch = '1girl'", "mine")
