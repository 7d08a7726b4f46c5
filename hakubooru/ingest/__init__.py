"""From dumps of Danbooru's API to rows of a metadata database."""

from hakubooru.ingest.builder import BuildReport, build

__all__ = ["BuildReport", "build"]
