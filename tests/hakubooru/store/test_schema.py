import sqlite3
from contextlib import closing

import numpy as np
import pytest

import hakubooru as hb
from hakubooru.store.schema import RATINGS, TAG_TYPES, enum_number

# What HakuBooru 0.0.3 makes, letter for letter.
PUBLISHED = {
    "post": (
        'CREATE TABLE "post" ("id" INTEGER NOT NULL PRIMARY KEY, "created_at" VARCHAR(255) NOT NULL, '
        '"uploader_id" INTEGER NOT NULL, "source" VARCHAR(255) NOT NULL, "md5" VARCHAR(255), "parent_id" INTEGER, '
        '"has_children" INTEGER NOT NULL, "is_deleted" INTEGER NOT NULL, "is_banned" INTEGER NOT NULL, '
        '"pixiv_id" INTEGER, "has_active_children" INTEGER NOT NULL, "bit_flags" INTEGER NOT NULL, '
        '"has_large" INTEGER NOT NULL, "has_visible_children" INTEGER NOT NULL, "image_width" INTEGER NOT NULL, '
        '"image_height" INTEGER NOT NULL, "file_size" INTEGER NOT NULL, "file_ext" VARCHAR(255) NOT NULL, '
        '"rating" INTEGER NOT NULL, "score" INTEGER NOT NULL, "up_score" INTEGER NOT NULL, '
        '"down_score" INTEGER NOT NULL, "fav_count" INTEGER NOT NULL, "file_url" VARCHAR(255), '
        '"large_file_url" VARCHAR(255), "preview_file_url" VARCHAR(255), "updated_at" VARCHAR(255) NOT NULL)'
    ),
    "tag": (
        'CREATE TABLE "tag" ("id" INTEGER NOT NULL PRIMARY KEY, "name" VARCHAR(255) NOT NULL, '
        '"type" INTEGER NOT NULL, "popularity" INTEGER NOT NULL)'
    ),
    "tag_name": 'CREATE UNIQUE INDEX "tag_name" ON "tag" ("name")',
    "posttagrelation": (
        'CREATE TABLE "posttagrelation" ("id" INTEGER NOT NULL PRIMARY KEY, "post_id" INTEGER NOT NULL, '
        '"tag_id" INTEGER NOT NULL, FOREIGN KEY ("post_id") REFERENCES "post" ("id"), '
        'FOREIGN KEY ("tag_id") REFERENCES "tag" ("id"))'
    ),
    "posttagrelation_post_id": 'CREATE INDEX "posttagrelation_post_id" ON "posttagrelation" ("post_id")',
    "posttagrelation_tag_id": 'CREATE INDEX "posttagrelation_tag_id" ON "posttagrelation" ("tag_id")',
    "localpost": (
        'CREATE TABLE "localpost" ("id" INTEGER NOT NULL PRIMARY KEY, "filepath" VARCHAR(255), '
        '"latentpath" VARCHAR(255), "post_id" INTEGER NOT NULL, FOREIGN KEY ("post_id") REFERENCES "post" ("id"))'
    ),
    "localpost_post_id": 'CREATE INDEX "localpost_post_id" ON "localpost" ("post_id")',
}


def definitions(path):
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT name, sql FROM sqlite_master"))


def test_a_created_file_has_the_published_tables_in_which_a_value_may_be_unknown(tmp_path):
    hb.create(tmp_path / "new.db").close()
    created = definitions(tmp_path / "new.db")
    assert [name for name in created if "about" not in name] == list(PUBLISHED)
    post = PUBLISHED["post"].replace(" NOT NULL", "").replace("PRIMARY", "NOT NULL PRIMARY")
    assert {name: created[name] for name in PUBLISHED} == PUBLISHED | {"post": post}


@pytest.mark.parametrize(
    ("names", "value", "number"),
    [
        (RATINGS, "general", 0),
        (RATINGS, "s", 1),
        (RATINGS, 3, 3),
        (TAG_TYPES, "character", 2),
        (TAG_TYPES, "copyright", 3),
        (TAG_TYPES, "meta", 4),
        (TAG_TYPES, "a", 1),
    ],
)
def test_an_enum_takes_names_letters_and_numbers(names, value, number):
    assert enum_number(names, value) == number


@pytest.mark.parametrize("value", ["c", "", "safe", -1, 10, None, 1.0, True, np.True_])
def test_what_an_enum_does_not_know_is_told(value):
    # "c" could be character as well as copyright.
    with pytest.raises(hb.InputError, match="is not one of general, artist"):
        enum_number(TAG_TYPES, value)


def test_rows_speak_of_ratings_and_types_by_name(tmp_path):
    with hb.create(tmp_path / "new.db") as db:
        db.rows("INSERT INTO tag VALUES (1, 'reimu', 2, 0), (2, 'odd', 99, 0)")
        tags = {tag.name: tag.type for tag in db.tags}
        [tag] = db.execute(hb.Tag.select().where(hb.Tag.type == "character"))
    assert tags == {"reimu": "character", "odd": 99}
    assert repr(tag) == "<Tag 1 'reimu' character>"
