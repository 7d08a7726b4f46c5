"""Build metadata databases from the sets of posts that people publish."""

from hakubooru.ingest.builder import BuildReport, Recognised, build
from hakubooru.ingest.maps import RecordMap

__all__ = ["BuildReport", "Recognised", "RecordMap", "build"]
