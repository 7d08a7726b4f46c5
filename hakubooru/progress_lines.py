"""Progress as plain lines, for logs: `images: 1,200 of 5,000 (24%), 3:10 left`."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


class Lines(tqdm):  # type: ignore[type-arg] # tqdm is generic only for type checkers
    """A tqdm bar that writes a line to standard error whenever `mininterval` seconds have passed."""

    monitor_interval = 0  # no thread that watches: lines may be late where an update is

    def display(self, msg: str | None = None, pos: int | None = None) -> Any:  # noqa: ARG002 - tqdm's own arguments
        """Write a line."""
        sys.stderr.write(f"{self._line()}\n")
        sys.stderr.flush()

    def close(self) -> None:
        """End the progress, with a last line if there was one before."""
        if self.disable:
            return
        self.disable = True
        if self.start_t < self.last_print_t and self.last_print_n < self.n:
            self.display()
        self._decr_instances(self)  # type: ignore[attr-defined] # tqdm's types lack it

    def _line(self) -> str:
        words = self.format_dict
        what = (words["prefix"] or words["unit"]).strip() or "done"
        done, total, rate = words["n"], words["total"], words["rate"]
        after = f"; {words['postfix']}" if words["postfix"] else ""
        if not total:
            return f"{what}: {done:,.0f}{after}"
        left = f", {self.format_interval((total - done) / rate)} left" if rate and done < total else ""
        return f"{what}: {done:,.0f} of {total:,.0f} ({done / total:.0%}){left}{after}"
