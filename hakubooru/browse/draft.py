"""The data set in the making: a recipe that is changed step by step, saved in the work folder, and kept aside."""

from __future__ import annotations

import re
import tomllib
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from hakubooru.browse.draft_files import NAME, Aside, checked_name, hash_of, is_name, toml_text, write_beside
from hakubooru.browse.step_words import words_of, words_of_strata
from hakubooru.curating import RecipeStep
from hakubooru.errors import HakubooruError, InputError, RecipeError
from hakubooru.files import read_text, write_text
from hakubooru.recipe import Recipe, shipped
from hakubooru.store.value_files import FORMS

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from hakubooru.database import Database
    from hakubooru.selection import Selection

UNNAMED: Final = "untitled"
"""The name of a data set that has none yet."""
_JOINABLE: Final = re.compile(rf"{NAME.pattern}({'|'.join(map(re.escape, FORMS))})(\.gz)?")
"""The names of files in the work folder that can be joined."""
_HEAD: Final = ("description", "seed", "last_id")


@dataclass(frozen=True)
class Row:
    """A step of the data set as the page lists it."""

    words: str
    step: RecipeStep | None
    """The step; None for the strata, which come first and stay there."""
    posts: int | None
    """How many posts there are after it; None if it cannot run."""
    removed: int | None
    """How many posts it removes; negative if it adds some."""
    problem: str = ""
    """Why the step cannot run."""


class Draft:
    """The data set in the making of one browser; any thread may use it.

    `revision` grows with every change, so that a page can notice that another one changed it.
    """

    def __init__(self, database: Database, work: Path) -> None:
        """Begin with an empty data set, or with the one that was open the last time."""
        self._database = database
        self._work = work
        self._lock = RLock()
        self._aside = Aside(database.path, work)
        self.name = UNNAMED
        self.steps: list[RecipeStep] = []
        self.other: dict[str, Any] = {}
        """The keys of the recipe that are no steps."""
        self.is_saved = True
        self.revision = 0
        self._file = ""
        """The hash of the recipe's file as it was read or written here; "" if there is none."""
        with suppress(OSError, HakubooruError, ValueError, AttributeError):
            table = self._aside.read()
            name, file = checked_name(table.pop("name", "")), str(table.pop("file", ""))
            is_saved = bool(table.pop("saved", False))
            self._take(table, name)
            self._file, self.is_saved = file, False
            self.is_saved = is_saved or self.text() == (work / f"{name}.toml").read_text(encoding="utf-8")

    def recipe(self) -> Recipe:
        """The data set as a recipe.

        Raises:
            RecipeError: a step has a wrong value.
        """
        with self._lock:
            return Recipe.parse(self.text(), self.name)

    def text(self) -> str:
        """The recipe's TOML."""
        with self._lock:
            return toml_text(self._table())

    @property
    def seen(self) -> str:
        """A mark of the steps, by which a page says which steps it shows."""
        return hash_of(repr(self.steps))

    @property
    def seen_settings(self) -> str:
        """A mark of the name and of all that is no step."""
        return hash_of(repr((self.name, self.other)))

    @property
    def seen_all(self) -> str:
        """A mark of the whole data set."""
        return hash_of(repr((self.name, self.other, self.steps)))

    def selection(self) -> Selection:
        """The posts of the data set; the errors are those of `Recipe.select`."""
        return self.recipe().select(self._database)

    def balanced_by(self) -> str | None:
        """What the last balanced sample that is not switched off balances; None if there is none."""
        balanced = [step.value for step in self.steps if step.kind == "sample_per" and not step.off]
        return balanced[-1] if balanced else None

    def rows(self) -> list[Row]:
        """The steps with the number of posts that each leaves."""
        with self._lock:
            recipe = self.recipe()
            steps = list(self.steps)
        begin = replace(recipe, steps=())
        rows: list[Row] = []
        try:
            selection = begin.select(self._database)
            before = selection.count()
        except InputError as error:
            return [Row(words_of_strata(begin), None, None, None, str(error))]
        rows.append(Row(words_of_strata(begin), None, before, None))
        for place, step in enumerate(steps):
            if step.off:
                rows.append(Row(words_of(step), step, None, None))
                continue
            try:
                selection = step.apply(selection, seed=recipe.seed)
                posts = selection.count()
            except InputError as error:
                rows.append(Row(words_of(step), step, None, None, str(error)))
                rows += [Row(words_of(other), other, None, None) for other in steps[place + 1 :]]
                break
            rows.append(Row(words_of(step), step, posts, before - posts))
            before = posts
        return rows

    def add(self, step: RecipeStep) -> None:
        """Add a step at the end."""
        self._change(lambda: self.steps.append(step))

    def replace(self, place: int, step: RecipeStep) -> None:
        """Put another step in the place of a step; one that is switched off stays so."""
        step = replace(step, off=self.steps[self._checked(place)].off)
        self._change(lambda: self.steps.__setitem__(place, step))

    def remove(self, place: int) -> None:
        """Remove a step."""
        self._change(lambda: self.steps.pop(self._checked(place)))

    def switch(self, place: int) -> None:
        """Switch a step off, or on again."""
        step = self.steps[self._checked(place)]
        self._change(lambda: self.steps.__setitem__(place, replace(step, off=not step.off)))

    def move(self, place: int, by: int) -> None:
        """Move a step up (-1) or down (1)."""
        to = min(max(self._checked(place) + by, 0), len(self.steps) - 1)
        self._change(lambda: self.steps.insert(to, self.steps.pop(place)))

    def pick(self, kind: str, post: int) -> bool:
        """Keep or drop a post by its id, or take that back if it was kept or dropped so; return whether it is now."""
        with self._lock:
            is_picked = post not in self.picked(kind)
            for other in ("keep", "drop"):
                self._unpick(other, post)
            if is_picked:
                self._put(kind, post)
            self._changed()
            return is_picked

    def picked(self, kind: str) -> frozenset[int]:
        """The posts that are kept or dropped by their ids."""
        return frozenset(
            post for step in self.steps if step.kind == kind and not step.off for post in step.value
        )

    def settle(self, name: str, **other: Any) -> None:
        """Change the name and the keys of the recipe that are no steps; None removes a key.

        Raises:
            InputError: the name or a value cannot be used.
        """
        with self._lock:
            table = {key: value for key, value in (self.other | other).items() if value not in (None, "")}
            Recipe.parse(toml_text(table), checked_name(name))
            self.name, self.other = name, table
            self._changed()

    def add_stratum(self, low: int, high: int | None, sample: float | None) -> None:
        """Begin with a range of ids too; the ranges are joined.

        Args:
            low: the first id.
            high: the first id after the range; None leaves the end open.
            sample: the number or fraction of posts to draw; None keeps all.

        Raises:
            InputError: the range is empty, or the fraction is not one.
        """
        with self._lock:
            stratum: dict[str, Any] = {"ids": [low] if high is None else [low, high]}
            if sample is not None:
                stratum["sample"] = sample
            self.settle(self.name, strata=[*self.other.get("strata", ()), stratum])

    def clear_strata(self) -> None:
        """Begin with all posts again."""
        self.settle(self.name, strata=None)

    def joinable(self) -> list[str]:
        """The names of files in the work folder that can be joined."""
        return sorted(
            path.name for path in self._work.glob("*") if _JOINABLE.fullmatch(path.name) and path.is_file()
        )

    def join(self, name: str, file: str) -> None:
        """Join a file of values by post id, so that searches of the data set know them by a name.

        Args:
            name: the name of the values: small letters, digits and `_`.
            file: the name of a file in the work folder.

        Raises:
            InputError: there is no such file, it cannot be read, or another file has the name.
        """
        with self._lock:
            if file not in self.joinable():
                raise InputError(
                    f"the work folder has no file {file!r} that can be joined; its name must be letters, digits, - and _ "
                    f"with one of the endings {', '.join(FORMS)}"
                )
            path = self._work / file
            self._database.join(name, path)
            self.settle(self.name, join={**self.other.get("join", {}), name: str(path)})

    def unjoin(self, name: str) -> None:
        """Forget a joined file; searches that ask for its values cannot run any more."""
        with self._lock:
            joins = {other: path for other, path in self.other.get("join", {}).items() if other != name}
            self._database.unjoin(name)
            self.settle(self.name, join=joins or None)

    def clear(self) -> None:
        """Begin an empty data set."""
        self._take({}, UNNAMED)
        self._changed()
        self._settle_file("")

    def check_free(self, name: str) -> None:
        """Check that saving under a name would not replace the recipe of another data set.

        Raises:
            InputError: another recipe has the name.
        """
        if name != self.name and (self._work / f"{checked_name(name)}.toml").exists():
            raise InputError(
                f"another recipe is called {name}: open it to change it, or give this data set another name"
            )

    def save(self) -> Path:
        """Write the recipe into the work folder if it is not saved, and return its path.

        Raises:
            InputError: the data set has no name, or somebody else changed its file.
        """
        with self._lock:
            if self.name == UNNAMED:
                raise InputError("give the data set a name first; it becomes the name of the file")
            path = self._work / f"{checked_name(self.name)}.toml"
            if path.exists() and hash_of(read_text(path)) != self._file:
                raise InputError(
                    f"{path.name} was changed in another program: open it again to go on with that file, or give this data set "
                    "another name"
                )
            if not self.is_saved or not path.exists():
                text = self.text()
                write_text(path, text)
                self._settle_file(text)
            return path

    def saved(self) -> list[str]:
        """The names of recipes in the work folder, and of those that ship with hakubooru."""
        files = (path.stem for path in self._work.glob("*.toml"))
        return sorted(name for name in files if is_name(name) and self._is_recipe(name)) + shipped()

    def open(self, name: str) -> None:
        """Open a recipe of the work folder, or one that ships with hakubooru, by its name.

        Raises:
            RecipeError: there is no such recipe, or it has a wrong value.
        """
        path = self._work / f"{checked_name(name)}.toml"
        if not path.exists() and name not in shipped():
            raise RecipeError(f"there is no recipe {name!r} in the work folder; save one of that name first")
        self.load(path if path.exists() else name)

    def begin(self, recipe: str | os.PathLike[str]) -> Path | None:
        """Open a recipe as `load` does; an unsaved data set of the last time is written beside it first.

        Returns:
            the file of the unsaved data set; None if there is none.
        """
        Recipe.load(recipe)
        is_kept = not self.is_saved and bool(self._table())
        kept = write_beside(self._work, self.name, self.text()) if is_kept else None
        self.load(recipe)
        return kept

    def load(self, recipe: str | os.PathLike[str]) -> None:
        """Open a recipe by the name of one that ships with hakubooru, or by the path of a TOML file.

        Raises:
            RecipeError: there is no such recipe, or it has a wrong value.
        """
        name = Recipe.load(recipe).name
        if str(recipe) in shipped():
            text = (resources.files("hakubooru") / "recipes" / f"{recipe}.toml").read_text(encoding="utf-8")
        else:
            text = read_text(Path(recipe))
        self._take(tomllib.loads(text), name if is_name(name) else UNNAMED)
        self._changed()
        self._settle_file(text if Path(recipe).absolute() == self._work / f"{self.name}.toml" else "")

    def _is_recipe(self, name: str) -> bool:
        try:
            Recipe.load(self._work / f"{name}.toml")
        except HakubooruError:
            return False
        return True

    def _take(self, table: dict[str, Any], name: str) -> None:
        with self._lock:
            Recipe.parse(toml_text(table), name)
            steps = [{"filter": step} for step in table.get("filter", [])]
            steps += [{"search": table["query"]}] if "query" in table else []
            self.steps = [RecipeStep.parse(step) for step in (*steps, *table.get("steps", []))]
            for other in self.other.get("join", {}):
                self._database.unjoin(other)
            self.other = {
                key: value for key, value in table.items() if key not in ("filter", "query", "steps")
            }
            self.name = name
            self._file = ""

    def _table(self) -> dict[str, Any]:
        head = {key: self.other[key] for key in _HEAD if key in self.other}
        steps = [step.table() for step in self.steps]
        return head | self.other | ({"steps": steps} if steps else {})

    def _checked(self, place: int) -> int:
        if not 0 <= place < len(self.steps):
            raise InputError("the data set has changed in another page; load this page again")
        return place

    def _unpick(self, kind: str, post: int) -> None:
        steps = [
            replace(step, value=tuple(other for other in step.value if other != post))
            if step.kind == kind
            else step
            for step in self.steps
        ]
        self.steps = [step for step in steps if step.kind != kind or step.value]

    def _put(self, kind: str, post: int) -> None:
        """Add a post to the last step of a kind, if nothing but picks comes after it; else, to a new step at the end."""
        for place in range(len(self.steps) - 1, -1, -1):
            step = self.steps[place]
            if step.kind not in ("keep", "drop"):
                break
            if step.kind == kind and not step.off:
                self.steps[place] = replace(step, value=(*step.value, post))
                return
        self.steps.append(RecipeStep(kind=kind, value=(post,)))

    def _change(self, change: Callable[[], object]) -> None:
        with self._lock:
            change()
            self._changed()

    def _changed(self) -> None:
        self.revision += 1
        self.is_saved = False
        self._keep_aside()

    def _settle_file(self, text: str) -> None:
        """Note that the data set is that of its file, which has a text; "" if it has no file."""
        self.is_saved = True
        self._file = hash_of(text) if text else ""
        self._keep_aside()

    def _keep_aside(self) -> None:
        self._aside.write({"name": self.name, "file": self._file, "saved": self.is_saved} | self._table())
