"""The record maps of the published sets, from the most special to the most general."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hakubooru.ingest.maps import ALL, ID_PATTERN, RecordMap
from hakubooru.ingest.relational import TAGS_KEY, site_key
from hakubooru.store.sites import DANBOORU, E621, GELBOORU, SITES

if TYPE_CHECKING:
    from collections.abc import Collection

_TYPED: Final = {name: (f"tag_string_{name}",) for name in DANBOORU.tag_types}
_SHOWN: Final = 12

API: Final = RecordMap(
    name="posts of Danbooru's API",
    needs=("id",),
    columns={
        "file_ext": ("file_ext", "media_asset.file_ext", "extension"),
        "file_size": ("file_size", "media_asset.file_size"),
        "md5": ("md5", "media_asset.md5"),
    },
    tags={ALL: ("tag_string",), **_TYPED},
)
"""The shape of Danbooru's API, which nyanko7, deepghs, trojblue, nyanko-devs, Shio-Koube, p1atdev, isek-ai's animated set,
Jakaline, Jannchie, Disty0, Crosstyan and gallery-dl write, each with the columns that it kept."""

_E621_API: Final = RecordMap(
    name="posts of e621's API",
    site="e621",
    needs=("id", "file.ext", "file.md5", "tags.general"),
    columns={
        "file_ext": ("file.ext",),
        "file_size": ("file.size",),
        "md5": ("file.md5",),
        "image_width": ("file.width",),
        "image_height": ("file.height",),
        "file_url": ("file.url",),
        "large_file_url": ("sample.url",),
        "preview_file_url": ("preview.url",),
        "score": ("score.total",),
        "up_score": ("score.up",),
        "down_score": ("score.down",),
        "source": ("sources",),
        "is_deleted": ("flags.deleted",),
        "parent_id": ("relationships.parent_id",),
        "has_children": ("relationships.has_children",),
        "has_active_children": ("relationships.has_active_children",),
    },
    tags={name: (f"tags.{name}",) for name in E621.tag_types},
)
_BLUE_LEAF: Final = RecordMap(
    name="posts of KBlueLeaf's tables",
    needs=("id", TAGS_KEY),
    tags={ALL: (TAGS_KEY,)},
    ratings={str(number): name for number, name in enumerate(DANBOORU.ratings)},
    zone="UTC",
)
_CAPTIONS: Final = RecordMap(
    name="images of kohya's metadata",
    needs=("key", "tags"),
    lacks=("id", "post_count"),
    columns={"id": ("key",)},
    tags={ALL: ("tags",)},
    separator=",",
    blanks=True,
    escaped=True,
    id_pattern=ID_PATTERN,
)
"""Tags as a trainer reads them: a text with commas, of an image whose name has the id of its post."""

SETS: Final = (
    RecordMap(
        name="posts of e621's export",
        site="e621",
        needs=("id", "tag_string", "locked_tags", "change_seq"),
        tags={ALL: ("tag_string",)},
        texts=True,
        zone="UTC",  # the export is PostgreSQL's own, and e621ng keeps its times in UTC
    ),
    _E621_API,
    replace(
        _E621_API,
        name="posts of e621, as gallery-dl writes them",
        needs=("id", "file.ext", "file.md5", "tags_general", "tags_species"),
        tags={ALL: ("tags",), **{name: (f"tags_{name}",) for name in E621.tag_types}},
    ),
    RecordMap(
        name="posts of Gelbooru's API",
        site="gelbooru",
        needs=("id", "tags", "directory", "image", "change"),
        columns={
            "uploader_id": ("creator_id",),
            "image_width": ("width",),
            "image_height": ("height",),
            "file_ext": ("image",),
            "has_active_children": ("has_children",),
            "large_file_url": ("sample_url",),
            "preview_file_url": ("preview_url",),
        },
        # gallery-dl adds the types where it is asked for them
        tags={
            ALL: ("tags",),
            **{name: (f"tags_{name}",) for name in GELBOORU.tag_types},
            "meta": ("tags_metadata",),
        },
        escaped=True,
        texts=True,
        dates="ctime",
    ),
    RecordMap(
        name="posts of gwern's Danbooru2017 to 2019",
        needs=("id", "tags", "favs", "pools"),
        lacks=("tag_string",),
        columns=API.columns,
        tags={ALL: ("tags",)},
        texts=True,
    ),
    replace(
        API,
        name="posts of gwern's Danbooru2020 and 2021",
        needs=("id", "tag_string", "favs", "pools"),
        texts=True,
    ),
    RecordMap(
        name="posts of the multi-tier captions",
        needs=("post_id", "tag_string_general"),
        columns={**API.columns, "id": ("post_id",)},
        tags=_TYPED,
    ),
    RecordMap(
        name="posts with tags joined by commas, of isek-ai",
        needs=("id", "general", "character", "copyright", "artist", "meta"),
        tags={name: (name,) for name in DANBOORU.tag_types},
        separator=",",
        blanks=True,
    ),
    replace(
        _CAPTIONS,
        name="images of waifuset",
        needs=("key", "image_path", "caption"),
        lacks=(),
        tags={ALL: ("tags", "caption")},
    ),
    replace(
        _CAPTIONS,
        name="images of waifuset, as a table",
        needs=("image_key", "image_path", "caption"),
        lacks=(),
        columns={"id": ("image_key",)},
        tags={ALL: ("tags", "caption")},
    ),
    _CAPTIONS,
    replace(
        _CAPTIONS,
        name="images of kohya's metadata, as JSON lines",
        needs=("image_path", "tags"),
        lacks=("id",),
        columns={"id": ("image_path",)},
    ),
    replace(
        _BLUE_LEAF,
        name="posts of Gelbooru-SQLite",
        site="gelbooru",
        needs=("id", "caption", TAGS_KEY),
        # its script wrote Gelbooru's addresses into the columns one further
        columns={
            "file_url": ("large_file_url",),
            "large_file_url": ("preview_file_url",),
            "preview_file_url": ("file_url",),
        },
        escaped=True,
        dates="ctime",
    ),
    *(
        replace(
            _BLUE_LEAF,
            name=f"posts of a database of {site.name}",
            site=site.name,
            needs=("id", TAGS_KEY, site_key(site)),
        )
        for site in SITES.values()
        if site != DANBOORU
    ),
    _BLUE_LEAF,
)
"""The sets that differ from Danbooru's API."""


def recognise(keys: Collection[str]) -> RecordMap | None:
    """The map of the set that has records with these keys; None if they are not records of a set known here."""
    names = set(keys)
    for candidate in SETS:
        if candidate.fits(names):
            return candidate
    return API if not API.missing(names) else None


def unknown_keys(keys: Collection[str]) -> str:
    """Describe the keys of records that no map fits."""
    names = sorted(keys)
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return f"records with the keys {shown}" if names else "records without keys"
