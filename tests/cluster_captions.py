"""Captions that stop an export on a Ray cluster at a place that a test chooses; workers import this file."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exports import Plain

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Gated(Plain):
    """Captions that come when a file is there; until then their archive is half exported, and its node named."""

    gate: Path | None = None

    def captioned(self, ids):
        import ray

        self.gate.with_name(ray.get_runtime_context().get_node_id()).touch()
        while not self.gate.exists():
            time.sleep(0.01)
        return super().captioned(ids)


@dataclass
class Deadly(Plain):
    """Captions that kill the worker that asks for those of posts which end in 5."""

    def captioned(self, ids):
        if ids[0] % 1000 == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().captioned(ids)
