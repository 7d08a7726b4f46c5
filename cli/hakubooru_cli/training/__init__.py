"""The commands of `hakubooru-train`."""
