"""The pages that show posts: a search with its pictures, one post, and the pictures themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from hakubooru.browse.answers import A_PAGE, Answer, chips, mistake_of
from hakubooru.browse.cards import cards
from hakubooru.browse.portrait import portrait
from hakubooru.browse.templates import render
from hakubooru.errors import InputError

if TYPE_CHECKING:
    from starlette.requests import Request

    from hakubooru.browse.session import Session
    from hakubooru.browse.thumbnails import Picture

_KEPT: str = "private, max-age=600"


def search(request: Request) -> Response:
    """The page of a search: its posts, and how it can be narrowed."""
    session = _session(request)
    text = request.query_params.get("q", "").strip()
    answer, mistake = Answer(np.empty(0, np.int64)), None
    try:
        answer = session.answer(text)
    except InputError as error:
        mistake = mistake_of(error)
    values = _page_of(session, answer, text, 0)
    page = render(
        "search.html", request, chips=chips(text), mistake=mistake, answer=answer, title=text, **values
    )
    return HTMLResponse(page, 200 if mistake is None else 400)


def more(request: Request) -> Response:
    """The next posts of a search, for scrolling on."""
    session = _session(request)
    text = request.query_params.get("q", "")
    start = _whole(request.query_params.get("from", "0"))
    return HTMLResponse(render("cards.html", request, **_page_of(session, session.answer(text), text, start)))


def post(request: Request) -> Response:
    """The page of one post."""
    session = _session(request)
    number: int = request.path_params["number"]
    text = request.query_params.get("q", "")
    shown = portrait(session.database, number)
    if shown is None:
        raise HTTPException(404, f"The database has no post {number}.")
    ids = session.answer(text).ids
    places = np.flatnonzero(ids == number)
    before = after = None
    if len(places):
        place = int(places[0])
        before = int(ids[place - 1]) if place else None
        after = int(ids[place + 1]) if place + 1 < len(ids) else None
    return HTMLResponse(
        render(
            "post.html", request, shown=shown, text=text, before=before, after=after, title=f"post {number}"
        )
    )


def thumbnail(request: Request) -> Response:
    """The thumbnail of a post's image."""
    return _sent(_session(request).thumbnail(request.path_params["number"]))


def view(request: Request) -> Response:
    """The large view of a post's image."""
    return _sent(_session(request).view(request.path_params["number"]))


def _page_of(session: Session, answer: Answer, text: str, start: int) -> dict[str, Any]:
    ids = answer.page(start)
    end = start + A_PAGE
    return {
        "cards": cards(session.database, ids),
        "text": text,
        "next": end if end < len(answer.ids) else None,
    }


def _sent(picture: Picture) -> Response:
    return Response(picture.data, media_type=picture.media_type, headers={"Cache-Control": _KEPT})


def _session(request: Request) -> Session:
    session: Session = request.app.state.session
    return session


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else 0
