"""Exporting a selection to a data set on disk: pairs of image and caption, and a manifest of every post."""

from hakubooru.export.sinks import SINKS, OutputFormat, output_format, sink_class

__all__ = ["SINKS", "OutputFormat", "output_format", "sink_class"]
