"""What one running browser works with: the database, the images, and the folder for what it writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

from hakubooru.browse.answers import Answer, Searches
from hakubooru.browse.facets import labelled, tag_kinds
from hakubooru.image.shelf import NoImageError

if TYPE_CHECKING:
    from starlette.requests import Request

    from hakubooru.arrays import Values
    from hakubooru.browse.completion import Completion
    from hakubooru.browse.draft import Draft
    from hakubooru.browse.exports import Exports
    from hakubooru.browse.thumbnails import Picture, Thumbnails
    from hakubooru.caption import CaptionFormat
    from hakubooru.database import Database
    from hakubooru.image.shelf import Shelf
    from hakubooru.selection import Selection


IN_SET: Final = "set"
"""Where a search looks for posts of the data set in the making, as the addresses of pages say it."""


def session_of(request: Request) -> Session:
    """The session of the application that a request is to."""
    session: Session = request.app.state.session
    return session


@dataclass(frozen=True, kw_only=True)
class Session:
    """The parts of a running browser, which all pages share."""

    database: Database
    """The metadata database, which is only read."""
    posts: Selection
    """The posts that can be searched: all of the file, or those of a selection."""
    shelf: Shelf | None
    """The images; None without images."""
    thumbnails: Thumbnails | None
    """Makes thumbnails; None without images."""
    work_name: str
    """The name of the folder that recipes and exports are written to."""
    draft: Draft
    """The data set in the making."""
    exports: Exports
    """The exports of data sets."""
    completion: Completion
    """Completes words of searches."""
    is_quick: bool
    """Whether a search takes so little that it is run while it is being typed."""
    searches: Searches = field(default_factory=Searches)

    @cached_property
    def kinds(self) -> Values:
        """The type of each tag, by the tag's id, (T,) int8."""
        return tag_kinds(self.database)

    @cached_property
    def quality(self) -> CaptionFormat | None:
        """The caption format whose quality labels are counted; None if no post has favourites."""
        return labelled(self.database)

    def answer(self, text: str, within: str = "") -> Answer:
        """Search the posts, or within `IN_SET` those of the data set; the errors are those of `Searches.answer`."""
        return self.searches.answer(text, self.draft.selection() if within == IN_SET else self.posts)

    def picture(self, number: int, *, is_large: bool) -> Picture:
        """The thumbnail of a post's image, or its large view.

        Raises:
            NoImageError: there is none.
        """
        if self.shelf is None or self.thumbnails is None:
            raise NoImageError("no images were named at the start")
        place = self.shelf.find(number, self.database)
        return self.thumbnails.view(place) if is_large else self.thumbnails.thumbnail(place)
