"""The application: which function answers which address."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from hakubooru.browse import changes, pages
from hakubooru.browse.guard import Guard
from hakubooru.browse.templates import render
from hakubooru.errors import HakubooruError
from hakubooru.image.shelf import NoImageError
from hakubooru.store.sqlite_errors import SQLITE_ERRORS

_PHRASE: Final = HTTPStatus.NOT_FOUND.phrase
"""What Starlette says of an address that no route has."""

if TYPE_CHECKING:
    from starlette.requests import Request

    from hakubooru.browse.session import Session


class _PostNumber(IntegerConvertor):
    """The number of a post in an address; longer ones than the columns of a database hold are no address."""

    regex = "[0-9]{1,18}"


def site(session: Session, *, host: str = "127.0.0.1", token: str | None = None) -> Starlette:
    """Make the ASGI application of a session.

    Args:
        session: what the pages show.
        host: the address that the server listens on.
        token: the secret that requests must bring; None asks for none.
    """
    register_url_convertor("post", _PostNumber())
    app = Starlette(
        routes=[
            Route("/", pages.search),
            Route("/more", pages.more),
            Route("/post/{number:post}", pages.post),
            Route("/thumbnail/{number:post}", pages.thumbnail),
            Route("/view/{number:post}", pages.view),
            Route("/complete", pages.complete),
            Route("/check", pages.check),
            Route("/facets", pages.narrowing),
            Route("/charts", pages.charted),
            Route("/family/{number:post}", pages.family),
            Route("/set", changes.data_set),
            Route("/set/recipe.toml", changes.recipe_text),
            Route("/set/fingerprint", changes.fingerprint),
            Route("/set/picks", changes.picks),
            Route("/set/groups", changes.groups),
            Route("/set/state", changes.export_state),
            Route("/pick", changes.pick, methods=["POST"]),
            Route("/set/{how:str}", changes.change, methods=["POST"]),
            Mount("/static", StaticFiles(packages=[("hakubooru.browse", "static")])),
        ],
        middleware=[Middleware(Guard, host=host, token=token)],
        exception_handlers={
            HakubooruError: _wrong,
            NoImageError: _no_image,
            404: _missing,
            ClientDisconnect: _gone,
            **dict.fromkeys((OSError, *SQLITE_ERRORS), _failed),
        },
    )
    app.state.session = session
    return app


def _wrong(request: Request, error: Any) -> Response:
    return HTMLResponse(render("error.html", request, title="This cannot be done", message=str(error)), 400)


def _failed(request: Request, error: Any) -> Response:
    message = (
        f"{error}. The database or the folder for recipes is not any more as it was when `hakubooru browse` was started: "
        "put it back, or start again."
    )
    return HTMLResponse(render("error.html", request, title="This cannot be done", message=message), 500)


def _missing(request: Request, error: Any) -> Response:
    message = error.detail if error.detail != _PHRASE else "There is no such page."
    return HTMLResponse(render("error.html", request, title="Not found", message=message), 404)


def _gone(_: Request, __: Any) -> Response:
    """The answer that nobody reads: the connection was closed before the request was whole."""
    return Response(status_code=400)


def _no_image(_: Request, error: Any) -> Response:
    return Response(render("no-image.svg", None, reason=str(error)), 404, media_type="image/svg+xml")
