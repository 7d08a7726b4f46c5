"""Which posts: predicates, seeded samples, and the lists of ids that selections come to."""

from hakubooru.select.funnel import FunnelRow
from hakubooru.select.idfile import check_suffix, read_ids, write_ids
from hakubooru.select.optimize import Cost, cost

__all__ = ["Cost", "FunnelRow", "check_suffix", "cost", "read_ids", "write_ids"]
