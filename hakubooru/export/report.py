"""What an export came to, in figures and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST_NAME: Final = 80


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """The result of an export; `str()` says it in plain sentences."""

    out: Path
    selected: int
    """Posts that were selected, and images of one's own."""
    own: int
    """Of them, the latter."""
    exported: int
    """Of them, those that are in the export now."""
    added: int
    """Of them, those that this run added."""
    bytes: int
    """Of the exported images, captions aside; of the captions where they are all that is exported."""
    left_out: dict[str, int]
    """Posts that are not in the export, by reason, the most frequent first."""
    passed_over: dict[str, tuple[int, list[str]]]
    """Members of archives that no image was taken from: by reason, how many and the first names."""
    damaged: dict[str, str]
    """Archives that could not be read to their end, and why."""
    other_database: str
    """How the database differs from the one that the export was begun with; "" where it does not."""
    edited_list: str
    """The name under which a list of captions that was changed by hand stays beside the new one; "" where none was."""
    kinds_in_shards: dict[str, int]
    """Images of each extension, where there are shards."""
    corrected: int
    """Captions in the export that were corrected by hand, and stay."""
    duplicates: int
    """Exported images that are, byte for byte, those of another post with a smaller id."""

    def __str__(self) -> str:
        what = "posts and images of your own" if self.own else "posts"
        lines = [f"{self.exported:,} of {self.selected:,} {what} are in {self.out}{self._how_much()}."]
        if self.left_out:
            reasons = ", ".join(f"{reason} ({count:,})" for reason, count in self.left_out.items())
            lines.append(f"Left out: {reasons}.")
        if self.duplicates:
            lines.append(
                f"{self.duplicates:,} images are byte for byte the same as another's (sha256 in the manifest)."
            )
        if self.edited_list:
            lines.append(
                f"The list of captions was changed by hand, and written anew; yours is kept as {self.edited_list}."
            )
        if len(self.kinds_in_shards) > 1:
            kinds = ", ".join(f"{name} ({count:,})" for name, count in self.kinds_in_shards.items())
            lines.append(
                f"The shards hold {kinds}: `datasets` takes its columns from the first images, and gives None for those of "
                'another kind. For it, convert all to one (a recipe\'s [image] format = "webp"); `webdataset` reads all.'
            )
        if self.corrected:
            lines.append(
                f"{self.corrected:,} {'caption was' if self.corrected == 1 else 'captions were'} corrected by hand, "
                "and kept; "
                f"`hakubooru verify {self.out} --repair` takes the manifest's back."
            )
        if self.passed_over:
            told = "; ".join(
                f"{reason} ({count:,}: {', '.join(map(_shown, names))}{', …' if count > len(names) else ''})"
                for reason, (count, names) in self.passed_over.items()
            )
            lines.append(f"Passed over in the archives: {told}.")
        if self.other_database:
            lines.append(
                f"The database has changed since this export was begun: {self.other_database}. Captions that were "
                "there before stay as they were; for those of one state, export into another folder."
            )
        lines += [
            f"Archive {name} {damage}; what came before was used." for name, damage in self.damaged.items()
        ]
        return "\n".join(lines)

    def _how_much(self) -> str:
        earlier = self.exported - self.added
        return f" ({_size(self.bytes)}{f'; {earlier:,} were there before' if earlier else ''})"


def _shown(name: str) -> str:
    """A name from an archive, without what would do something to a terminal."""
    name = name if name.isprintable() else ascii(name)[1:-1]
    return name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "…"


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
