"""Select posts: predicates, searches, seeded samples, and lists of ids."""

from hakubooru.select.id_lists import check_suffix, read_ids, write_ids

__all__ = ["check_suffix", "read_ids", "write_ids"]
