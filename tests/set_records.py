"""The records of published sets: what each keeps of a post of Danbooru's API, and how it writes it."""

from __future__ import annotations

from typing import Any

from set_files import shard_row

JAKALINE = ("id", "md5", "created_at", "updated_at", "score", "up_score", "down_score", "rating", "image_width",
            "image_height", "file_ext", "parent_id")  # fmt: skip


KINDS = ("general", "artist", "character", "copyright", "meta")


def tags_of(post: dict[str, Any]) -> list[str]:
    """The names of a post's tags in order."""
    return post["tag_string"].split()


def picked(post: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: post.get(name) for name in names}


def counts(post: dict[str, Any]) -> dict[str, int]:
    by_kind = {f"tag_count_{kind}": len(post[f"tag_string_{kind}"].split()) for kind in KINDS}
    return {"tag_count": len(tags_of(post)), **by_kind}


def typed(post: dict[str, Any]) -> dict[str, str]:
    return {f"tag_string_{kind}": post[f"tag_string_{kind}"] for kind in KINDS}


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


def waifuset_rows(some: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"image_key": f"danbooru_{post['id']}"} | waifuset(post) for post in some]


def theta_cursed(some: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = [shard_row(post) for post in some]
    for row in rows:
        del row["is_deleted"]
    return rows + rows[3:5]


def asset(post: dict[str, Any]) -> dict[str, Any]:
    return post["media_asset"] | {"variants": [{"type": "360x360", "url": "https://example.invalid"}]}


def shio_koube(some: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    return [[shard_row(post) for post in shard] for shard in (some[:8], some[5:])]


def gwern_new(post: dict[str, Any]) -> dict[str, Any]:
    dates = {"created_at": "2023-02-03 09:05:06.789 UTC", "updated_at": "2024-05-19 05:30:25.096 UTC"}
    return (
        {name: value for name, value in post.items() if name != "media_asset"}
        | dates
        | {"favs": [], "pools": []}
    )
