"""Selections: immutable descriptions of a set of posts, run only when you ask for a result."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Self, overload

from hakubooru import fingerprint
from hakubooru.arrays import ascending
from hakubooru.caption import Captioner, CaptionFormat, Captions, caption_format
from hakubooru.engine.plan import count_steps, evaluate, explain
from hakubooru.engine.tag_counts import tag_counts
from hakubooru.errors import InputError
from hakubooru.quantity import quantity
from hakubooru.results.html import SHOWN, as_html
from hakubooru.select.arguments import amount
from hakubooru.select.arguments import seed as whole_seed
from hakubooru.select.builder import Builder
from hakubooru.select.danbooru import apply, parse
from hakubooru.select.steps import describe, uses
from hakubooru.stats import Stats, stats
from hakubooru.store.schema import TAG_TYPES

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd
    import pyarrow as pa

    from hakubooru.arrays import Ids
    from hakubooru.contact_sheet import ContactSheet
    from hakubooru.engine.cache import CachedStore
    from hakubooru.engine.plan import FunnelRow
    from hakubooru.export.run import ExportReport
    from hakubooru.export.sinks import OutputFormat
    from hakubooru.files import Places
    from hakubooru.image.convert import ImageFormat
    from hakubooru.select.predicates import Predicate
    from hakubooru.store.schema import Post

_POSTS_A_BATCH = 1000
_SMALL = "height:80px;max-width:120px;overflow:hidden"


class Selection(Builder["Selection"]):
    """A set of posts of one database, narrowed step by step; `db.posts` is all posts.

    A step returns a new selection and does not change this one. Nothing runs until you ask for a result, such
    as `to_ids()`, `count()` or `export()`. Steps run in the order in which you write them: filters give the same
    posts in any order, but a sample before a filter is not a sample after it. Two selections of one database
    combine as sets: `a | b`, `a & b`, `a - b`.
    """

    database: CachedStore

    def _matching(self, predicate: Predicate) -> Selection:
        return self.where(predicate)

    def search(self, text: str, *, implications: bool = False, seed: int = 0) -> Self:
        """Keep the posts that a search in Danbooru's syntax finds: `.search("1girl -comic rating:g")`.

        `hakubooru.select.danbooru` describes the syntax. Aliases of tags work where the database stores them. The
        posts stand in the order that the search asks for.

        A condition on a value that a post's source does not know is not met, and its negation is: `-is:deleted` keeps posts
        that do not say whether they are deleted, and `is:active` leaves them out. `explain` counts such posts.

        Args:
            text: the search.
            implications: whether the name of a tag also means the tags that imply it, for a set whose posts were not given
                the implied tags. The sites give them, so a search there needs no such step.
            seed: the seed of `random:` and `order:random`.

        Raises:
            SearchError: the search cannot be read, the database cannot answer it, or the database does not have
                one of its tags; the message shows the place.
            InputError: `implications` is set, and the file has no implications.
        """
        if not isinstance(text, str):
            raise InputError(f"search() takes one string, not {text!r}: write search('1girl solo')")
        parsed = parse(text, self.database.joined_columns)
        return apply(parsed, self, implications=implications, seed=whole_seed(seed, "search()"))

    def to_ids(self) -> Ids:
        """Run the selection and return the post ids, (N,) int64, ascending unless a step orders them.

        Raises:
            UnknownTagError: the database does not have one of the tags.
            InputError: a tag in `artist`, `character` or `copyright` has another type.
            SampleError: a sample asks for more posts than there are to draw from.
        """
        return evaluate(self.database, self.step)

    def count(self) -> int:
        """Count the posts."""
        return len(self.to_ids())

    def funnel(self) -> pd.DataFrame:
        """Count the posts after each step: a pandas frame with the columns `step`, `posts` and `removed`.

        The steps of the two sides of `a | b`, `a & b` and `a - b` are indented, before the step that combines them.
        """
        import pandas as pd  # noqa: PLC0415 - half a second that only frames need

        rows = self.funnel_rows()
        return pd.DataFrame(
            {
                "step": ["  " * row.depth + row.step for row in rows],
                "posts": [row.posts for row in rows],
                "removed": pd.array([row.removed for row in rows], dtype="Int64"),
            }
        )

    def funnel_rows(self) -> list[FunnelRow]:
        """Count the posts after each step: a list of rows, for use without pandas."""
        return count_steps(self.database, self.step)

    def explain(self) -> str:
        """Describe how the selection would run, one line for each step, without running it."""
        return explain(self.database, self.step)

    def tag_counts(self) -> pd.DataFrame:
        """Count the posts of each tag: a pandas frame with `name`, `type` and `posts`, the most common tag first."""
        return tag_counts(self.database, self.to_ids())

    def stats(self, *, caption: str | CaptionFormat = "kohaku-epsilon", top: int = 10) -> Stats:
        """Count the posts by rating, year, quality, size and bucket, and list the `top` tags of each type.

        Args:
            caption: the caption format whose quality labels are counted.
            top: how many tags of each type to list.

        Raises:
            CaptionFormatError: there is no caption format of that name.
            InputError: `top` is negative, or not a whole number.
        """
        top = amount(top, "stats(top=)", things="tags")
        return stats(self.database, self.to_ids(), caption=caption_format(caption), top=top)

    def to_pandas(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Read columns of the posts into a pandas frame, in the selection's order; by default, or for "all", those of the file.

        Raises:
            InputError: posts have no column of that name.
        """
        from hakubooru.results.tables import read_frame  # noqa: PLC0415 - Arrow is heavy, and only tables need it

        return read_frame(self.database, self.to_ids(), columns)

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Read columns of the posts into an Arrow table, in the selection's order; by default, or for "all", those of the file.

        Raises:
            InputError: posts have no column of that name.
        """
        from hakubooru.results.tables import read_table  # noqa: PLC0415

        return read_table(self.database, self.to_ids(), columns)

    def fingerprint(self, caption: str | CaptionFormat | None = None) -> str:
        """The SHA-256 of the ids in ascending order; two selections of the same posts have the same one.

        If joined files decided which posts are selected, their hashes are included.

        Args:
            caption: include the captions in this format too; every caption is made for that.

        Raises:
            CaptionFormatError: there is no caption format of that name.
        """
        ids = ascending(self.to_ids())
        if caption is None:
            files = self.database.joined.values()
            return fingerprint.of_ids(ids, {file.sha256 for file in files if uses(self.step, file.schema)})
        return fingerprint.of_captions(Captioner(self.database, caption).captions(ids))

    def posts(self) -> Iterator[Post]:
        """Iterate over the posts with their tags, in the selection's order; reads 1,000 posts at a time."""
        ids = self.to_ids()
        for start in range(0, len(ids), _POSTS_A_BATCH):
            yield from self.database.posts_with_tags(ids[start : start + _POSTS_A_BATCH])

    def head(self, n: int = 5) -> pd.DataFrame:
        """Read the first posts into a pandas frame, with all columns of the file."""
        return self.limit(n).to_pandas()

    def value_counts(self, by: str) -> pd.Series[int]:
        """Count the posts by a column, the most common value first; by a type of tags, the posts of each tag.

        Args:
            by: a column of `to_pandas`, such as "rating", "year" or "quality", or a type of tags such as "character".

        Raises:
            InputError: posts have no column of that name.
        """
        if by in TAG_TYPES:
            counts = self.tag_counts()
            of_type = counts[counts["type"] == by]
            return of_type.set_index("name")["posts"].rename_axis(by)
        return self.to_pandas([by])[by].value_counts().rename("posts")

    def show(
        self, images: Places = (), *, n: int = 24, caption: str | CaptionFormat = "kohaku-epsilon"
    ) -> ContactSheet:
        """The first posts with thumbnails and captions, as a contact sheet that a notebook shows.

        Args:
            images: folders, tars or URLs that hold the images; by default, those of the database's `images`.
            n: how many posts.
            caption: the caption format.

        Raises:
            InputError: no images are named, or `n` is negative or not a whole number.
            SourceError: a place is missing or cannot be read, or no images were found at all.
        """
        from hakubooru.contact_sheet import ContactSheet, shelf_of, thumbnail_url  # noqa: PLC0415 - needs images

        shelf = shelf_of(images or self.database.images)
        captions = Captioner(self.database, caption).captions(self.to_ids()[: amount(n, "show(n=)")])
        return ContactSheet(
            [(number, thumbnail_url(shelf, number, self.database), text) for number, text in captions]
        )

    def browse(self, images: Places = (), **options: Any) -> Any:
        """Show the posts on a page in the web browser, where they can be searched and put together to a data set.

        It needs the extra `browse`. The page is there until you call `close()` of the result, or the program ends.

        Args:
            images: folders, tars or URLs that hold the images; by default, those of the database's `images`.
            options: further arguments of `hakubooru.browse.Browser`, such as `query` and `work`.

        Raises:
            InputError: the extra is not installed, or an argument is wrong.
        """
        # The browser stands above selections, which therefore name it only here.
        browser = import_module("hakubooru.browse").Browser(
            self.database, posts=self, images=images or self.database.images, **options
        )
        browser.show()
        return browser

    def captions(self, caption: str | CaptionFormat = "kohaku-epsilon") -> Captions:
        """A view of the posts' captions in a format; each caption is made when you read it.

        Raises:
            CaptionFormatError: there is no caption format of that name.
        """
        return Captions(self, caption)

    def export(
        self,
        out: str | os.PathLike[str],
        *,
        images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
        own: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
        index: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
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
        """Write the posts' images and captions to `out` as pairs of files, and a manifest of every post.

        Args:
            out: a new or empty folder, or an export that was begun with the same options.
            images: folders, tars or URLs that hold the images of posts.
            own: folders of your own images, each with its caption beside it.
            index: folders and URLs that hold the indexes of tars, if they are not beside the tars.
            caption: the name of a preset, a format, or a table (a recipe's `[caption]`).
            image: how images are converted, a table (a recipe's `[image]`) such as `{"format": "webp"}`; by default copied.
            output: the form of the data set, a table (a recipe's `[output]`).
            sink: the `sink` of `output`, such as "webdataset".
            prune: whether posts that are not selected any more are removed from `out`.
            workers: processes that read and write; by default one, or one for each core if images are decoded.
            engine: "local", or "ray" for a cluster.
            address: the address of a running Ray cluster.
            strict: whether a post without an image is a failure.

        Raises:
            InputError: an argument is wrong.
            IncompleteError: nothing was exported, or not all that `strict` asks for; the message is the report.
        """
        from hakubooru.export.api import export  # noqa: PLC0415 - a fifth of what `import hakubooru` takes

        return export(
            self,
            out,
            images=images,
            own=own,
            index=index,
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

    def __len__(self) -> int:
        return self.count()

    def __iter__(self) -> Iterator[Post]:
        return self.posts()

    def __contains__(self, post: object) -> bool:
        return bool((self.to_ids() == getattr(post, "id", post)).any())

    @overload
    def __getitem__(self, place: int) -> Post: ...

    @overload
    def __getitem__(self, place: slice) -> Self: ...

    def __getitem__(self, place: int | slice) -> Post | Self:
        """Return the post at a place, or the selection of the posts at several, in the selection's order.

        Raises:
            IndexError: there is no post at that place.
            InputError: a slice goes backwards.
        """
        if isinstance(place, slice):
            if place.step is not None and place.step < 0:
                raise InputError("a selection cannot be turned round by [::-1]: write .order_by('-id')")
            return self.among(self.to_ids()[place])
        if not hasattr(place, "__index__"):
            raise InputError(
                f"a selection has posts by place: write [0] or [:10], or .to_pandas([…]) for columns, not [{place!r}]"
            )
        ids = self.to_ids()
        if not -len(ids) <= place < len(ids):
            raise IndexError(f"the selection has {quantity(len(ids), 'post')}, and no place {place}")
        (post,) = self.database.posts_with_tags(ids[place : place + 1 or None])
        return post

    def __invert__(self) -> Self:
        everything = type(self)(self.database)
        return everything - self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Selection):
            return NotImplemented
        return self.database is other.database and self.step == other.step

    def __hash__(self) -> int:
        return hash(self.step)

    def __repr__(self) -> str:
        return f"<Selection of {self.database.path.name}: {describe(self.step)}>"

    def _repr_html_(self) -> str:
        ids = self.database.cache.selections.get(self.step)
        pictures = {}
        if ids is not None and self.database.images:
            from hakubooru.contact_sheet import picture_html, shelf_of, thumbnail_url  # noqa: PLC0415

            shelf = shelf_of(self.database.images)
            pictures = {
                number: picture_html(thumbnail_url(shelf, number, self.database), _SMALL)
                for number in ids[:SHOWN].tolist()
            }
        return as_html(self.database, self.step, ids, pictures)
