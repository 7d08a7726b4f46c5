"""Metadata files as they were published earlier, written by plain SQL and by nothing of ours.

CREATE TABLE statements as peewee made them for the models of their day.
"""

import sqlite3
from contextlib import closing

COMMON = (
    '"id" INTEGER NOT NULL PRIMARY KEY, "created_at" VARCHAR(255) NOT NULL, "uploader_id" INTEGER NOT NULL, '
    '"source" VARCHAR(255) NOT NULL, "md5" VARCHAR(255), "parent_id" INTEGER, "has_children" INTEGER NOT NULL, '
    '"is_deleted" INTEGER NOT NULL, "is_banned" INTEGER NOT NULL, "pixiv_id" INTEGER, '
    '"has_active_children" INTEGER NOT NULL, "bit_flags" INTEGER NOT NULL, "has_large" INTEGER NOT NULL, '
    '"has_visible_children" INTEGER NOT NULL, "image_width" INTEGER NOT NULL, "image_height" INTEGER NOT NULL, '
    '"file_size" INTEGER NOT NULL, "file_ext" VARCHAR(255) NOT NULL, "rating" INTEGER NOT NULL, "score" INTEGER NOT NULL, '
    '"up_score" INTEGER NOT NULL, "down_score" INTEGER NOT NULL, "fav_count" INTEGER NOT NULL'
)
URLS = ("file_url", "large_file_url", "preview_file_url")
KINDS = ("general", "artist", "character", "copyright", "meta")
LISTS = ("tag_list", *(f"tag_list_{kind}" for kind in KINDS))
COUNTS = ("tag_count", *(f"tag_count_{kind}" for kind in KINDS))
TAG = (
    (
        'CREATE TABLE "tag" ("id" INTEGER NOT NULL PRIMARY KEY, "name" VARCHAR(255) NOT NULL, "type" INTEGER NOT NULL, '
        '"popularity" INTEGER NOT NULL)'
    ),
    'CREATE UNIQUE INDEX "tag_name" ON "tag" ("name")',
)
RELATION = (
    (
        'CREATE TABLE "posttagrelation" ("id" INTEGER NOT NULL PRIMARY KEY, "post_id" INTEGER NOT NULL, "tag_id" INTEGER NOT NULL, '
        'FOREIGN KEY ("post_id") REFERENCES "post" ("id"), FOREIGN KEY ("tag_id") REFERENCES "tag" ("id"))'
    ),
    'CREATE INDEX "posttagrelation_post_id" ON "posttagrelation" ("post_id")',
    'CREATE INDEX "posttagrelation_tag_id" ON "posttagrelation" ("tag_id")',
)
LOCALPOST = (
    (
        'CREATE TABLE "localpost" ("id" INTEGER NOT NULL PRIMARY KEY, "filepath" VARCHAR(255), "latentpath" VARCHAR(255), '
        '"post_id" INTEGER NOT NULL, FOREIGN KEY ("post_id") REFERENCES "post" ("id"))'
    ),
    'CREATE INDEX "localpost_post_id" ON "localpost" ("post_id")',
)
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def base36(number):
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = DIGITS[digit] + text
    return text or "0"


def in_list(ids, write=base36):
    return "".join(f"${write(tag_id)}#" for tag_id in ids)


def write_generation(path, generation, posts, tags, *, write_id=base36):
    """A file of a generation.

    Args:
        path: where.
        generation: 1 to 4.
        posts: pairs of a row of generation 4 without `updated_at` (26 values) and the ids of its tags, in order.
        tags: (id, name, type) by row.
        write_id: how an id stands in a list.
    """
    nullable = "" if generation > 2 else " NOT NULL"
    columns = COMMON + "".join(f', "{name}" VARCHAR(255){nullable}' for name in URLS)
    if generation <= 2:
        columns += "".join(f', "{name}" TEXT NOT NULL' for name in LISTS[: 6 if generation == 1 else 1])
        columns += "".join(f', "{name}" INTEGER NOT NULL' for name in COUNTS)
    if generation == 4:
        columns += ', "updated_at" VARCHAR(255) NOT NULL'
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f'CREATE TABLE "post" ({columns})')
        for statement in (
            *TAG,
            *(RELATION if generation > 1 else ()),
            *(LOCALPOST if generation == 4 else ()),
        ):
            connection.execute(statement)
        if generation == 1:
            connection.execute(f'CREATE VIRTUAL TABLE "postfts" USING fts5 ({", ".join(LISTS)})')
        types = {tag_id: kind for tag_id, _, kind in tags}
        for post in posts:
            write_post(connection, generation, post, types, write_id)
        count = [(*tag, sum(tag[0] in ids for _, ids in posts)) for tag in tags]
        connection.executemany("INSERT INTO tag VALUES (?, ?, ?, ?)", count)
        connection.commit()
    return path


def write_post(connection, generation, post, types, write_id):
    row, ids = post
    values = [*row]
    if generation <= 2:
        values[-3:] = ["" if url is None else url for url in row[-3:]]
        by_kind = [[tag_id for tag_id in ids if types.get(tag_id) == number] for number in range(5)]
        lists = [in_list(some, write_id) for some in (ids, *by_kind)]
        values += lists[: 6 if generation == 1 else 1]
        values += [len(ids), *map(len, by_kind)]
    if generation == 1:
        insert = f"INSERT INTO postfts (rowid, {', '.join(LISTS)}) VALUES ({', '.join('?' * 7)})"
        connection.execute(insert, [row[0], *lists])
    else:
        pairs = [(row[0], tag_id) for tag_id in ids]
        connection.executemany("INSERT INTO posttagrelation (post_id, tag_id) VALUES (?, ?)", pairs)
    if generation == 4:
        values.append(row[1])
    connection.execute(f"INSERT INTO post VALUES ({', '.join('?' * len(values))})", values)
