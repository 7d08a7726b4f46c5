"""Metatags and values that Danbooru answers and a metadata file cannot, with what the file lacks."""

from __future__ import annotations

from typing import Final

_QUEUE: Final = "moderation queue"
_LACKS: Final = {
    "notes": "note noter noteupdater",
    "comments": "comment commenter comm",
    "artist commentaries": "commentary commentaryupdater artcomm",
    "pools": "pool ordpool",
    "votes": "upvote upvoter downvote downvoter",
    "favourites of users": "fav ordfav favgroup ordfavgroup reacted",
    _QUEUE: "approver flagger appealer disapproved locked",
    "user names (it has the number of the uploader: .where(Post.uploader_id == …))": "user",
    "saved searches": "search",
    "EXIF data": "exif",
    "machine-made tags": "ai",
    "lengths of videos": "duration",
    "hashes of pixels": "pixelhash",
}
_COUNTED: Final = {
    "comments": "comment deleted_comment active_comment",
    "notes": "note deleted_note active_note",
    "pools": "pool deleted_pool active_pool series_pool collection_pool",
    _QUEUE: "flag appeal approval disapproval",
    "replaced files": "replacement",
}
"""The names of things that Danbooru counts: `comment_count` and `comments` are both metatags and orders."""
_COUNTS: Final = {
    f"{name}{ending}": what
    for what, names in _COUNTED.items()
    for name in names.split()
    for ending in ("_count", "s")
}

METATAGS: Final = {name: what for what, names in _LACKS.items() for name in names.split()} | _COUNTS
"""What a metadata file lacks, by the name of a metatag."""

IS: Final = dict.fromkeys(("pending", "flagged", "appealed", "modqueue", "unmoderated"), _QUEUE) | {
    "wiki_image": "wiki pages"
}
"""What a metadata file lacks, by the value of `is:` and `status:`."""

ACTIVE: Final = "pending and flagged posts are not known, and count as active"
"""The caveat of `is:active`: on Danbooru, these posts are not active."""

HAS: Final = {
    "notes": "notes",
    "comments": "comments",
    "commentary": "artist commentaries",
    "pools": "pools",
    "flags": _QUEUE,
    "appeals": _QUEUE,
    "replacements": "replaced files",
}
"""What a metadata file lacks, by the value of `has:`."""

ORDERS: Final = {
    "comment": "comments",
    "comm": "comments",
    "comment_bumped": "comments",
    "note": "notes",
    "artcomm": "artist commentaries",
    "duration": "lengths of videos",
    "disapproved": _QUEUE,
    "modqueue": _QUEUE,
    "curated": "favourites of users",
    "rank": "ranking of the day",
    **_COUNTS,
}
"""What a metadata file lacks, by the value of `order:` without `_asc`."""
