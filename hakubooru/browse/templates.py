"""Rendering of the HTML templates; every value in them is escaped."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from hakubooru.browse.answers import narrowed, term_of
from hakubooru.quantity import quantity
from hakubooru.store.sites import SHOWN_OPENLY
from hakubooru.version import __version__

if TYPE_CHECKING:
    from starlette.requests import Request


def render(name: str, request: Request | None, **values: Any) -> str:
    """Render a template; it also sees the request and the session."""
    session = request.app.state.session if request is not None else None
    joined = session.database.joined_columns if session is not None else {}
    values["narrowed"] = partial(narrowed, joined=joined)
    return _templates().get_template(name).render(request=request, session=session, **values)


def prepare() -> None:
    """Compile the templates of the first page, which takes as long as the rest of it."""
    for name in ("search.html", "base.html", "cards.html"):
        _templates().get_template(name)


def link(path: str, **parameters: Any) -> str:
    """An address with parameters; those that are empty, None or 0 are left out."""
    pairs = {name.rstrip("_"): value for name, value in parameters.items() if value}
    return f"{path}?{urlencode(pairs)}" if pairs else path


@lru_cache(1)
def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("hakubooru.browse", "html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"number": lambda value: f"{value:,}", "quantity": quantity}
    templates.globals |= {
        "link": link,
        "term_of": term_of,
        "SHOWN_OPENLY": SHOWN_OPENLY,
        "version": __version__,
    }
    return templates
