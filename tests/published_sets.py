"""The published sets of Danbooru's posts, as far as the stored pages know their columns: each written with a few posts.

A set is written from posts of Danbooru's API; `KEPT` says which columns of the database it can give.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import sqlite3
import tarfile
import zipfile
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import brotli
import duckdb
import py7zr
import pyarrow as pa
from backports import zstd
from pyarrow import parquet

import danbooru2024
from danbooru import api_post
from hakubooru.ingest.maps import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KINDS = ("general", "artist", "character", "copyright", "meta")
ALL = frozenset(COLUMNS)


def posts(count: int = 12) -> list[dict[str, Any]]:
    """Posts whose tags and ratings differ, one of them hidden and one without tags of some types."""
    hidden = dict.fromkeys(("md5", "file_url", "large_file_url", "preview_file_url"))
    return [
        api_post(
            number,
            general=f"1girl solo tag_{number % 4}",
            artist="bespin_(artist)" if number % 2 else "",
            character="illaoi",
            copyright="league_of_legends" if number % 3 else "",
            meta="highres",
            rating="gsqe"[number % 4],
            is_deleted=number % 5 == 0,
            parent_id=number - 1 if number % 3 == 0 else None,
            pixiv_id=58_080_247 + number if number % 4 else None,
            media_asset={"id": number, "file_ext": "jpg", "file_size": 123456, "variants": []},
            **(hidden if number == 7 else {}),
        )
        for number in range(1, count + 1)
    ]


def tags_of(post: dict[str, Any]) -> list[str]:
    """The names of a post's tags in order."""
    return post["tag_string"].split()


def lines(records: list[Any]) -> bytes:
    return b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)


def tar_of(members: dict[str, bytes], mode: str = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def write(path: Path, data: bytes) -> list[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return [path]


def write_rows(path: Path, records: list[dict[str, Any]], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(records), path, **options)
    return path


def picked(post: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: post.get(name) for name in names}


def counts(post: dict[str, Any]) -> dict[str, int]:
    by_kind = {f"tag_count_{kind}": len(post[f"tag_string_{kind}"].split()) for kind in KINDS}
    return {"tag_count": len(tags_of(post)), **by_kind}


def sharded(folder: Path, pattern: str, shards: list[list[dict[str, Any]]]) -> list[Path]:
    return [write_rows(folder / pattern.format(place), shard) for place, shard in enumerate(shards)]


def typed(post: dict[str, Any]) -> dict[str, str]:
    return {f"tag_string_{kind}": post[f"tag_string_{kind}"] for kind in KINDS}


# KBlueLeaf's three tables


def blue_leaf_tables(some: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The rows of `post`, `tag` and `posttagrelation`, as the published file has them."""
    names = sorted({name for post in some for name in tags_of(post)})
    ids = {name: 1000 - place for place, name in enumerate(names)}
    types = {
        name: number
        for post in some
        for number, kind in enumerate(KINDS)
        for name in typed(post)[f"tag_string_{kind}"].split()
    }
    flags = [column for column in COLUMNS if column.startswith(("has_", "is_"))]
    rows = []
    for post in some:
        row = {column: post[column] for column in COLUMNS} | {flag: int(post[flag]) for flag in flags}
        rows.append(row | {"rating": "gsqe".index(post["rating"])})
    pairs = [(post["id"], ids[name]) for post in some for name in tags_of(post)]
    used = [tag_id for _, tag_id in pairs]
    return {
        "post": rows,
        "tag": [
            {"id": ids[name], "name": name, "type": types[name], "popularity": used.count(ids[name])}
            for name in names
        ],
        "posttagrelation": [
            {"id": place, "post_id": post_id, "tag_id": tag_id}
            for place, (post_id, tag_id) in enumerate(pairs, 1)
        ],
    }


def blue_leaf_parquet(folder: Path, some: list[dict[str, Any]]) -> list[Path]:
    for name, rows in blue_leaf_tables(some).items():
        table = pa.Table.from_pylist(rows)
        for column in (
            ("parent_id", "pixiv_id") if name == "post" else ()
        ):  # as pandas writes integers with gaps
            place = table.column_names.index(column)
            table = table.set_column(place, column, table.column(column).cast(pa.float64()))
        (folder / "parquet").mkdir(parents=True, exist_ok=True)
        parquet.write_table(table, folder / "parquet" / f"{name}.parquet", row_group_size=5)
    return [folder / "parquet"]


def blue_leaf_duckdb(folder: Path, some: list[dict[str, Any]]) -> list[Path]:
    blue_leaf_parquet(folder, some)
    with duckdb.connect(str(folder / "danbooru2023.duckdb")) as connection:
        for name in ("post", "tag", "posttagrelation"):
            file = folder / "parquet" / f"{name}.parquet"
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM read_parquet('{file}')")
        connection.execute("CREATE INDEX post_id_relation ON posttagrelation (post_id)")
        connection.execute("CREATE UNIQUE INDEX tag_name ON tag (name)")
    return [folder / "danbooru2023.duckdb"]


def write_sqlite(path: Path, tables: dict[str, list[dict[str, Any]]]) -> list[Path]:
    with closing(sqlite3.connect(path)) as connection:
        for name, rows in tables.items():
            columns = ", ".join(f'"{column}"' for column in rows[0])
            connection.execute(f"CREATE TABLE {name} ({columns})")
            marks = ", ".join("?" * len(rows[0]))
            connection.executemany(
                f"INSERT INTO {name} VALUES ({marks})", [list(row.values()) for row in rows]
            )
        connection.commit()
    return [path]


# Danbooru's posts of others


def p1atdev(post: dict[str, Any]) -> dict[str, Any]:
    names = (
        "id",
        "created_at",
        "updated_at",
        "score",
        "source",
        "up_score",
        "down_score",
        "fav_count",
        "rating",
    )
    asset = {"created_at": post["created_at"], "duration": None, **post["media_asset"], "file_key": "x"}
    asset.pop("variants")
    sizes = picked(post, "image_width", "image_height", "tag_string", "has_large")
    return picked(post, *names) | sizes | counts(post) | typed(post) | {"media_asset": asset}


def isek_ai(post: dict[str, Any]) -> dict[str, Any]:
    words = {
        kind: ", ".join(name.replace("_", " ") for name in post[f"tag_string_{kind}"].split()) or None
        for kind in KINDS
    }
    return picked(post, "id", "rating", "image_width", "image_height") | words


JAKALINE = ("id", "md5", "created_at", "updated_at", "score", "up_score", "down_score", "rating", "image_width",
            "image_height", "file_ext", "parent_id")  # fmt: skip


def jakaline(post: dict[str, Any]) -> dict[str, Any]:
    return picked(post, *JAKALINE) | {"duration": None, "pixel_hash": "00"} | typed(post)


def jannchie(post: dict[str, Any]) -> dict[str, Any]:
    flags = {name: int(post[name]) for name in post if name.startswith(("has_", "is_"))}
    row = {name: value for name, value in post.items() if name != "media_asset"} | counts(post) | flags
    parent = None if post["parent_id"] is None else float(post["parent_id"])
    extra = {
        "filename": f"{post['id']}.jpg",
        "mimetype": "image/jpeg",
        "extension": ".jpg",
        "width": 1,
        "height": 1,
    }
    return row | extra | {"parent_id": parent, "approver_id": None}


def multi_tier(post: dict[str, Any]) -> dict[str, Any]:
    names = ("md5", "file_url", "rating", "score", "fav_count")
    lists = {f"{kind}_tags": post[f"tag_string_{kind}"].split() for kind in KINDS}
    texts = {"caption_short": "a girl", "quality_tag": "best", "year_tag": "newest", "metadata_json": "{}"}
    more = {
        "danbooru_url": "https://danbooru.donmai.us",
        "rating_name": "general",
        "usage_do_not_train": False,
        "loss_weight": 1.0,
    }
    return {"post_id": post["id"]} | picked(post, *names) | lists | typed(post) | texts | more


def gwern_old(post: dict[str, Any]) -> dict[str, Any]:
    categories = {"general": "0", "artist": "1", "copyright": "3", "character": "4", "meta": "5"}
    kinds = {name: kind for kind in KINDS for name in post[f"tag_string_{kind}"].split()}
    tags = [{"id": "1", "name": name, "category": categories[kinds[name]]} for name in tags_of(post)]
    numbers = {
        name: str(value)
        for name, value in post.items()
        if isinstance(value, int) and not isinstance(value, bool)
    }
    texts = {"id", "created_at", "source", "md5", "rating", "file_ext", "parent_id", "pixiv_id", *numbers}
    row = {
        name: value for name, value in (post | numbers).items() if name in texts or isinstance(value, bool)
    }
    dates = {"created_at": "2023-02-03 09:05:06.789 UTC", "updated_at": "2024-05-19 05:30:25.096 UTC"}
    return (
        row
        | dates
        | {"tags": tags, "favs": ["1"], "pools": [], "parent_id": str(post["parent_id"] or "") or None}
    )


def gallery_dl(post: dict[str, Any]) -> dict[str, Any]:
    lists = {f"tags_{kind}": post[f"tag_string_{kind}"].split() for kind in KINDS}
    more = {
        "category": "danbooru",
        "subcategory": "tag",
        "extension": "jpg",
        "filename": "x",
        "date": "2023-02-03 09:05:06",
    }
    return post | lists | {"tags": tags_of(post)} | more


def kohya(post: dict[str, Any]) -> dict[str, Any]:
    return {
        "tags": ", ".join(name.replace("_", " ") for name in tags_of(post)),
        "train_resolution": [1024, 1024],
    }


def waifuset(post: dict[str, Any]) -> dict[str, Any]:
    caption = ", ".join(
        name.replace("_", " ").replace("(", r"\(").replace(")", r"\)") for name in tags_of(post)
    )
    path = f"images/danbooru_{post['id']}.jpg"
    return {"image_path": path, "caption": caption, "original_size": "800x1200", "aesthetic_score": 5.1}


@dataclass(frozen=True)
class Published:
    """A published set."""

    write: Callable[[Path, list[dict[str, Any]]], list[Path]]
    """Writes it into a folder and returns the paths to give to a build."""
    kept: frozenset[str] = ALL
    """The columns of the database that it has."""
    records: str = "posts of Danbooru's API"
    """What it is recognised as."""
    is_typed: bool = True
    """Whether its tags have types."""


def of(*columns: str) -> frozenset[str]:
    return frozenset(columns)


P1ATDEV = of("id", "created_at", "updated_at", "score", "source", "up_score", "down_score", "fav_count", "rating",
             "image_width", "image_height", "has_large", "file_ext", "file_size")  # fmt: skip
MULTI_TIER = of("id", "md5", "file_url", "rating", "score", "fav_count")
BLUE_LEAF = "posts of KBlueLeaf's tables"
JSONL = "posts.json"

SETS: dict[str, Published] = {
    "KBlueLeaf, parquet/": Published(blue_leaf_parquet, records=BLUE_LEAF),
    "KBlueLeaf, three files": Published(
        lambda folder, some: sorted(blue_leaf_parquet(folder, some)[0].iterdir()), records=BLUE_LEAF
    ),
    "KBlueLeaf, .duckdb": Published(blue_leaf_duckdb, records=BLUE_LEAF),
    "KBlueLeaf, SQLite": Published(
        lambda folder, some: write_sqlite(folder / "danbooru2023.db", blue_leaf_tables(some)),
        records=BLUE_LEAF,
    ),
    "nyanko7, posts.tar.gz": Published(
        lambda folder, some: write(folder / "posts.tar.gz", tar_of({JSONL: lines(some)}, "w:gz"))
    ),
    "nyanko7, posts.json": Published(lambda folder, some: write(folder / JSONL, lines(some))),
    "deepghs/danbooru2024": Published(
        lambda folder, some: [danbooru2024.write_parquet(folder / "metadata.parquet", some)]
    ),
    "trojblue/danbooru2025-metadata": Published(
        lambda folder, some: [
            write_rows(
                folder / "data" / "train.parquet", [post | {"media_asset": asset(post)} for post in some]
            ).parent
        ]
    ),
    "nyanko-devs/danbooru2026": Published(
        lambda folder, some: [
            write_rows(folder / "posts.parquet", [post | {"media_asset": asset(post)} for post in some])
        ]
    ),
    "Shio-Koube, overlapping shards": Published(
        lambda folder, some: sharded(folder, "output_part_{:02}.parquet", shio_koube(some))
    ),
    "Shio-Koube, a folder": Published(
        lambda folder, some: (
            sharded(folder / "set", "output_part_{:02}.parquet", shio_koube(some)) and [folder / "set"]
        )
    ),
    "p1atdev/danbooru-2024": Published(
        lambda folder, some: (
            sharded(
                folder / "data",
                "train-{:05}-of-00035.parquet",
                [[p1atdev(post) for post in some[:5]], [p1atdev(post) for post in some[5:]]],
            )
            and [folder / "data"]
        ),
        kept=P1ATDEV,
    ),
    "isek-ai/danbooru-animated-2024": Published(
        lambda folder, some: [write_rows(folder / "all.parquet", [p1atdev(post) for post in some])],
        kept=P1ATDEV,
    ),
    "isek-ai/danbooru-tags-2024": Published(
        lambda folder, some: [write_rows(folder / "tags.parquet", [isek_ai(post) for post in some])],
        kept=of("id", "rating", "image_width", "image_height"),
        records="posts with tags joined by commas, of isek-ai",
    ),
    "Jakaline, Parquet": Published(
        lambda folder, some: [write_rows(folder / "jakaline.parquet", [jakaline(post) for post in some])],
        kept=frozenset(JAKALINE),
    ),
    "Jakaline, SQLite": Published(
        lambda folder, some: write_sqlite(
            folder / "danbooru2023.sqlite3", {"any_name": [jakaline(post) for post in some]}
        ),
        kept=frozenset(JAKALINE),
    ),
    "Jannchie/danbooru_metadata": Published(
        lambda folder, some: write_sqlite(
            folder / "danbooru_metadata.db", {"posts": [jannchie(post) for post in some]}
        )
    ),
    "Crosstyan/danbooru-public": Published(
        lambda folder, some: write(folder / "posts.tar.br", brotli.compress(tar_of({JSONL: lines(some)})))
    ),
    "Disty0/danbooru-json, compact": Published(
        lambda folder, some: write(
            folder / "danbooru-json.tar.gz",
            tar_of(
                {f"{post['id'] // 10000}/{post['id']}.json": json.dumps(post).encode() for post in some},
                "w:gz",
            ),
        )
    ),
    "Disty0/danbooru-json, pretty": Published(
        lambda folder, some: write(
            folder / "danbooru-json.tar",
            tar_of(
                {
                    f"{post['id'] // 10000}/{post['id']}.json": json.dumps(post, indent=4).encode()
                    for post in some
                }
            ),
        )
    ),
    "Disty0/danbooru-json, a folder": Published(
        lambda folder, some: [
            [
                write(folder / "json" / f"0/{post['id']}.json", json.dumps(post, indent=4).encode())
                for post in some
            ]
            and folder / "json"
        ]
    ),
    "multi-tier captions": Published(
        lambda folder, some: [write_rows(folder / "captions.parquet", [multi_tier(post) for post in some])],
        kept=MULTI_TIER,
        records="posts of the multi-tier captions",
    ),
    "gwern 2017 to 2019": Published(
        lambda folder, some: write(folder / "2017000000000000", lines([gwern_old(post) for post in some])),
        kept=ALL - {"file_url", "large_file_url", "preview_file_url"},
        records="posts of gwern's Danbooru2017 to 2019",
    ),
    "gwern 2020 and 2021": Published(
        lambda folder, some: write(
            folder / "posts000000000000.json", lines([gwern_new(post) for post in some])
        ),
        records="posts of gwern's Danbooru2020 and 2021",
    ),
    "gallery-dl, lines": Published(
        lambda folder, some: write(folder / "data.jsonl", lines([gallery_dl(post) for post in some]))
    ),
    "gallery-dl, sidecars": Published(
        lambda folder, some: [[sidecar(folder / "danbooru", post) for post in some] and folder / "danbooru"]
    ),
    "KichangKim's downloader": Published(
        lambda folder, some: [
            [
                write(
                    folder / "images" / "aa" / f"{post['id']:032x}-danbooru.json", json.dumps(post).encode()
                )
                for post in some
            ]
            and folder / "images"
        ]
    ),
    "waifuset": Published(
        lambda folder, some: write(
            folder / "metadata.json",
            json.dumps({f"danbooru_{post['id']}": waifuset(post) for post in some}, indent=2).encode(),
        ),
        kept=of("id"),
        records="images of waifuset",
        is_typed=False,
    ),
    "kohya": Published(
        lambda folder, some: write(
            folder / "meta_cap.json",
            json.dumps({f"/data/{post['id']}.jpg": kohya(post) for post in some}, indent=2).encode(),
        ),
        kept=of("id"),
        records="images of kohya's metadata",
        is_typed=False,
    ),
    "kohya, JSON lines": Published(
        lambda folder, some: write(
            folder / "data.jsonl",
            lines(
                [{"image_path": f"data/{post['id']}.jpg", "caption": "a girl"} | kohya(post) for post in some]
            ),
        ),
        kept=of("id"),
        records="images of kohya's metadata, as JSON lines",
        is_typed=False,
    ),
    **{
        f"lines in {name}": Published(
            lambda folder, some, pack=pack, name=name: write(folder / name, pack(lines(some)))
        )
        for name, pack in {
            "posts.json.gz": gzip.compress,
            "posts.json.xz": lzma.compress,
            "posts.json.bz2": bz2.compress,
            "posts.json.zst": zstd.compress,
            "posts.json.br": brotli.compress,
            "posts.tar.xz": lambda data: lzma.compress(
                tar_of({"./._posts.json": b"\0rubbish", "./posts.json": data})
            ),
        }.items()
    },
    "CSV": Published(lambda folder, some: write(folder / "posts.csv", as_csv(some))),
    "lines in posts.zip": Published(lambda folder, some: zipped(folder / "posts.zip", lines(some))),
    "lines in posts.7z": Published(lambda folder, some: seven_zipped(folder / "posts.7z", lines(some))),
    "lines in UTF-16": Published(
        lambda folder, some: write(folder / JSONL, lines(some).decode().encode("utf-16"))
    ),
    "an array after a byte order mark": Published(
        lambda folder, some: write(folder / JSONL, json.dumps(some).encode("utf-8-sig"))
    ),
}
"""The sets of Danbooru's posts, and each compression once."""


def asset(post: dict[str, Any]) -> dict[str, Any]:
    return post["media_asset"] | {"variants": [{"type": "360x360", "url": "https://example.invalid"}]}


def shard_row(post: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value or None if name.startswith("tag_string_") else value
        for name, value in post.items()
        if name != "media_asset"
    }


def shio_koube(some: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    return [[shard_row(post) for post in shard] for shard in (some[:8], some[5:])]


def gwern_new(post: dict[str, Any]) -> dict[str, Any]:
    dates = {"created_at": "2023-02-03 09:05:06.789 UTC", "updated_at": "2024-05-19 05:30:25.096 UTC"}
    return (
        {name: value for name, value in post.items() if name != "media_asset"}
        | dates
        | {"favs": [], "pools": []}
    )


def sidecar(folder: Path, post: dict[str, Any]) -> None:
    name = f"danbooru_{post['id']}_{post['id']:032x}.jpg"
    write(folder / name, b"\xff\xd8\xff no picture")
    write(folder / f"{name}.json", json.dumps(gallery_dl(post), indent=4, ensure_ascii=False).encode())


def as_csv(some: list[dict[str, Any]]) -> bytes:
    file = io.StringIO(newline="")
    flags = {True: "t", False: "f", None: ""}
    rows = [
        [
            flags[value] if value is None or isinstance(value, bool) else value
            for value in shard_row(post).values()
        ]
        for post in some
    ]
    csv.writer(file).writerows([shard_row(some[0]), *rows])
    return file.getvalue().encode("utf-8-sig")


def zipped(path: Path, data: bytes) -> list[Path]:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata/posts.json", data)
    return [path]


def seven_zipped(path: Path, data: bytes) -> list[Path]:
    with py7zr.SevenZipFile(path, "w") as archive:
        archive.writestr(data, "metadata/posts.json")
    return [path]
