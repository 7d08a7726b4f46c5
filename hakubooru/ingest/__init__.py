"""Build metadata databases from the sets of posts that people publish."""

from hakubooru.ingest.builder import BuildReport, build
from hakubooru.ingest.maps import RecordMap
from hakubooru.ingest.source import Recognised

__all__ = ["BuildReport", "Recognised", "RecordMap", "build"]
