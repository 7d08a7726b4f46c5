"""`hakubooru select`: select posts, and show how many each step keeps."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

import hakubooru as hb
from hakubooru.errors import IncompleteError
from hakubooru.select import check_suffix
from hakubooru_cli.options import Choice, QueryCommand, selection_options


@click.command(cls=QueryCommand)
@selection_options
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the ids to a .txt (one a line) or .parquet file."
)
@click.option(
    "--columns", metavar="A,B", help="The columns of --out FILE.parquet, or `all`; by default the ids alone."
)
@click.option("--funnel", is_flag=True, help="Show how many posts each step keeps.")
@click.option(
    "--lock", is_flag=True, help="Write ./NAME.lock, or compare with it and show what changed (exit code 1)."
)
@click.option("--explain", is_flag=True, help="Only show what would run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def select(
    choice: Choice,
    *,
    out: Path | None,
    columns: str | None,
    funnel: bool,
    lock: bool,
    explain: bool,
    as_json: bool,
) -> None:
    """Select posts from a metadata database.

    QUERY, --recipe and --ids narrow each other. The query searches the posts of the recipe. A lock is named after the
    recipe, or else after the database. It holds fingerprints of the ids and of the recipe's captions.
    """
    if out:
        check_suffix(out)
    if columns and (out is None or out.suffix != ".parquet"):
        raise click.UsageError("--columns needs a Parquet file; add --out FILE.parquet")
    with hb.open(choice.file) as database:
        selection = choice.select(database)
        if explain:
            click.echo(selection.explain())
            return
        result = Result(choice, selection, funnel=funnel, lock=lock)
        if out:
            _write(out, selection, columns)
    click.echo(json.dumps(result.table(out)) if as_json else result.text(out))
    if result.changes:
        changes = "".join(f"\n  {change}" for change in result.changes)
        raise IncompleteError(
            f"the selection is not what {result.lock} says:{changes}\n"
            f"to accept the changes, delete {result.lock} and run the same command again"
        )


class Result:
    """The result of a selection, as text and as JSON."""

    def __init__(self, choice: Choice, selection: hb.Selection, *, funnel: bool, lock: bool) -> None:
        self.steps = selection.funnel_rows() if funnel else []
        ids = selection.to_ids()
        self.count = len(ids)
        self.span = (int(ids.min()), int(ids.max())) if len(ids) else (None, None)
        self.fingerprint = selection.fingerprint()
        self.lock = Path(f"{choice.name}.lock") if lock else None
        self.is_new = self.lock is not None and not self.lock.exists()
        self.changes: list[str] = []
        if self.lock is not None:
            shape = choice.recipe.caption_format() if choice.recipe is not None else None
            before = None if self.is_new else hb.Lock.read(self.lock)
            now = hb.Lock.of(selection, asked=choice.asked(), caption=shape)
            if before is None:
                now.write(self.lock)
            else:
                self.changes = before.changes(now)

    def table(self, out: Path | None) -> dict[str, Any]:
        """Return the result as a table that JSON can hold; without what the options do not ask for."""
        first, last = self.span
        table: dict[str, Any] = {
            "posts": self.count,
            "first_id": first,
            "last_id": last,
            "fingerprint": self.fingerprint,
        }
        if self.steps:
            table["funnel"] = [asdict(row) for row in self.steps]
        if out:
            table["out"] = str(out)
        if self.lock:
            table |= {"lock": str(self.lock), "lock_is_new": self.is_new, "changes": self.changes}
        return table

    def text(self, out: Path | None) -> str:
        """Return the result as lines of text."""
        first, last = self.span
        lines = [funnel_text(self.steps)] if self.steps else []
        lines.append(f"{self.count:,} posts" + (f", ids {first:,} to {last:,}" if self.count else ""))
        if out:
            lines.append(f"{'posts' if out.suffix == '.parquet' else 'ids'} written to {out}")
        if self.lock and not self.changes:
            lines.append(f"{self.lock} written" if self.is_new else f"{self.lock} says the same")
        return "\n".join(lines)


def _write(out: Path, selection: hb.Selection, columns: str | None) -> None:
    if columns is None:
        hb.write_ids(out, selection.to_ids())
        return
    from hakubooru.results.tables import write_parquet  # noqa: PLC0415 - the command starts faster without Arrow

    names = None if columns == "all" else [name.strip() for name in columns.split(",")]
    write_parquet(out, selection.database, selection.to_ids(), names)


def funnel_text(steps: list[hb.FunnelRow]) -> str:
    """Return a funnel as lines of text: the step, how many posts it keeps, how many it removes."""
    width = max(len(row.step) + 2 * row.depth for row in steps)
    return "\n".join(
        f"{'  ' * row.depth + row.step:<{width}}  {row.posts:>12,}"
        + (f"  -{row.removed:,}" if row.removed else "")
        for row in steps
    )
