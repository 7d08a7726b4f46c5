"""The sink `kohya-json-relative`: images and `meta.json` with paths below the export's folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakubooru.export.sinks.kohya_json import KohyaJsonSink

if TYPE_CHECKING:
    from hakubooru.export.pairs import Pair


class KohyaRelativeSink(KohyaJsonSink):
    """Writes images and `meta.json` for sd-scripts, with keys that are paths below OUT: a set that can be moved.

    Give OUT as `image_dir` (`--train_data_dir`). sd-scripts finds the images from v0.10 on; v0.9.1 finds them only if
    it is started in OUT.
    """

    name = "kohya-json-relative"
    summary = "images and a list for sd-scripts, with paths below OUT"

    def key(self, pair: Pair) -> str:
        """Return the key of an image in the list: its path below OUT, with extension."""
        return pair.path

    def _listed_folder(self) -> str:
        """Return "": a list with relative paths names no folder."""
        return ""
