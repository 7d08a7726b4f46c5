"""Exporting a selection to a data set on disk: pairs of image and caption, and a manifest of every post."""

from hakubooru.export.entry import export
from hakubooru.export.output import OutputFormat, output_format
from hakubooru.export.repair import repair
from hakubooru.export.report import ExportReport
from hakubooru.export.verify import VerifyReport, verify

__all__ = ["ExportReport", "OutputFormat", "VerifyReport", "export", "output_format", "repair", "verify"]
