"""Locks: records of a selection in JSON files, so that a later run can report what has changed.

Two selections are equal if the fingerprints of their ids and captions are. The other fields of a lock explain a
difference.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from hakubooru import fingerprint
from hakubooru.errors import DestinationError, InputError
from hakubooru.files import read_text, write_text

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from hakubooru.caption import CaptionFormat
    from hakubooru.selection import Selection

_PACKAGES: Final = ("hakubooru", "numpy", "peewee")


@dataclass(frozen=True, kw_only=True)
class Lock:
    """A record of a selection: the question, the file, and the result."""

    asked: dict[str, Any]
    """The question as the user wrote it: recipe, query, scale and so on."""
    database: dict[str, int | None]
    """The number of posts in the file, and their first and last id."""
    posts: int
    """How many posts the selection has."""
    ids: str
    """The fingerprint of the ids."""
    captions: str | None
    """The fingerprint of the captions; None without captions."""
    caption: dict[str, Any] | None
    """The caption format with its resolved quality scale; None without captions."""
    funnel: list[dict[str, Any]]
    """The steps of the selection and how many posts there are after each."""
    versions: dict[str, str]
    """The versions of hakubooru and of the packages that results depend on."""
    joined: dict[str, str] = field(default_factory=dict)
    """The SHA-256 of each joined file, by its name."""

    @classmethod
    def of(cls, selection: Selection, *, asked: dict[str, Any], caption: CaptionFormat | None) -> Self:
        """Make the lock of a selection. This runs it, and makes all captions if a format is given.

        Raises:
            UnknownTagError: the database does not have one of the tags.
            InputError: a tag in `artist`, `character` or `copyright` has another type.
            SampleError: a sample asks for more posts than there are to draw from.
        """
        from importlib.metadata import version  # noqa: PLC0415 - a tenth of what `import hakubooru` takes

        rows = [asdict(row) for row in selection.funnel_rows()]
        of_file = selection.database.cache.columns.ids
        resolved = None if caption is None else caption.resolved(selection.database)
        return cls(
            asked=_plain(asked),
            database={
                "posts": len(of_file),
                "first_id": int(of_file[0]) if len(of_file) else None,
                "last_id": int(of_file[-1]) if len(of_file) else None,
            },
            posts=selection.count(),
            ids=fingerprint.of_ids(selection.to_ids()),
            captions=None if resolved is None else selection.fingerprint(resolved),
            caption=None if resolved is None else _plain(resolved.to_dict()),
            funnel=rows,
            versions={package: version(package) for package in _PACKAGES},
            joined={name: file.sha256 for name, file in selection.database.joined.items()},
        )

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the lock to a JSON file, which appears only when it is complete.

        Raises:
            DestinationError: the file cannot be written.
        """
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"
        try:
            write_text(Path(path), text)
        except OSError as error:
            raise DestinationError(
                f"{path} cannot be written: {error.strerror}; choose another folder"
            ) from error

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read a lock from its file.

        Raises:
            InputError: the file cannot be read, or is not a lock.
        """
        mend = "delete it, and run the same command again to write a new one"
        try:
            table = {"joined": {}} | json.loads(read_text(Path(path)))  # which earlier versions did not write
            lock = cls(**{each.name: table[each.name] for each in fields(cls)})
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}; {mend}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is not a lock file of this version of hakubooru; {mend}") from error
        if not lock._is_sound():
            raise InputError(f"{path} is not a lock file of this version of hakubooru; {mend}")
        return lock

    def _is_sound(self) -> bool:
        kinds: dict[str, type | tuple[type, ...]] = {
            "asked": dict,
            "database": dict,
            "posts": int,
            "ids": str,
            "captions": (str, type(None)),
            "caption": (dict, type(None)),
            "versions": dict,
            "funnel": list,
            "joined": dict,
        }
        return all(isinstance(getattr(self, name), kind) for name, kind in kinds.items()) and all(
            isinstance(row, dict) and {"step", "posts"} <= set(row) for row in self.funnel
        )

    def changes(self, now: Lock) -> list[str]:
        """Describe the differences of a new lock, one sentence each; an empty list if ids and captions are equal."""
        if (self.ids, self.captions, self.joined) == (now.ids, now.captions, now.joined):
            return []
        return [*self._outcome(now), *self._reasons(now)]

    def _outcome(self, now: Lock) -> Iterator[str]:
        if self.posts != now.posts:
            yield f"posts: there were {self.posts:,}, now there are {now.posts:,}"
        elif self.ids != now.ids:
            yield f"posts: as many as before ({now.posts:,}), but not the same ones"
        if self.captions is not None and now.captions is None:
            yield "captions: there were captions before, and now there are none"
        elif self.captions is None and now.captions is not None:
            yield "captions: there were none before, and now there are captions"
        elif self.ids == now.ids and self.captions != now.captions:
            yield "captions: the posts are the same, and their captions differ"

    def _reasons(self, now: Lock) -> Iterator[str]:
        for name in ("asked", "database", "joined", "caption", "versions"):
            before, after = getattr(self, name) or {}, getattr(now, name) or {}
            for key in dict.fromkeys([*before, *after]):
                if before.get(key) != after.get(key):
                    yield f"{name}: {key} was {_shown(before.get(key))}, now it is {_shown(after.get(key))}"
        if [row["step"] for row in self.funnel] != [row["step"] for row in now.funnel]:
            yield "funnel: the steps differ"
            return
        for before, after in zip(self.funnel, now.funnel, strict=True):
            if before["posts"] != after["posts"]:
                yield f"funnel: after {after['step']} there were {before['posts']:,}, now {after['posts']:,}"


def _plain(value: Any) -> Any:
    """Convert a value to what JSON gives when it is read back."""
    return json.loads(json.dumps(value))


def _shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
