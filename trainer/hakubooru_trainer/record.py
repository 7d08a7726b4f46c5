"""A run's record of itself, OUT/run.json: what it trained, with which versions, on which card, for how long.

recipe           a fingerprint of all that decides the result: configuration, data set and model
about            the configuration by dotted keys, fingerprints of data set and model, versions of packages
updates          how many updates are done
hours            the hours of all attempts together, what was lost in kills included; null where an attempt does not say them
kilowatt_hours   what the GPUs of the first machine used meanwhile; null where it cannot be read
attempts         a table for each time that the run was started: when, from which update to which, card, ranks
"""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch

from hakubooru.files import write_text
from hakubooru_trainer.energy import joules

if TYPE_CHECKING:
    from pathlib import Path

    from hakubooru_trainer.checkpoint import States
    from hakubooru_trainer.distributed import Ranks

NAME = "run.json"


class Record:
    """The record of a run, which the first rank keeps on disk.

    Args:
        out: the run's folder.
        states: the states of the run, which know what it trains.
        update: the update that this attempt begins with.
        ranks: the ranks of the run.
    """

    def __init__(self, out: Path, states: States, update: int, ranks: Ranks) -> None:
        self.path = out / NAME if ranks.first else None
        self.about = states.about
        self.recipe = states.recipe
        self.attempts = _attempts(out / NAME)
        self._cards = ranks.world if ranks.device.type == "cuda" else 0
        self._begun, self._joules = datetime.now(UTC), joules(self._cards)
        self.attempts.append(
            {
                "started": self._begun.isoformat(timespec="seconds"),
                "first_update": update,
                "last_update": update,
                "hours": 0.0,
                "kilowatt_hours": None,
                "card": _card(ranks.device),
                "ranks": ranks.world,
            }
        )
        self.write(update)

    def write(self, update: int) -> None:
        """Bring the file up to date.

        Args:
            update: how many updates are done.
        """
        if self.path is None:
            return
        now = joules(self._cards)
        used = None if now is None or self._joules is None else round((now - self._joules) / 3.6e6, 6)
        hours = round((datetime.now(UTC) - self._begun).total_seconds() / 3600, 6)
        self.attempts[-1] |= {"last_update": update, "hours": hours, "kilowatt_hours": used}
        contents = {**self.summary(), "updates": update, "about": self.about, "attempts": self.attempts}
        write_text(self.path, json.dumps(contents, indent=1) + "\n")

    def summary(self) -> dict[str, Any]:
        """What the metadata of an adapter's file says of its run."""
        return {
            "recipe": self.recipe,
            "card": self.attempts[-1]["card"],
            "hours": self._sum("hours", 6),
            "kilowatt_hours": self._sum("kilowatt_hours", 4),
        }

    def _sum(self, key: str, digits: int) -> float | None:
        """A figure of all attempts together; None if an attempt does not say it."""
        figures = [attempt.get(key) for attempt in self.attempts]
        known = [figure for figure in figures if isinstance(figure, (int, float))]
        return round(sum(known), digits) if len(known) == len(figures) else None


def _attempts(path: Path) -> list[dict[str, Any]]:
    """The attempts of an earlier record; none if there is no such file, or it cannot be read."""
    try:
        attempts = json.loads(path.read_text(encoding="utf-8"))["attempts"]
        return [attempt for attempt in attempts if isinstance(attempt, dict)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _card(device: torch.device) -> str:
    """The name of a GPU, or of this machine's processor."""
    return (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.processor() or platform.machine()
    )
