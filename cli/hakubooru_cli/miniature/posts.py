"""Making the posts of the miniature booru: records as Danbooru's API returns them, and the bytes of their files."""

from __future__ import annotations

import hashlib
import io
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from math import log
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from hakubooru_cli.miniature.cast import Picture, compose, pick
from hakubooru_cli.miniature.drawing import draw_picture

if TYPE_CHECKING:
    from collections.abc import Iterator

LAST_ID: Final = 734
"""The largest id by default, about a ten-thousandth of Danbooru's: recipes run on it with `--scale 0.0001`."""

ARTISTS: Final = (
    "ebifurya",
    "itomugi-kun",
    "haruyama_kazunori",
    "yaegashi_nan",
    "ixy",
    "hisahiko",
    "carnelian",
)
_META: Final = (
    "highres",
    "absurdres",
    "traditional_media",
    "watercolor_(medium)",
    "translation_request",
    "revision",
)
_SIZES: Final = ((448, 576), (416, 608), (512, 512), (576, 448), (640, 416), (384, 640))
_RATINGS: Final = ("g",) * 5 + ("s",) * 3 + ("q", "e")
_IMAGES: Final = ("jpg",) * 10 + ("png",) * 5 + ("webp",) * 4 + ("avif",)
_FIRST_DAY: Final = datetime(2005, 5, 24, 3, 35, 31, tzinfo=UTC)
_DAYS: Final = 6870  # to March 2024


@dataclass(frozen=True)
class MadePost:
    """A post of the miniature booru."""

    record: dict[str, Any]
    """The post as Danbooru's API returns it."""
    data: bytes | None
    """The bytes of the post's file; None if no archive holds it."""
    suffix: str
    """The file's extension."""

    @property
    def id(self) -> int:
        """The post's id."""
        return int(self.record["id"])


def make_posts(last_id: int = LAST_ID, seed: int = 1) -> Iterator[MadePost]:
    """Yield posts with ids up to `last_id`, for about three of four ids; the same seed gives the same posts."""
    before = None
    for post_id in range(1, last_id + 1):
        lot = random.Random(seed * 1_000_003 + post_id)  # noqa: S311 - drawing pictures, not keys
        if lot.random() < 0.75:
            post = _make_post(post_id, last_id, lot)
            if before:
                yield _parent_of(before, post)
            before = post
    if before:
        yield before


def _parent_of(post: MadePost, after: MadePost) -> MadePost:
    """Give a post Danbooru's flags of children if the post after it, which alone can be its child, is one."""
    if after.record["parent_id"] != post.id:
        return post
    is_active = not after.record["is_deleted"]
    flags = {
        "has_children": True,
        "has_active_children": is_active,
        "has_visible_children": is_active or post.record["is_deleted"],
    }
    return replace(post, record=post.record | flags)


def _make_post(post_id: int, last_id: int, lot: random.Random) -> MadePost:
    picture, size = compose(lot), pick(lot, _SIZES)
    kind = lot.random()
    suffix = "mp4" if kind < 0.03 else "zip" if kind < 0.04 else "gif" if kind < 0.06 else pick(lot, _IMAGES)
    deleted, banned, gold = lot.random() < 0.05, lot.random() < 0.015, lot.random() < 0.03
    hidden = banned or gold
    drawn = not hidden and suffix not in {"mp4", "zip"}
    data = _encode(picture, size, suffix, lot) if drawn else None
    record = {
        "id": post_id,
        "created_at": _date(post_id / last_id * _DAYS),
        "updated_at": _date(_DAYS + lot.random() * 60),
        "uploader_id": 1 + int(lot.random() * 900_000),
        "source": f"https://example.com/artworks/{100_000 + post_id}",
        "rating": pick(lot, _RATINGS),
        "image_width": size[0],
        "image_height": size[1],
        "file_size": len(data) if data else 50_000 + int(lot.random() * 900_000),
        "file_ext": suffix,
        "parent_id": post_id - 1 if lot.random() < 0.05 and post_id > 1 else None,
        "has_children": False,
        "has_active_children": False,
        "has_visible_children": False,
        "pixiv_id": 100_000 + post_id if lot.random() < 0.5 else None,
        "is_deleted": deleted,
        "is_banned": banned,
        "bit_flags": 0,
        "has_large": False,
        **_counts(lot),
        **_tags(picture, suffix, lot),
    }
    if not hidden:
        digest = hashlib.md5(data or str(post_id).encode(), usedforsecurity=False).hexdigest()
        url = f"https://example.com/original/{digest[:2]}/{digest[2:4]}/{digest}.{suffix}"
        record |= {"md5": digest, "file_url": url, "large_file_url": url, "preview_file_url": url}
    return MadePost(record, data, suffix)


def _counts(lot: random.Random) -> dict[str, int]:
    favourites = int(-(log(1 - lot.random()) ** 2) * -9)
    up, down = int(favourites * (0.5 + lot.random())), -int(lot.random() * 3)
    return {"fav_count": favourites, "score": up + down, "up_score": up, "down_score": down}


def _tags(picture: Picture, suffix: str, lot: random.Random) -> dict[str, Any]:
    meta = [tag for tag in _META if lot.random() < 0.2]
    meta += {
        "mp4": ["animated", "video", "sound"],
        "zip": ["animated", "ugoira"],
        "gif": ["animated", "animated_gif"],
    }.get(suffix, [])
    by_type = {
        "general": picture.general_tags,
        "character": picture.characters,
        "copyright": picture.series,
        "artist": [pick(lot, ARTISTS)],
        "meta": sorted(meta),
    }
    tags: dict[str, Any] = {f"tag_string_{kind}": " ".join(names) for kind, names in by_type.items()}
    tags |= {f"tag_count_{kind}": len(names) for kind, names in by_type.items()}
    every = sorted({name for names in by_type.values() for name in names})
    return tags | {"tag_string": " ".join(every), "tag_count": len(every)}


def _encode(picture: Picture, size: tuple[int, int], suffix: str, lot: random.Random) -> bytes:
    import pillow_avif  # noqa: F401, PLC0415 - teaches Pillow avif

    image = draw_picture(picture, size, lot)
    buffer = io.BytesIO()
    if suffix == "jpg":
        image.save(buffer, "JPEG", quality=88)
    elif suffix == "png":
        _with_palette(image, 128).save(buffer, "PNG")
    elif suffix == "gif":
        _with_palette(image, 64).save(buffer, "GIF")
    elif suffix == "webp":
        image.save(buffer, "WEBP", quality=85, method=0)
    else:
        image.save(buffer, "AVIF", quality=85, speed=10)
    return buffer.getvalue()


def _with_palette(image: Image.Image, colours: int) -> Image.Image:
    """Return the picture in this many colours; a small copy of it is enough to choose them, and far faster."""
    palette = image.reduce(4).quantize(colours)
    return image.quantize(palette=palette, dither=Image.Dither.NONE)


def _date(days: float) -> str:
    moment = (_FIRST_DAY + timedelta(days=days)).astimezone(timezone(timedelta(hours=-4)))
    return moment.isoformat(timespec="milliseconds")
