"""The pages that show posts: a search with its pictures, one post, and the pictures themselves."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response

from hakubooru.browse.answers import A_PAGE, Answer, chips, mistake_of
from hakubooru.browse.facets import charts, common_tags, facets
from hakubooru.browse.portrait import cards, portrait, relatives
from hakubooru.browse.session import IN_SET, session_of
from hakubooru.browse.templates import render
from hakubooru.errors import InputError

if TYPE_CHECKING:
    from starlette.requests import Request

    from hakubooru.browse.session import Session

ORDERS_SHOWN: Final = {
    "newest": "id_desc",
    "oldest": "id",
    "score": "score",
    "favourites": "favcount",
    "largest": "mpixels",
    "tallest": "portrait",
    "widest": "landscape",
    "random": "random",
}
"""The orders that can be chosen, by name."""
_KEPT: Final = "private, max-age=600"


def search(request: Request) -> Response:
    """The page of a search: its posts, and how it can be narrowed."""
    session, text, within = _asked(request)
    answer, mistake = Answer(np.empty(0, np.int64)), None
    try:
        answer = session.answer(text, within)
    except InputError as error:
        mistake = mistake_of(error)
    last = max(len(answer.ids) - 1, 0)
    start = min(_whole(request.query_params.get("from", "0")), last) // A_PAGE * A_PAGE
    page = render(
        "search.html",
        request,
        chips=chips(text, session.database.joined_columns),
        mistake=mistake,
        answer=answer,
        title=text,
        orders=ORDERS_SHOWN,
        start=start,
        before=max(start - A_PAGE, 0),
        **_page_of(session, answer, text, within, start),
    )
    return HTMLResponse(page, 200 if mistake is None else 400)


def more(request: Request) -> Response:
    """The next posts of a search, for scrolling on."""
    session, text, within = _asked(request)
    answer = session.answer(text, within)
    start = _whole(request.query_params.get("from", "0"))
    return HTMLResponse(render("cards.html", request, **_page_of(session, answer, text, within, start)))


def narrowing(request: Request) -> Response:
    """What the posts of a search have in common, each value with a link that narrows to it."""
    session, text, within = _asked(request)
    answer = session.answer(text, within)
    ids = np.sort(answer.ids)
    tags, is_exact = common_tags(session.database, ids, session.kinds)
    values = {"facets": facets(session.database, ids, session.quality), "tags": tags, "is_exact": is_exact}
    return _counted(within, render("facets.html", request, text=text, within=within, answer=answer, **values))


def charted(request: Request) -> Response:
    """Charts of the posts of a search: years, scores and sizes."""
    session, text, within = _asked(request)
    answer = session.answer(text, within)
    shown = charts(session.database, np.sort(answer.ids))
    page = render("charts.html", request, text=text, within=within, answer=answer, charts=shown)
    return _counted(within, page)


def complete(request: Request) -> Response:
    """Suggestions for the word that is being typed."""
    suggestions = session_of(request).completion.suggestions(request.query_params.get("word", "")[:200])
    return JSONResponse([asdict(each) for each in suggestions])


def check(request: Request) -> Response:
    """The number of posts of a search that is being typed, or its mistake; neither if that would take long."""
    session, text, within = _asked(request)
    try:
        if session.is_quick:
            return JSONResponse({"posts": len(session.answer(text, within).ids)})
        session.posts.search(text)
    except InputError as error:
        sentence, place = mistake_of(error)
        return JSONResponse({"mistake": sentence, "place": place})
    return JSONResponse({})


def post(request: Request) -> Response:
    """The page of one post."""
    session, text, within = _asked(request)
    number: int = request.path_params["number"]
    shown = portrait(session.database, number)
    if shown is None:
        raise HTTPException(404, f"The database has no post {number}.")
    ids = session.answer(text, within).ids
    places = np.flatnonzero(ids == number)
    before = after = None
    place = 0
    if len(places):
        place = int(places[0])
        before = int(ids[place - 1]) if place else None
        after = int(ids[place + 1]) if place + 1 < len(ids) else None
    return HTMLResponse(
        render(
            "post.html",
            request,
            shown=shown,
            text=text,
            within=within,
            before=before,
            after=after,
            start=place // A_PAGE * A_PAGE,
            kept=session.draft.picked("keep"),
            dropped=session.draft.picked("drop"),
            title=f"post {number}",
        )
    )


def family(request: Request) -> Response:
    """The parent and the children of a post."""
    session, text, within = _asked(request)
    ids = relatives(session.database, request.path_params["number"])
    values = {"cards": cards(session.database, ids), "text": text, "within": within, "next": None}
    return HTMLResponse(render("family.html", request, kept=(), dropped=(), **values))


def thumbnail(request: Request) -> Response:
    """The thumbnail of a post's image."""
    return _sent(request, is_large=False)


def view(request: Request) -> Response:
    """The large view of a post's image."""
    return _sent(request, is_large=True)


def _asked(request: Request) -> tuple[Session, str, str]:
    """The session of a request, its search, and where that looks: `IN_SET`, or "" for all posts."""
    within = IN_SET if request.query_params.get("in") == IN_SET else ""
    return session_of(request), request.query_params.get("q", "").strip(), within


def _page_of(session: Session, answer: Answer, text: str, within: str, start: int) -> dict[str, Any]:
    end = start + A_PAGE
    return {
        "cards": cards(session.database, answer.page(start)),
        "text": text,
        "within": within,
        "next": end if end < len(answer.ids) else None,
        "kept": session.draft.picked("keep"),
        "dropped": session.draft.picked("drop"),
    }


def _counted(within: str, fragment: str) -> Response:
    """Counts of the posts of a search; who comes back to it soon gets them from the web browser's cache."""
    # The posts of a data set change with every step.
    return HTMLResponse(fragment, headers={"Cache-Control": "no-store" if within else "private, max-age=60"})


def _sent(request: Request, *, is_large: bool) -> Response:
    picture = session_of(request).picture(request.path_params["number"], is_large=is_large)
    return Response(picture.data, media_type=picture.media_type, headers={"Cache-Control": _KEPT})


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else 0
