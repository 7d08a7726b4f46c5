"""The requests that change something: steps and picks of the data set, saving, opening, and exports.

Each is a POST with a form, and is answered with the fragment of the page that it changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from hakubooru.arrays import distinct
from hakubooru.browse.draft import UNNAMED
from hakubooru.browse.draft_files import checked_name
from hakubooru.browse.facets import common_tags
from hakubooru.browse.session import session_of
from hakubooru.browse.templates import render
from hakubooru.caption import PRESETS
from hakubooru.curating import CHOICES, RecipeStep
from hakubooru.errors import HakubooruError, InputError
from hakubooru.export.sinks import SINKS
from hakubooru.image.convert import FORMATS
from hakubooru.store.schema import TAG_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

    from hakubooru.browse.session import Session

    Form = dict[str, str]

_FRESH: Final = {"Cache-Control": "no-store"}
"""Headers of an answer that a back button must not show again: the data set may have changed."""
_ADDERS: Final = {
    "search": "Search",
    "filter": "Filter",
    "sample_per": "Balance",
    "sample": "Sample",
    "sample_weighted": "Weighted sample",
    "best_of_family": "Best of families",
    "order": "Order",
    "limit": "Limit",
    "keep": "Keep",
    "drop": "Drop",
}
"""The words on the buttons that add a step, by its kind."""


class _OldPageError(InputError):
    """Raised for a change that a page sent which shows an earlier state of the data set."""


async def form_of(request: Request) -> Form:
    """The fields of a form; of two with one name, the last."""
    fields = parse_qs((await request.body()).decode(errors="replace"), keep_blank_values=True)
    return {name: values[-1].strip() for name, values in fields.items()}


async def pick(request: Request) -> Response:
    """Keep or drop a post by its id, or take that back."""
    form = await form_of(request)
    session = session_of(request)
    kind = "drop" if form.get("kind") == "drop" else "keep"
    is_picked = await run_in_threadpool(session.draft.pick, kind, _whole(form, "post"))
    return JSONResponse({"kind": kind, "picked": is_picked})


def picks(request: Request) -> Response:
    """The posts that are kept, and those that are dropped, by their ids."""
    draft = session_of(request).draft
    values = {kind: sorted(draft.picked(kind)) for kind in ("keep", "drop")}
    return JSONResponse(values, headers=_FRESH)


async def change(request: Request) -> Response:
    """Change the data set in one of the ways of `_CHANGES`, and show it."""
    form = await form_of(request)
    session = session_of(request)
    how = _CHANGES.get(request.path_params["how"])
    if how is None:
        return HTMLResponse("there is no such change", 404)

    def changed() -> Response:
        is_page = "HX-Request" not in request.headers
        try:
            how(session, form)
        except (HakubooruError, OSError) as error:
            is_old = isinstance(error, _OldPageError)
            typed = form if is_page and how is _save and not is_old else {}
            values = _values(request, problem=str(error), typed=typed)
            if is_page:
                return HTMLResponse(_set_page(request, values), 422)
            # A fragment is morphed into the page, which keeps what was typed there; for an old page it takes its place.
            headers = {"HX-Reswap": "outerHTML"} if is_old else {}
            return HTMLResponse(_fragment(request, values), 422, headers)
        return (
            RedirectResponse("/set", 303) if is_page else HTMLResponse(_fragment(request, _values(request)))
        )

    return await run_in_threadpool(changed)


def data_set(request: Request) -> Response:
    """The page of the data set in the making; `edit` is the place of a step that is to be changed."""
    edited = request.query_params.get("edit", "")
    place = int(edited) if _is_whole(edited) else None
    return HTMLResponse(_set_page(request, _values(request, edited=place)), headers=_FRESH)


def recipe_text(request: Request) -> Response:
    """The recipe of the data set as a TOML file."""
    draft = session_of(request).draft
    disposition = {"Content-Disposition": f'attachment; filename="{draft.name}.toml"'}
    return Response(draft.text(), media_type="application/toml", headers=disposition)


def fingerprint(request: Request) -> Response:
    """The fingerprint of the data set: the hash of its ids."""
    try:
        text = session_of(request).draft.selection().fingerprint()
    except InputError as error:
        text = str(error)
    return HTMLResponse(render("fingerprint.html", request, fingerprint=text))


def groups(request: Request) -> Response:
    """How many posts each group of the last balanced sample has, such as each character."""
    session = session_of(request)
    by = session.draft.balanced_by()
    try:
        ids = distinct(session.draft.selection().to_ids())
    except InputError:
        return HTMLResponse("")
    tags, is_exact = common_tags(session.database, ids, session.kinds)
    facet = next((each for each in tags if each.kind == by), None)
    return HTMLResponse(render("groups.html", request, facet=facet, is_exact=is_exact))


def export_state(request: Request) -> Response:
    """How the export of the data set stands."""
    session = session_of(request)
    return HTMLResponse(render("export.html", request, export=session.exports.watch(session.draft.name)))


def _set_page(request: Request, values: dict[str, Any]) -> str:
    return render("set.html", request, title="Data set", text="", **values)


def _fragment(request: Request, values: dict[str, Any]) -> str:
    """The part of the page that shows the data set."""
    return render("draft.html", request, **values)


def _values(
    request: Request, *, problem: str = "", typed: Mapping[str, str] | None = None, edited: int | None = None
) -> dict[str, Any]:
    """What the page of the data set shows.

    Args:
        request: the request that is answered.
        problem: why the change was not made.
        typed: the settings as they were typed, if they could not be saved; by default, those of the data set.
        edited: the place of the step that is to be changed.
    """
    session = session_of(request)
    draft = session.draft
    return {
        "draft": draft,
        "rows": draft.rows(),
        "problem": problem,
        "typed": typed or {},
        "edited": edited,
        "saved": draft.saved(),
        "joinable": draft.joinable(),
        "unnamed": UNNAMED,
        "presets": PRESETS,
        "sinks": SINKS,
        "formats": FORMATS,
        "adders": _ADDERS,
        "choices": CHOICES | {"tag_groups": TAG_TYPES},
        "export": session.exports.watch(draft.name) if draft.name != UNNAMED else None,
    }


def _step(session: Session, form: Form) -> RecipeStep:
    """The step that the fields of a form describe."""
    kind = form.get("kind", "")
    value: Any = form.get("value", "")
    table: dict[str, Any] = {kind: value}
    match kind:
        case "sample":
            table = {kind: _fraction(value)}
        case "sample_per":
            table = {kind: value, "at_most": _whole(form, "number"), "strict": "strict" in form}
        case "order":
            table = {kind: value.split()}
        case "limit":
            table = {kind: _number(value)}
        case "sample_weighted":
            table = {kind: value, "sample": _whole(form, "number")}
        case "keep" | "drop":
            table = {kind: [_number(word) for word in value.replace(",", " ").split()]}
            if not table[kind]:
                raise InputError("write post ids, such as 123 456")
        case "search" if not value:
            raise InputError("write a search first, such as 1girl solo")
    step = RecipeStep.parse(table)
    step.apply(session.database.posts, seed=0)  # an unknown tag or column is told now, not when the steps run
    return step


def _add(session: Session, form: Form) -> None:
    session.draft.add(_step(session, form))


def _replace(session: Session, form: Form) -> None:
    session.draft.replace(_place(session, form), _step(session, form))


def _place(session: Session, form: Form) -> int:
    """The place of the step that a form is about; the page may still show other steps."""
    if form.get("seen", session.draft.seen) != session.draft.seen:
        raise _OldPageError("the steps have changed in another page; here they are as they are now")
    return _whole(form, "place")


def _add_stratum(session: Session, form: Form) -> None:
    high, size = form.get("high", ""), form.get("sample", "")
    session.draft.add_stratum(
        _whole(form, "low"), _number(high) if high else None, _fraction(size) if size else None
    )


def _settle(session: Session, form: Form) -> None:
    seed = form.get("seed", "")
    chosen = form.get("format", "")
    image = dict(session.draft.other.get("image", {}))
    image.pop("format", None)
    if chosen:
        image["format"] = chosen
    caption = session.draft.other.get("caption")
    preset = form.get("caption", "")
    session.draft.settle(
        form.get("name", ""),
        description=form.get("description", ""),
        seed=_number(seed) if seed else None,
        # A caption format of its own, in the recipe's table, stays unless another is chosen.
        caption=preset or (caption if isinstance(caption, dict) else None),
        image=image or None,
    )


def _save(session: Session, form: Form) -> None:
    if form.get("seen", session.draft.seen_settings) != session.draft.seen_settings:
        raise _OldPageError(
            "the data set was renamed, opened or changed in another page; here it is as it is now"
        )
    session.draft.check_free(form.get("name", ""))
    _settle(session, form)
    session.draft.save()


def _open(session: Session, form: Form) -> None:
    _check_left(session, form)
    session.draft.open(form.get("name", ""))


def _new(session: Session, form: Form) -> None:
    _check_left(session, form)
    session.draft.clear()


def _check_left(session: Session, form: Form) -> None:
    """Check that a page that leaves the data set shows what would be lost."""
    if not session.draft.is_saved and form.get("seen", session.draft.seen_all) != session.draft.seen_all:
        raise _OldPageError(
            "the data set was changed in another page and is not saved; here it is as it is now"
        )


def _start(session: Session, form: Form) -> None:
    session.draft.save()
    name = checked_name(session.draft.name)
    session.exports.start(name, sink=form.get("sink", "folder"))


_CHANGES: Final[dict[str, Callable[[Session, Form], object]]] = {
    "add": _add,
    "add-stratum": _add_stratum,
    "join": lambda session, form: session.draft.join(form.get("joined", ""), form.get("file", "")),
    "unjoin": lambda session, form: session.draft.unjoin(form.get("joined", "")),
    "replace": _replace,
    "clear-strata": lambda session, _: session.draft.clear_strata(),
    "remove": lambda session, form: session.draft.remove(_place(session, form)),
    "switch": lambda session, form: session.draft.switch(_place(session, form)),
    "up": lambda session, form: session.draft.move(_place(session, form), -1),
    "down": lambda session, form: session.draft.move(_place(session, form), 1),
    "save": _save,
    "open": _open,
    "new": _new,
    "export": _start,
    "stop": lambda session, _: session.exports.stop(session.draft.name),
}


def _whole(form: Form, name: str) -> int:
    return _number(form.get(name, ""))


def _number(text: str) -> int:
    if not _is_whole(text):
        raise InputError(f"write a whole number, not {text!r}")
    return int(text)


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 16


def _fraction(text: str) -> int | float:
    """A number of posts, or a part of them: 1000, 50%, 12.5% or 0.5."""
    try:
        if text.endswith("%"):
            return float(text[:-1]) / 100
        if "." in text:
            return float(text)
    except ValueError:
        raise InputError(f"write a number of posts, or a part such as 50%, not {text!r}") from None
    return _number(text)
