"""Posts in the column layout of deepghs/danbooru2024's `metadata.parquet`.

The API's posts flattened: objects become columns with a dot, ratings are letters, nullable integers DOUBLE, times
text, `id` stands last, and the rows are in no order of ids. 88 columns, of which the database takes 33.
"""

import random

import pyarrow as pa
from pyarrow import parquet

DOUBLES = ("parent_id", "approver_id", "pixiv_id", "media_asset.duration", "media_asset.pixel_hash_count")
TEXTS = (
    "created_at", "source", "md5", "last_comment_bumped_at", "rating", "tag_string", "last_noted_at", "file_ext",
    "updated_at", "last_commented_at", "tag_string_general", "tag_string_artist", "tag_string_character",
    "tag_string_copyright", "tag_string_meta", "file_url", "large_file_url", "preview_file_url",
)  # fmt: skip
INTEGERS = (
    "uploader_id", "score", "image_width", "image_height", "fav_count", "tag_count_general", "tag_count_artist",
    "tag_count_character", "tag_count_copyright", "tag_count_meta", "tag_count", "file_size", "up_score", "down_score",
    "bit_flags",
)  # fmt: skip
FLAGS = (
    "has_children", "is_pending", "is_flagged", "is_deleted", "is_banned", "has_active_children", "has_large",
    "has_visible_children",
)  # fmt: skip
ASSET = ("id", "created_at", "updated_at", "md5", "file_ext", "file_size", "image_width", "image_height", "status",
         "file_key", "is_public", "pixel_hash")  # fmt: skip
VARIANTS = tuple(
    f"media_asset.variants.{size}.{field}"
    for size in ("180x180", "360x360", "720x720", "sample", "original")
    for field in ("width", "height", "url", "file_ext", "type")
)
COLUMNS = (
    *TEXTS,
    *INTEGERS,
    *FLAGS,
    *DOUBLES,
    *(f"media_asset.{name}" for name in ASSET),
    *VARIANTS,
    *(f"extra.{number}" for number in range(4)),
    "id",
)


def write_parquet(path, posts, *, seed=0, row_group_size=7):
    """The posts as such a file, shuffled."""
    posts = list(posts)
    random.Random(seed).shuffle(posts)
    columns = {}
    for name in COLUMNS:
        values = [post.get(name) for post in posts]
        if name in DOUBLES:
            columns[name] = pa.array(
                [None if value is None else float(value) for value in values], pa.float64()
            )
        elif name in INTEGERS or name == "id":
            columns[name] = pa.array(values, pa.int64())
        elif name in FLAGS:
            columns[name] = pa.array(values, pa.bool_())
        elif name in TEXTS:
            columns[name] = pa.array(values, pa.string())
        else:
            columns[name] = pa.array([f"{name} {post['id']}" for post in posts], pa.string())
    parquet.write_table(pa.table(columns), path, row_group_size=row_group_size)
    return path
