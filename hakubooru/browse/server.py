"""The running browser: a server in a thread of this process, and its address."""

from __future__ import annotations

import secrets
import socket
import threading
import time
import warnings
import webbrowser
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from hakubooru.browse.completion import Completion
from hakubooru.browse.draft import Draft
from hakubooru.browse.exports import Exports
from hakubooru.browse.facets import charts
from hakubooru.browse.guard import LOOPBACK
from hakubooru.browse.session import Session
from hakubooru.browse.site import site
from hakubooru.browse.templates import link, prepare
from hakubooru.browse.thumbnails import Thumbnails
from hakubooru.engine.cache import open_sidecar
from hakubooru.errors import HakubooruError, InputError
from hakubooru.files import absolute, listed
from hakubooru.image.shelf import Shelf
from hakubooru.store.sqlite_errors import SQLITE_ERRORS

_SMALL: Final = 300_000
"""The largest id of a file whose searches take less than a tenth of a second without a sidecar."""

_FIRST: Final = 1.0
"""How many seconds the first page may take to be asked for; until then it has the machine for itself."""
_PAUSE: Final = 0.05
"""How many seconds pass until it is looked again whether nobody waits for a page."""

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from hakubooru.database import Database
    from hakubooru.files import Places
    from hakubooru.selection import Selection


class Browser:
    """A page that shows posts, in a web browser; it runs until `close`, and can be used in a `with` statement.

    Args:
        database: the metadata database.
        posts: the posts that can be searched; by default, all.
        query: the search that is shown first.
        images: folders, tars or URLs that hold the posts' images; without them, only metadata is shown.
        recipe: the data set to begin with: the name of a recipe that ships with hakubooru, or a TOML file.
        work: the folder that recipes and exports are written to.
        host: the address to listen on. Off loopback, the page's address has a secret token.
        port: the port to listen on; 0 takes a free one.

    Raises:
        InputError: the port is in use, the folder does not exist, or the extra `browse` is not installed.
        SourceError: a place of images is missing or cannot be read, or no images were found at all.
    """

    def __init__(
        self,
        database: Database,
        *,
        posts: Selection | None = None,
        query: str = "",
        images: Places = (),
        recipe: str | os.PathLike[str] | None = None,
        work: str | os.PathLike[str] = ".",
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        import uvicorn  # noqa: PLC0415 - an extra

        work = Path(work)
        if not work.is_dir():
            raise InputError(f"the folder {work} does not exist; create it, or name another with --work")
        roots = listed(images)
        self.token = None if host in LOOPBACK else secrets.token_urlsafe(24)
        with ExitStack() as stack:
            shelf = Shelf(roots) if roots else None
            thumbnails = stack.enter_context(Thumbnails()) if roots else None
            draft = Draft(database, work.absolute())
            if recipe is not None and (kept := draft.begin(recipe)) is not None:
                warnings.warn(
                    f"the data set of the last time was not saved; it is now the recipe {kept.stem}, in {kept}",
                    stacklevel=2,
                )
            self.session = Session(
                database=database,
                posts=database.posts if posts is None else posts,
                shelf=shelf,
                thumbnails=thumbnails,
                work_name=work.absolute().name,
                draft=draft,
                exports=Exports(database.path.absolute(), work.absolute(), absolute(roots)),
                completion=Completion(database),
                is_quick=_is_quick(database),
            )
            listening = stack.enter_context(_listen(host, port))
            name = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
            name = f"[{name}]" if ":" in name else name
            self.url = f"http://{name}:{listening.getsockname()[1]}/"
            self._first = link(self.url, q=query, token=self.token)
            prepare()
            app = site(self.session, host=host, token=self.token)
            config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", ws="none")
            self._server = uvicorn.Server(config)
            self._is_over = threading.Event()
            self._thread = threading.Thread(target=self._serve, args=(listening,), daemon=True)
            self._thread.start()
            self._warming = threading.Thread(target=self._warm, daemon=True)
            self._warming.start()
            self._open = stack.pop_all()

    @property
    def first(self) -> str:
        """The address to open: the page with the first search, and the token if there is one."""
        return self._first

    def show(self) -> None:
        """Open the page in the user's web browser."""
        webbrowser.open(self.first)

    def wait(self) -> None:
        """Wait until the server ends."""
        # A `join` that Ctrl-C interrupts counts the thread as ended (Python 3.11), and `close` would not wait for it.
        while not self._is_over.wait(0.5):
            pass

    def close(self) -> None:
        """End the server and its processes. Exports that were started go on."""
        self._server.should_exit = True
        self._thread.join()
        self._warming.join()
        self._open.close()

    def _serve(self, listening: socket.socket) -> None:
        try:
            self._server.run([listening])
        finally:
            self._is_over.set()

    def _warm(self) -> None:
        """Read what takes some seconds in a large file before it is needed: the tags, and columns."""
        session = self.session
        steps: list[Callable[[], object]] = [
            lambda: session.completion.suggestions("a"),
            lambda: session.kinds,
        ]
        if session.is_quick:
            steps.append(lambda: charts(session.database, session.database.posts.to_ids()))
        # The browser may be closed meanwhile, and what is wrong with the file is told where a page needs it.
        with suppress(HakubooruError, OSError, *SQLITE_ERRORS):
            end = time.monotonic() + _FIRST
            for step in steps:
                if not self._is_idle(end):
                    return
                step()

    def _is_idle(self, end: float) -> bool:
        """Wait until nobody waits for a page, and the first was asked for or `end` is over; False if the server ends."""
        server = self._server
        while not server.should_exit:
            state = server.server_state
            if not state.tasks and (state.total_requests or time.monotonic() > end):
                return True
            time.sleep(_PAUSE)
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Browser at {self.first}>"


def _is_quick(database: Database) -> bool:
    """Whether a sidecar answers searches, or the file is so small that it needs none."""
    return (
        open_sidecar(database.path) is not None
        or (database.scalar("SELECT MAX(id) FROM post") or 0) <= _SMALL
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small answers at once (TCP_NODELAY) only where the socket names its protocol; else a connection that
    # is kept open waits 40 ms for each.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        # From now on the page can be asked for; it is answered when the thread has begun.
        listening.listen(128)
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot listen on {host}, port {port}: {reason}; name another --port") from error
    return listening
