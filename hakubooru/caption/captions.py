"""What `selection.captions(format)` gives: captions that are made when they are asked for."""

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
        """Name what to caption and how; the posts are found when a caption is asked for.

        Raises:
            CaptionFormatError: the format is none.
        """
        self._selection = selection
        self.captioner = Captioner(selection.database, format)
        self._found: Ids | None = None

    @property
    def ids(self) -> Ids:
        """The posts, (N,) int64."""
        if self._found is None:
            self._found = self._selection.to_ids()
        return self._found

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return self.captioner.captions(self.ids)

    def head(self, n: int = 5) -> pd.Series[str]:
        """The first captions, as a pandas Series by post id."""
        return self._series(self.ids[:n])

    def to_pandas(self) -> pd.Series[str]:
        """All captions, as a pandas Series by post id."""
        return self._series(self.ids)

    def write(self, path: str | os.PathLike[str], workers: int = 1) -> None:
        """Write all captions to a `.jsonl`, `.parquet` or `.txt` file, in flat memory.

        Args:
            path: `.jsonl` holds `{"id": 1, "caption": "…"}` a line, `.parquet` the columns `id` and `caption`,
                `.txt` a caption a line. The file appears when it is whole.
            workers: processes that make captions; above 1, a script needs `if __name__ == "__main__":`.

        Raises:
            DestinationError: the file cannot be written there.
        """
        path = Path(path)
        check_suffix(path, self.captioner)
        write_captions(self.captioner, self.ids, path, workers)

    def _series(self, ids: Ids) -> pd.Series[str]:
        import pandas as pd  # noqa: PLC0415 - half a second, for those who ask for a Series

        captions = [caption for _, caption in self.captioner.captions(ids)]
        return pd.Series(captions, index=pd.Index(ids, name="id"), name="caption", dtype="str")
