"""The sink `captions`: text files in subfolders."""

from hakubooru.export.sinks.folder import FolderSink


class CaptionsSink(FolderSink):
    """Writes captions without images, `ID.txt`, into subfolders by id % 1000."""

    name = "captions"
    summary = "captions alone"
    needs_images = False
    writes_captions = False
