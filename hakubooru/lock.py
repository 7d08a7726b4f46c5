"""Locks: what a selection was when it was made, so that a later run can say what changed.

A lock is a JSON file. Two selections are the same if the fingerprints of their ids and captions are; the rest of a
lock says why they are not.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Self

from hakubooru.errors import DestinationError, InputError
from hakubooru.files import read_text, replacing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hakubooru.caption import CaptionFormat
    from hakubooru.selection import Selection

_PACKAGES: Final = ("hakubooru", "numpy", "peewee")


@dataclass(frozen=True, kw_only=True)
class Lock:
    """What a selection was: what was asked, of which file, and what came of it."""

    asked: dict[str, Any]
    """Recipe, query, scale and the like, in the words of the one who asked."""
    database: dict[str, int | None]
    """Posts, and the first and last id, of the file."""
    posts: int
    ids: str
    """Fingerprint."""
    captions: str | None
    """Fingerprint, where captions were asked for."""
    caption: dict[str, Any] | None
    """The format of the captions, with the scale of qualities written out."""
    funnel: list[dict[str, Any]]
    """What each step left."""
    versions: dict[str, str]
    """Of hakubooru and what it stands on."""

    @classmethod
    def of(cls, selection: Selection, *, asked: dict[str, Any], caption: CaptionFormat | None) -> Self:
        """The lock of a selection; runs it, and makes all captions where a format is given.

        Raises:
            UnknownTagError: a tag that the database does not have.
            SampleError: a sample larger than what it is drawn from.
        """
        from importlib.metadata import version  # noqa: PLC0415 - a tenth of what `import hakubooru` takes

        rows = [asdict(row) for row in selection.funnel_rows()]
        of_file = selection.database.memory.columns.ids
        resolved = None if caption is None else caption.resolved(selection.database)
        return cls(
            asked=_plain(asked),
            database={
                "posts": len(of_file),
                "first_id": int(of_file[0]) if len(of_file) else None,
                "last_id": int(of_file[-1]) if len(of_file) else None,
            },
            posts=selection.count(),
            ids=selection.fingerprint(),
            captions=None if resolved is None else selection.fingerprint(resolved),
            caption=None if resolved is None else _plain(resolved.to_dict()),
            funnel=rows,
            versions={package: version(package) for package in _PACKAGES},
        )

    def write(self, path: Path) -> None:
        """Write the lock as JSON, beside and renamed.

        Raises:
            DestinationError: it cannot be written there.
        """
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"
        try:
            with replacing(path) as beside:
                beside.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            raise DestinationError(
                f"{path} cannot be written: {error.strerror}; go to another folder"
            ) from error

    @classmethod
    def read(cls, path: Path) -> Self:
        """A lock from its file.

        Raises:
            InputError: it is not a lock.
        """
        mend = "delete it, and run the same command again to write a new one"
        try:
            table = json.loads(read_text(path))
            lock = cls(**{field.name: table[field.name] for field in fields(cls)})
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}; {mend}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is no lock that this version of hakubooru wrote; {mend}") from error
        if not lock._is_sound():
            raise InputError(f"{path} is no lock that this version of hakubooru wrote; {mend}")
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
        }
        return all(isinstance(getattr(self, name), kind) for name, kind in kinds.items()) and all(
            isinstance(row, dict) and {"step", "posts"} <= set(row) for row in self.funnel
        )

    def changes(self, now: Lock) -> list[str]:
        """What is not as it was, a sentence each; none where ids and captions are the same."""
        if (self.ids, self.captions) == (now.ids, now.captions):
            return []
        return [*self._outcome(now), *self._reasons(now)]

    def _outcome(self, now: Lock) -> Iterator[str]:
        if self.posts != now.posts:
            yield f"posts: there were {self.posts:,}, there are {now.posts:,}"
        elif self.ids != now.ids:
            yield f"posts: as many as before ({now.posts:,}), but not the same"
        if self.captions is not None and now.captions is None:
            yield "captions: there were some, and now there are none"
        elif self.captions is None and now.captions is not None:
            yield "captions: there were none, and now there are some"
        elif self.ids == now.ids:
            yield "captions: the same posts, captioned differently"

    def _reasons(self, now: Lock) -> Iterator[str]:
        for name in ("asked", "database", "caption", "versions"):
            before, after = getattr(self, name) or {}, getattr(now, name) or {}
            for key in dict.fromkeys([*before, *after]):
                if before.get(key) != after.get(key):
                    yield f"{name}: {key} was {_shown(before.get(key))}, is {_shown(after.get(key))}"
        if [row["step"] for row in self.funnel] != [row["step"] for row in now.funnel]:
            yield "funnel: the steps are others"
            return
        for before, after in zip(self.funnel, now.funnel, strict=True):
            if before["posts"] != after["posts"]:
                yield f"funnel: {after['step']} left {before['posts']:,}, leaves {after['posts']:,}"


def _plain(value: Any) -> Any:
    """As it will be when it is read back."""
    return json.loads(json.dumps(value))


def _shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
