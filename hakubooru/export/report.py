"""The report of an export, in figures and in words."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from hakubooru.export.pairs import STATE

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST_NAME: Final = 80


@dataclass(frozen=True, kw_only=True, repr=False)
class ExportReport:
    """The result of an export; `str()` says it in plain sentences."""

    out: Path
    selected: int
    """How many posts and images of your own were selected."""
    own: int
    """How many of `selected` are your own images."""
    exported: int
    """How many of `selected` are in the export now."""
    added: int
    """How many of `exported` this run added."""
    bytes: int
    """Bytes of the exported images without captions; bytes of the captions if only captions are exported."""
    left_out: dict[str, int]
    """Posts that are not in the export, by reason, the most frequent first."""
    passed_over: dict[str, tuple[int, list[str]]]
    """Members of archives that are not images of posts: how many and the first names, by reason."""
    damaged: dict[str, str]
    """Archives that could not be read to their end, and why."""
    other_database: str
    """How the database differs from the one that the export was begun with; "" if it does not."""
    edited_list: str
    """The name of the kept copy of a list of captions that was edited by hand; "" if the list was not edited."""
    kinds_in_shards: dict[str, int]
    """Images in shards by extension; empty if the export has no shards."""
    corrected: int
    """Captions that were corrected by hand; an export keeps them."""
    aside: int
    """Corrected captions of posts that were pruned; they lie in `.hakubooru/corrections` of the export."""
    duplicates: int
    """Exported images that are equal, byte for byte, to one of a post with a smaller id."""

    def __str__(self) -> str:
        what = "posts and images of your own" if self.own else "posts"
        lines = [f"{self.exported:,} of {self.selected:,} {what} are in {self.out}{self._how_much()}."]
        if self.left_out:
            reasons = ", ".join(f"{reason} ({count:,})" for reason, count in self.left_out.items())
            lines.append(f"Left out: {reasons}.")
        if self.duplicates:
            lines.append(
                f"{self.duplicates:,} images equal another image byte for byte (see sha256 in the manifest)."
            )
        if self.edited_list:
            lines.append(
                f"The list of captions was edited by hand and has been written again; your copy is {self.edited_list}."
            )
        if len(self.kinds_in_shards) > 1:
            kinds = ", ".join(f"{name} ({count:,})" for name, count in self.kinds_in_shards.items())
            lines.append(
                f"The shards hold {kinds}: `datasets` takes its columns from the first images and gives None for images "
                "of another kind. For `datasets`, convert all images to one kind (a recipe's [image] format = "
                '"webp"). `webdataset` reads all kinds.'
            )
        if self.corrected:
            lines.append(
                f"{self.corrected:,} {'caption was' if self.corrected == 1 else 'captions were'} corrected by hand "
                f"and kept; `hakubooru verify {self.out} --repair` writes the manifest's captions again."
            )
        if self.aside:
            lines.append(
                f"{self.aside:,} corrected {'caption' if self.aside == 1 else 'captions'} of pruned posts "
                f"{'is' if self.aside == 1 else 'are'} kept in {self.out / STATE / 'corrections'}, and "
                f"{'comes' if self.aside == 1 else 'come'} back if these posts are selected again."
            )
        if self.passed_over:
            members = "; ".join(
                f"{reason} ({count:,}: {', '.join(map(_shown, names))}{', …' if count > len(names) else ''})"
                for reason, (count, names) in self.passed_over.items()
            )
            lines.append(f"Passed over in the archives: {members}.")
        if self.other_database:
            lines.append(
                f"The database has changed since this export was begun: {self.other_database}. Captions written "
                "before stay as they are; to caption all posts from the new database, export into another folder."
            )
        lines += [
            f"Archive {name} {damage}; the images before that place were used."
            for name, damage in self.damaged.items()
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return "".join(f"<p>{escape(line)}</p>" for line in str(self).splitlines())

    def _how_much(self) -> str:
        earlier = self.exported - self.added
        return f" ({_size(self.bytes)}{f'; {earlier:,} were there before' if earlier else ''})"


def _shown(name: str) -> str:
    """Return a name from an archive without characters that control a terminal, and not too long."""
    name = name if name.isprintable() else ascii(name)[1:-1]
    return name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "…"


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
