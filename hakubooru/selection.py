"""Selections: which posts, as an immutable value that runs only when a result is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from hakubooru.arrays import ascending
from hakubooru.caption import Captioner, CaptionFormat, Captions, caption_format
from hakubooru.errors import InputError
from hakubooru.select import fingerprint, funnel
from hakubooru.select.evaluate import check_tags, evaluate
from hakubooru.select.explain import explain
from hakubooru.select.search import apply, parse
from hakubooru.select.show import as_html
from hakubooru.select.step import describe
from hakubooru.select.steps import Steps
from hakubooru.select.tag_counts import tag_counts
from hakubooru.stats import Stats, stats

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd
    import pyarrow as pa

    from hakubooru.arrays import Ids
    from hakubooru.export import ExportReport, OutputFormat
    from hakubooru.image.convert import ImageFormat
    from hakubooru.select.funnel import FunnelRow
    from hakubooru.store.schema import Post

_POSTS_A_BATCH = 1000


class Selection(Steps):
    """Posts of one database, chosen step by step; `db.posts` is all of them.

    Every step gives a new selection and leaves this one as it is. Filters commute; a sample does not, so the
    steps keep the order in which they are written. Nothing runs until a result is asked for.
    """

    def search(self, text: str) -> Self:
        """Posts that a search in Danbooru's syntax finds, in its order: `.search("1girl -comic rating:g")`.

        Tags that the database has as aliases are understood; see `hakubooru.select.search` for the syntax.

        Raises:
            SearchError: the search cannot be read, asks what the database cannot answer, or names a tag that
                it does not have; the message shows the place.
        """
        if not isinstance(text, str):
            raise InputError(f"search() takes one text, and {text!r} is none; write search('1girl solo')")
        return apply(parse(text), self)

    def to_ids(self) -> Ids:
        """The ids, (N,) int64, in the selection's order: ascending, unless a step ordered them.

        Raises:
            UnknownTagError: a tag that the database does not have.
            SampleError: a sample larger than what it is drawn from.
        """
        check_tags(self.database, self.step)
        ids = evaluate(self.database, self.step)
        self.database.memory.put(self.step, ids)
        return ids

    def count(self) -> int:
        """How many posts."""
        return len(self.to_ids())

    def funnel(self) -> pd.DataFrame:
        """What each step left: a frame with `step`, `posts`, and how many were `removed`.

        The steps of a set that is joined with another stand indented, and each of them at its own count.
        """
        import pandas as pd  # noqa: PLC0415 - half a second that only frames need

        found = self.funnel_rows()
        return pd.DataFrame(
            {
                "step": ["  " * row.depth + row.step for row in found],
                "posts": [row.posts for row in found],
                "removed": pd.array([row.removed for row in found], dtype="Int64"),
            }
        )

    def funnel_rows(self) -> list[FunnelRow]:
        """What each step left, as `funnel` shows it, without pandas."""
        return funnel.rows(self.database, self.step)

    def explain(self) -> str:
        """What would run for a result, in words, a line for each step; nothing is run."""
        return explain(self.database, self.step)

    def tag_counts(self) -> pd.DataFrame:
        """How many of the posts bear each tag: a frame with `name`, `type` and `posts`, the commonest first."""
        return tag_counts(self.database, self.to_ids())

    def stats(self, *, caption: str | CaptionFormat = "kohaku-epsilon", top: int = 10) -> Stats:
        """What the posts are: ratings, years, qualities, sizes, buckets, and the `top` tags of each type.

        Args:
            caption: the format whose quality labels are counted.
            top: how many tags of a type.

        Raises:
            CaptionFormatError: there is no such format.
        """
        return stats(self.database, self.to_ids(), caption=caption_format(caption), top=top)

    def to_pandas(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Columns of the posts (all of them by default) as a pandas frame, in the selection's order.

        Raises:
            InputError: there is no such column.
        """
        from hakubooru.select.table import read_frame  # noqa: PLC0415 - Arrow is heavy, and only tables need it

        return read_frame(self.database, self.to_ids(), columns)

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Columns of the posts (all of them by default) as an Arrow table, in the selection's order.

        Raises:
            InputError: there is no such column.
        """
        from hakubooru.select.table import read_table  # noqa: PLC0415

        return read_table(self.database, self.to_ids(), columns)

    def fingerprint(self, caption: str | CaptionFormat | None = None) -> str:
        """SHA-256 of the ids, whatever their order: equal exactly for the same posts, on any machine.

        Args:
            caption: take the captions in this format into it as well (which makes them all).

        Raises:
            CaptionFormatError: there is no such format.
        """
        ids = ascending(self.to_ids())
        if caption is None:
            return fingerprint.of_ids(ids)
        return fingerprint.of_captions(Captioner(self.database, caption).captions(ids))

    def posts(self) -> Iterator[Post]:
        """The posts with their tags, in the selection's order, a thousand at a time (three queries each)."""
        ids = self.to_ids()
        for start in range(0, len(ids), _POSTS_A_BATCH):
            yield from self.database.posts_with_tags(ids[start : start + _POSTS_A_BATCH])

    def captions(self, caption: str | CaptionFormat = "kohaku-epsilon") -> Captions:
        """The captions of the posts in a format, as a view that makes them while it is read.

        Raises:
            CaptionFormatError: there is no such format.
        """
        return Captions(self, caption_format(caption))

    def export(
        self,
        out: str | os.PathLike[str],
        *,
        images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
        own: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
        caption: str | CaptionFormat | Mapping[str, Any] = "kohaku-epsilon",
        image: ImageFormat | Mapping[str, Any] | None = None,
        output: OutputFormat | Mapping[str, Any] | None = None,
        sink: str | None = None,
        prune: bool = False,
        workers: int | None = None,
        engine: str = "local",
        address: str | None = None,
        strict: bool = False,
    ) -> ExportReport:
        """Write images and captions as pairs of files; `hakubooru.export.export` says how, and what can go wrong."""
        from hakubooru.export import export  # noqa: PLC0415 - a fifth of what `import hakubooru` takes

        return export(
            self,
            out,
            images=images,
            own=own,
            caption=caption,
            image=image,
            output=output,
            sink=sink,
            prune=prune,
            workers=workers,
            engine=engine,
            address=address,
            strict=strict,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Selection):
            return NotImplemented
        return self.database is other.database and self.step == other.step

    def __hash__(self) -> int:
        return hash(self.step)

    def __repr__(self) -> str:
        return f"<Selection of {self.database.path.name}: {describe(self.step)}>"

    def _repr_html_(self) -> str:
        return as_html(self.database, self.step)
