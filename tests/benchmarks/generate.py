"""Write a metadata file of the published generation-4 layout, of any size: `python generate.py OUT.db --posts N`.

Tags have the names, types and frequencies of `tests/data/danbooru_tags.csv.gz`, drawn independently of each
other; columns of posts follow what is known of Danbooru's. The same number of posts and seed give the same rows.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

import hakubooru as hb
from hakubooru.store.about import About, write_about

if TYPE_CHECKING:
    from collections.abc import Iterator

TAGS = Path(__file__).parents[1] / "data" / "danbooru_tags.csv.gz"
TAGS_A_POST = 35
POSTS_A_CHUNK = 50_000
IDS_BETWEEN_GAPS = 128  # Danbooru has expunged about one post in a hundred

TYPE_OF_CATEGORY = {0: 0, 1: 1, 3: 3, 4: 2, 5: 4}  # Danbooru's category numbers: the file's numbers
COMMONEST = 0.85  # no tag stands on more than this share of posts

EXTENSIONS = ("jpg", "png", "gif", "mp4", "zip", "webm", "webp", "avif", "swf")
EXTENSION_SHARES = (0.70, 0.275, 0.008, 0.008, 0.005, 0.002, 0.001, 0.0005, 0.0005)
BYTES_A_PIXEL = np.array([0.35, 1.0, 1.0, 2.0, 3.0, 2.0, 0.25, 0.2, 0.5])
RATING_SHARES = (0.22, 0.53, 0.13, 0.12)
# Log-normal fav_count by rating: the 50th and 90th percentiles that HakuBooru published for the 2023 set.
MEDIAN_FAVS = np.array([8, 15, 38, 45])
SPREAD_OF_FAVS = np.log(np.array([27, 56, 132, 190]) / MEDIAN_FAVS) / 1.2816
DELETED, BANNED, GOLD, HAS_PARENT, FROM_PIXIV = 0.045, 0.006, 0.03, 0.12, 0.55

# When Danbooru had received which share of its first 7.35 million posts.
DATES_AND_SHARES = {
    "2005-05-24": 0.0,
    "2008-01-01": 0.02,
    "2010-01-01": 0.08,
    "2012-01-01": 0.145,
    "2015-01-01": 0.26,
    "2017-01-01": 0.355,
    "2019-01-01": 0.46,
    "2021-01-01": 0.585,
    "2022-01-01": 0.68,
    "2023-01-01": 0.80,
    "2024-01-01": 0.965,
    "2024-03-01": 1.0,
}
DATES = np.array(list(DATES_AND_SHARES), "datetime64[s]").astype(np.int64)
SHARE_BY_THEN = np.array(list(DATES_AND_SHARES.values()))

POST_ROW = f"INSERT INTO post VALUES ({', '.join('?' * 27)})"
RELATION_ROW = "INSERT INTO posttagrelation (post_id, tag_id) VALUES (?, ?)"


def generate(path: Path, posts: int, seed: int = 0, *, progress: bool = False) -> Path:
    """Write the file, beside its place first; indexes are built after the rows."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    hb.create(part).close()
    with sqlite3.connect(part) as connection:
        _fill(connection, posts, seed, progress=progress)
    connection.close()
    return part.replace(path)


def _fill(connection: sqlite3.Connection, posts: int, seed: int, *, progress: bool) -> None:
    for setting in (
        "journal_mode = OFF",
        "synchronous = OFF",
        "locking_mode = EXCLUSIVE",
        "cache_size = -200000",
    ):
        connection.execute(f"PRAGMA {setting}")
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql NOT NULL"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f'DROP INDEX "{name}"')
    tags = read_tags(seed)
    popularity = np.zeros(len(tags.names) + 1, np.int64)
    with tqdm(total=posts, unit=" posts", disable=None if progress else True) as bar:
        for chunk in chunks(tags, posts, seed):
            connection.executemany(POST_ROW, zip(*chunk.columns, strict=True))
            connection.executemany(
                RELATION_ROW, zip(chunk.post_ids.tolist(), chunk.tag_ids.tolist(), strict=True)
            )
            popularity += np.bincount(chunk.tag_ids, minlength=len(popularity))
            bar.update(len(chunk.columns[0]))
    rows = zip(tags.ids.tolist(), tags.names, tags.types.tolist(), popularity[tags.ids].tolist(), strict=True)
    connection.executemany("INSERT INTO tag VALUES (?, ?, ?, ?)", sorted(rows))
    connection.commit()
    for _, sql in tqdm(indexes, unit=" indexes", disable=None if progress else True):
        connection.execute(sql)
    write_about(connection, About())  # else each program that opens the file counts NULL
    connection.commit()


@dataclass(frozen=True)
class TagTable:
    """The tags; all arrays are (T,)."""

    names: list[str]
    ids: np.ndarray
    types: np.ndarray
    rates: np.ndarray
    """How often a tag is drawn for a post, on average; doubles fall together afterwards."""


@dataclass(frozen=True)
class Chunk:
    """Rows of some posts: 27 columns, and (R,) pairs of a post and a tag."""

    columns: list[list[Any]]
    post_ids: np.ndarray
    tag_ids: np.ndarray


def read_tags(seed: int) -> TagTable:
    """Tags with ids in no order, and rates that give `TAGS_A_POST` on average."""
    with gzip.open(TAGS, "rt", encoding="utf-8", newline="") as file:
        rows = [(row["name"], int(row["category"]), int(row["post_count"])) for row in csv.DictReader(file)]
    names, categories, counts = zip(*rows, strict=True)
    share = np.array(counts) / sum(counts) * TAGS_A_POST
    for _ in range(20):  # what the commonest tags may not have goes to the others
        share = np.minimum(share, COMMONEST)
        share *= TAGS_A_POST / share.sum()
    return TagTable(
        names=list(names),
        ids=np.random.default_rng([seed, 2**31]).permutation(len(names)) + 1,
        types=np.array([TYPE_OF_CATEGORY[category] for category in categories]),
        rates=-np.log1p(-np.minimum(share, COMMONEST)),
    )


def chunks(tags: TagTable, posts: int, seed: int) -> Iterator[Chunk]:
    """All rows, some posts at a time."""
    for number, start in enumerate(range(0, posts, POSTS_A_CHUNK)):
        random = np.random.default_rng([seed, number])
        place = np.arange(start, min(start + POSTS_A_CHUNK, posts))
        ids = 1 + place + place // IDS_BETWEEN_GAPS
        times = np.interp((place + random.random(len(place))) / posts, SHARE_BY_THEN, DATES).astype(np.int64)
        pairs = _relations(random, tags, len(ids))
        yield Chunk(_post_columns(random, ids, times), ids[pairs // 2**32], pairs % 2**32)


def _relations(random: np.random.Generator, tags: TagTable, posts: int) -> np.ndarray:
    # Drawing each tag a Poisson number of times with rate -log(1 - p) leaves it on a share p of the posts.
    draws = np.repeat(tags.ids, random.poisson(tags.rates * posts))
    return np.unique(random.integers(posts, size=len(draws)) * 2**32 + draws)


def _post_columns(random: np.random.Generator, ids: np.ndarray, times: np.ndarray) -> list[list[Any]]:
    """The 27 columns of `post`, in the order of the published table."""
    count = len(ids)
    rating = random.choice(4, count, p=RATING_SHARES)
    favs = np.exp(random.normal(np.log(MEDIAN_FAVS[rating] + 0.5), SPREAD_OF_FAVS[rating])).astype(np.int64)
    up = (favs * random.uniform(0.6, 1.1, count)).astype(np.int64)
    down = -random.geometric(0.8, count) + 1
    extension = random.choice(len(EXTENSIONS), count, p=EXTENSION_SHARES)
    pixels = np.exp(random.normal(np.log(2.0e6), 0.75, count))
    ratio = np.exp(random.normal(np.log(0.75), 0.3, count))  # width / height
    width = np.clip(np.sqrt(pixels * ratio), 100, 20_000).astype(np.int64)
    height = np.clip(np.sqrt(pixels / ratio), 100, 20_000).astype(np.int64)
    size = (width * height * BYTES_A_PIXEL[extension] * random.uniform(0.5, 1.5, count)).astype(np.int64)
    deleted = random.random(count) < DELETED
    banned = random.random(count) < BANNED
    hidden = banned | (random.random(count) < GOLD)
    pixiv = np.where(
        random.random(count) < FROM_PIXIV, (times - DATES[0]) // 6 + random.integers(10_000, size=count), 0
    )
    parent, has_children, has_active = _families(random, deleted)
    names = [EXTENSIONS[number] for number in extension]
    hashes = _hashes(random, count)
    paths = [None if gone else f"{md5[:2]}/{md5[2:4]}/" for md5, gone in zip(hashes, hidden, strict=True)]
    return [
        ids.tolist(),
        _date_texts(times),
        (random.zipf(1.3, count) % 1_000_000).tolist(),
        [_source(number, post) for number, post in zip(pixiv.tolist(), ids.tolist(), strict=True)],
        [path and md5 for path, md5 in zip(paths, hashes, strict=True)],
        [int(ids[place]) if place >= 0 else None for place in parent.tolist()],
        has_children.tolist(),
        deleted.tolist(),
        banned.tolist(),
        [number or None for number in pixiv.tolist()],
        has_active.tolist(),
        random.choice((0, 1), count, p=(0.97, 0.03)).tolist(),
        (width > 850).tolist(),
        has_active.tolist(),
        width.tolist(),
        height.tolist(),
        size.tolist(),
        names,
        rating.tolist(),
        (up + down).tolist(),
        up.tolist(),
        down.tolist(),
        favs.tolist(),
        [
            path and f"https://cdn.donmai.us/original/{path}{md5}.{ext}"
            for path, md5, ext in zip(paths, hashes, names, strict=True)
        ],
        [
            path and f"https://cdn.donmai.us/sample/{path}sample-{md5}.jpg"
            for path, md5 in zip(paths, hashes, strict=True)
        ],
        [
            path and f"https://cdn.donmai.us/180x180/{path}{md5}.jpg"
            for path, md5 in zip(paths, hashes, strict=True)
        ],
        _date_texts(times + random.integers(60, 40_000_000, count)),
    ]


def _families(random: np.random.Generator, deleted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The parent's place or -1, whether a post has children, and whether one of them is not deleted."""
    places = np.arange(len(deleted))
    parent = np.where(
        random.random(len(places)) < HAS_PARENT, places - random.integers(1, 20, len(places)), -1
    )
    parent = np.maximum(parent, -1)
    has_children, has_active = np.zeros_like(deleted), np.zeros_like(deleted)
    has_children[parent[parent >= 0]] = True
    has_active[parent[(parent >= 0) & ~deleted]] = True
    return parent, has_children, has_active


def _hashes(random: np.random.Generator, count: int) -> list[str]:
    digits = random.bytes(16 * count).hex()
    return [digits[start : start + 32] for start in range(0, 32 * count, 32)]


def _source(pixiv: int, post: int) -> str:
    if pixiv:
        return f"https://i.pximg.net/img-original/img/2019/07/25/14/51/40/{pixiv}_p{post % 3}.jpg"
    return f"https://twitter.com/i/web/status/{post * 180_000_000_000}" if post % 4 else ""


def _date_texts(times: np.ndarray) -> list[str]:
    stamps = times.astype("datetime64[s]")
    summer = np.isin(stamps.astype("datetime64[M]").astype(np.int64) % 12, range(3, 10))
    texts = np.datetime_as_string(stamps.astype("datetime64[ms]"))
    return np.char.add(texts, np.where(summer, "-04:00", "-05:00")).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--posts", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.out.exists():
        parser.error(f"{arguments.out} exists already; choose another path")
    generate(arguments.out, arguments.posts, arguments.seed, progress=True)


if __name__ == "__main__":
    main()
