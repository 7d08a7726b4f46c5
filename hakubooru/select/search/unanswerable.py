"""What Danbooru can be asked and a metadata file cannot answer, and why."""

from __future__ import annotations

from typing import Final

_LACKS: Final = {
    "notes": "note noter noteupdater",
    "comments": "comment comments commenter comm",
    "artist commentaries": "commentary commentaryupdater artcomm",
    "pools": "pool pools ordpool",
    "votes": "upvote upvoter downvote downvoter",
    "favourites of users": "fav ordfav favgroup ordfavgroup reacted",
    "moderation queue": "approver flagger appealer disapproved locked flags appeals replacements approvals",
    "user names (it has the number of the uploader: .where(Post.uploader_id == …))": "user",
    "saved searches": "search",
    "EXIF data": "exif",
    "machine-made tags": "ai",
    "lengths of videos": "duration",
    "hashes of pixels": "pixelhash",
}
_COUNTED: Final = {
    "comments": "comment",
    "notes": "note",
    "moderation queue": "flag appeal approval replacement",
    "pools": "pool",
}
_KINDS: Final = ("", "deleted_", "active_", "resolved_", "unresolved_", "series_", "collection_")

METATAGS: Final = {
    **{name: what for what, names in _LACKS.items() for name in names.split()},
    **{
        f"{kind}{name}{suffix}": what
        for what, names in _COUNTED.items()
        for name in names.split()
        for kind in _KINDS
        for suffix in ("s", "_count")
    },
}
"""What the file lacks, by metatag."""

IS: Final = dict.fromkeys(("pending", "flagged", "appealed", "modqueue", "unmoderated"), "moderation queue")
"""What the file lacks, by the value of `is:` and `status:`."""

HAS: Final = {
    "notes": "notes",
    "comments": "comments",
    "commentary": "artist commentaries",
    "pools": "pools",
    "flags": "moderation queue",
    "appeals": "moderation queue",
    "replacements": "moderation queue",
}
"""What the file lacks, by the value of `has:`."""

ORDERS: Final = {
    "comment": "comments",
    "comment_bumped": "comments",
    "note": "notes",
    "artcomm": "artist commentaries",
    "duration": "lengths of videos",
    "disapproved": "moderation queue",
    "modqueue": "moderation queue",
    "curated": "favourites of users",
    "rank": "ranking of the day",
}
"""What the file lacks, by the value of `order:` without `_asc`."""
