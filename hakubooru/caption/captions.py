"""`selection.captions(format)`: captions that are written when you read them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hakubooru.caption.captioner import Captioner
from hakubooru.caption.write import check_suffix, write_captions

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    import pandas as pd

    from hakubooru.arrays import Ids
    from hakubooru.caption.format import CaptionFormat
    from hakubooru.store.postset import PostSet


class Captions:
    """The captions of a selection's posts, in the selection's order; iterate it for pairs of id and caption."""

    def __init__(
        self, selection: PostSet, format: str | CaptionFormat | Mapping[str, Any] = "kohaku-epsilon"
    ) -> None:
        """Keep a selection and a format; the selection runs when the first caption is read.

        Args:
            selection: the posts.
            format: the name of a preset, a format, or a table of its fields.

        Raises:
            CaptionFormatError: the format is not valid; the message names the field.
        """
        self._selection = selection
        self.captioner = Captioner(selection.database, format)
        self._ids: Ids | None = None

    @property
    def ids(self) -> Ids:
        """The ids of the posts, (N,) int64."""
        if self._ids is None:
            self._ids = self._selection.to_ids()
        return self._ids

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return self.captioner.captions(self.ids)

    def head(self, n: int = 5) -> pd.Series[str]:
        """Return the first captions, as a pandas Series by post id."""
        return self._series(self.ids[:n])

    def to_pandas(self) -> pd.Series[str]:
        """Return all captions, as a pandas Series by post id."""
        return self._series(self.ids)

    def write(self, path: str | os.PathLike[str], workers: int = 1) -> None:
        """Write all captions to a `.jsonl`, `.parquet` or `.txt` file; memory does not grow with the posts.

        Args:
            path: `.jsonl` holds `{"id": 1, "caption": "…"}` on each line, `.parquet` the columns `id` and `caption`,
                `.txt` a caption on each line. The file appears when it is whole.
            workers: processes that write captions; above 1, a script needs `if __name__ == "__main__":`.

        Raises:
            DestinationError: the file cannot be written there.
            CaptionFormatError: captions have line ends, which a `.txt` file cannot hold.
            IncompleteError: a worker process was killed; nothing was written.
        """
        path = Path(path)
        check_suffix(path, self.captioner)
        write_captions(self.captioner, self.ids, path, workers)

    def _series(self, ids: Ids) -> pd.Series[str]:
        import pandas as pd  # noqa: PLC0415 - half a second, for those who ask for a Series

        captions = [caption for _, caption in self.captioner.captions(ids)]
        return pd.Series(captions, index=pd.Index(ids, name="id"), name="caption", dtype="str")
