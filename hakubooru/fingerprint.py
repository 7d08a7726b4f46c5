"""Fingerprints of posts, captions and tables, equal on any machine and from any copy of the file.

ids:       SHA-256 of the ids in ascending order, each as 8 bytes, little-endian; where joined files decided, `hash LF`
           of each follows, in ascending order of hashes
captions:  SHA-256 of `id TAB caption LF` for each post in ascending order of id, in UTF-8
tables:    SHA-256 of their JSON, with sorted keys, as Python writes it by itself
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from hakubooru.arrays import ascending

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hakubooru.arrays import Ids


def of_ids(ids: Ids, joined: Iterable[str] = ()) -> str:
    """Compute the fingerprint of a set of ids, (N,) int64 in any order.

    Args:
        ids: the ids of posts.
        joined: the hashes of the joined files by which the posts were selected.
    """
    digest = hashlib.sha256(ascending(ids).astype("<i8").tobytes())
    digest.update("".join(f"{sha256}\n" for sha256 in sorted(joined)).encode())
    return f"sha256:{digest.hexdigest()}"


def of_json(value: Any) -> str:
    """Compute the fingerprint of a value that JSON can hold; the order of a table's keys does not count."""
    return f"sha256:{hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()}"


def of_captions(pairs: Iterable[tuple[int, str]]) -> str:
    """Compute the fingerprint of pairs of an id and its caption, in ascending order of id."""
    digest = hashlib.sha256()
    for post_id, caption in pairs:
        digest.update(f"{post_id}\t{caption}\n".encode())
    return f"sha256:{digest.hexdigest()}"
