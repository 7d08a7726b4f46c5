"""Select posts: predicates, searches, seeded samples, and lists of ids."""

from hakubooru.select.funnel import FunnelRow
from hakubooru.select.id_lists import check_suffix, read_ids, write_ids
from hakubooru.select.optimize import Cost, cost

__all__ = ["Cost", "FunnelRow", "check_suffix", "cost", "read_ids", "write_ids"]
