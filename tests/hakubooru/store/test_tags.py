import pytest

import hakubooru as hb

NAMES = ["1girl", "solo", "hatsune_miku", "hatsune_mika", ">:q", "it's", '"quoted"', "100%", "東方"]


@pytest.fixture
def db(tmp_path):
    with hb.create(tmp_path / "tags.db") as database:
        for number, name in enumerate(NAMES, 1):
            database.rows("INSERT INTO tag VALUES (?, ?, 0, ?)", [number, name, number])
        yield database


@pytest.mark.parametrize("name", NAMES)
def test_a_tag_is_found_by_its_name(db, name):
    assert db.tags[name].name == name
    assert name in db.tags


def test_an_unknown_tag_is_told_with_the_nearest(db):
    with pytest.raises(hb.HakubooruError, match="no tag 'hatsune_mikuu'; similar tags: hatsune_miku"):
        db.tags["hatsune_mikuu"]
    with pytest.raises(hb.HakubooruError, match="no tag is similar to it"):
        db.tags["qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq"]
    assert "hatsune_mikuu" not in db.tags


def test_among_equally_near_names_the_popular_comes_first(db):
    assert db.tags.nearest("hatsune_mik")[:2] == ["hatsune_mika", "hatsune_miku"]


def test_thousands_of_names_are_checked_at_once(db):
    with pytest.raises(hb.HakubooruError, match="no tag"):
        db.tags.check(f"unknown_{number}" for number in range(3000))


def test_tags_can_be_counted_and_iterated(db):
    assert len(db.tags) == len(NAMES)
    assert [tag.name for tag in db.tags] == NAMES


@pytest.fixture
def with_aliases(db):
    db.rows(
        'CREATE TABLE "tagalias" ("alias" VARCHAR(255) NOT NULL PRIMARY KEY, "name" VARCHAR(255) NOT NULL)'
    )
    rows = [("sole_female", "1girl"), ("/m", "hatsune_miku"), ("nowhere", "not_a_tag"), ("it's_me", "it's")]
    for row in rows:
        db.rows("INSERT INTO tagalias VALUES (?, ?)", row)
    return db


def test_aliases_are_those_of_tags_that_the_file_has(with_aliases):
    names = ["sole_female", "/m", "nowhere", "solo", "it's_me"]
    assert with_aliases.tags.aliases(names) == {
        "sole_female": "1girl",
        "/m": "hatsune_miku",
        "it's_me": "it's",
    }


def test_a_file_without_aliases_knows_none(db):
    assert db.tags.aliases(["sole_female"]) == {}


def test_an_alias_is_told_and_found_when_mistyped(with_aliases):
    with pytest.raises(hb.HakubooruError, match="no tag 'sole_female': it is an alias, write 1girl instead"):
        with_aliases.tags["sole_female"]
    assert with_aliases.tags.nearest("sole_femal") == ["1girl"]
    assert "sole_female" not in with_aliases.tags
