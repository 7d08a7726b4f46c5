"""The published sets of Danbooru's posts, as far as the stored pages know their columns: each written with a few posts.

A set is written from posts of Danbooru's API; `KEPT` says which columns of the database it can give.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import brotli
from backports import zstd

import danbooru2024
from blue_leaf import blue_leaf_duckdb, blue_leaf_parquet, blue_leaf_tables
from danbooru import api_post
from hakubooru.ingest.maps import COLUMNS
from set_files import (
    as_csv,
    as_table,
    lines,
    seven_zipped,
    sharded,
    tar_of,
    write,
    write_duckdb,
    write_rows,
    write_sqlite,
    zipped,
)
from set_records import (
    JAKALINE,
    asset,
    gallery_dl,
    gwern_new,
    gwern_old,
    isek_ai,
    jakaline,
    jannchie,
    kohya,
    multi_tier,
    p1atdev,
    shio_koube,
    theta_cursed,
    waifuset,
    waifuset_rows,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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


@dataclass(frozen=True)
class Published:
    """A published set."""

    write: Callable[[Path, list[dict[str, Any]]], list[Path]]
    """Writes it into a folder and returns the paths to give to a build."""
    columns: frozenset[str] = ALL
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
    "ThetaCursed, rows twice": Published(
        lambda folder, some: [write_rows(folder / "danbooru2026_clean.parquet", theta_cursed(some))],
        columns=ALL - {"is_deleted"},
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
        columns=P1ATDEV,
    ),
    "isek-ai/danbooru-animated-2024": Published(
        lambda folder, some: [write_rows(folder / "all.parquet", [p1atdev(post) for post in some])],
        columns=P1ATDEV,
    ),
    "isek-ai/danbooru-tags-2024": Published(
        lambda folder, some: [write_rows(folder / "tags.parquet", [isek_ai(post) for post in some])],
        columns=of("id", "rating", "image_width", "image_height"),
        records="posts with tags joined by commas, of isek-ai",
    ),
    "isek-ai/danbooru-tags-2016-2023, all/": Published(
        lambda folder, some: (
            sharded(
                folder / "all",
                "train-{:05}.parquet",
                [[isek_ai(post) for post in some[:5]], [isek_ai(post) for post in some[5:]]],
            )
            and [folder / "all"]
        ),
        columns=of("id", "rating", "image_width", "image_height"),
        records="posts with tags joined by commas, of isek-ai",
    ),
    "Jakaline, Parquet": Published(
        lambda folder, some: [write_rows(folder / "jakaline.parquet", [jakaline(post) for post in some])],
        columns=frozenset(JAKALINE),
    ),
    "Jakaline, SQLite": Published(
        lambda folder, some: write_sqlite(
            folder / "danbooru2023.sqlite3", {"any_name": [jakaline(post) for post in some]}
        ),
        columns=frozenset(JAKALINE),
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
    "AngelBottomless/Danbooru-Post-Dump": Published(
        lambda folder, some: write(
            folder / "post_danbooru_227.tar",
            tar_of({"0M/0_99.jsonl": lines(some[:7]), "0M/100_199.jsonl": lines(some[7:])}),
        )
    ),
    "multi-tier captions": Published(
        lambda folder, some: [write_rows(folder / "captions.parquet", [multi_tier(post) for post in some])],
        columns=MULTI_TIER,
        records="posts of the multi-tier captions",
    ),
    "gwern 2017 to 2019": Published(
        lambda folder, some: [
            write(folder / "metadata" / "2017000000000000", lines([gwern_old(post) for post in some[:7]]))
            and write(folder / "metadata" / "2017000000000001", lines([gwern_old(post) for post in some[7:]]))
            and folder / "metadata"
        ],
        columns=ALL - {"file_url", "large_file_url", "preview_file_url"},
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
        columns=of("id"),
        records="images of waifuset",
        is_typed=False,
    ),
    "waifuset, CSV": Published(
        lambda folder, some: write(folder / "metadata.csv", as_table(waifuset_rows(some))),
        columns=of("id"),
        records="images of waifuset, as a table",
        is_typed=False,
    ),
    "waifuset, SQLite": Published(
        lambda folder, some: write_sqlite(folder / "metadata.sqlite3", {"metadata": waifuset_rows(some)}),
        columns=of("id"),
        records="images of waifuset, as a table",
        is_typed=False,
    ),
    "kohya": Published(
        lambda folder, some: write(
            folder / "meta_cap.json",
            json.dumps({f"/data/{post['id']}.jpg": kohya(post) for post in some}, indent=2).encode(),
        ),
        columns=of("id"),
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
        columns=of("id"),
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
    "DuckDB, one table": Published(
        lambda folder, some: write_duckdb(
            folder / "set.duckdb", [post | {"media_asset": asset(post)} for post in some]
        )
    ),
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


def sidecar(folder: Path, post: dict[str, Any]) -> None:
    name = f"danbooru_{post['id']}_{post['id']:032x}.jpg"
    write(folder / name, b"\xff\xd8\xff no picture")
    write(folder / f"{name}.json", json.dumps(gallery_dl(post), indent=4, ensure_ascii=False).encode())
