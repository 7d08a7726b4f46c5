"""Build metadata databases from dumps of Danbooru's API."""

from hakubooru.ingest.builder import BuildReport, build

__all__ = ["BuildReport", "build"]
