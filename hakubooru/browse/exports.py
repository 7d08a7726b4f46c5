"""Exports of data sets: each is the command `hakubooru export` as a process of its own, which outlives the browser."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import psutil

from hakubooru.errors import InputError
from hakubooru.export.sinks import SINKS
from hakubooru.files import write_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_STARTER: Final = "from hakubooru_cli.start import library; library()"
_PROGRESS: Final = re.compile(r"([\d,]+) of ([\d,]+)")
_TAIL: Final = 4000
"""The most bytes of a log that are shown."""
_started_here: Final[dict[tuple[int, float], subprocess.Popen[bytes]]] = {}
"""The processes that this one started, by number and start: it is told their exit codes, and nobody else is."""


@dataclass(frozen=True)
class Export:
    """An export that was started from the page."""

    name: str
    pid: int
    started: float
    """When its process was started, in seconds since 1970; a later process with the same number is another one."""
    is_running: bool
    is_stopped: bool
    """Whether it was asked to stop. Its exit code does not always say so: Python itself may be interrupted as it starts."""
    code: int | None
    """The exit code, if it is known."""
    done: int
    total: int
    log: str
    """The last lines that it printed."""

    @property
    def state(self) -> str:
        """How it stands, in a word."""
        if self.is_running:
            return "running"
        if self.is_stopped and self.code != 0:
            return "stopped"
        return {0: "finished", None: "ended"}.get(self.code, "failed")


class Exports:
    """The exports of one work folder; any thread may use it.

    `NAME.export.json` and `NAME.export.log` beside the recipe say which process it is and what it printed.
    """

    def __init__(self, database: Path, work: Path, images: Sequence[str]) -> None:
        self._database = database
        self._work = work
        self._images = images
        self._lock = Lock()

    def start(self, name: str, *, sink: str) -> None:
        """Export the saved recipe of a name into the folder of that name.

        Raises:
            InputError: an export of that name runs already, or there are no images.
        """
        if not self._images and sink != "captions":
            raise InputError(
                "no images were named at the start: choose the sink captions, or start again with --images"
            )
        if sink not in SINKS:
            raise InputError(f"there is no sink {sink!r}")
        with self._lock:
            shown = self.watch(name)
            if shown is not None and shown.is_running:
                raise InputError(f"an export of {name} is running already; stop it first")
            options = [word for place in self._images for word in ("--images", place)]
            command = [
                *(sys.executable, "-c", _STARTER, "export", str(self._database)),
                *("--recipe", str(self._work / f"{name}.toml"), "--out", str(self._work / name)),
                *("--sink", sink, "--prune"),
                *options,
            ]
            with (self._work / f"{name}.export.log").open("wb") as log:
                process = subprocess.Popen(  # noqa: S603 - our own command; names are checked
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=os.environ | {"HAKUBOORU_PROGRESS_SECONDS": "1", "PYTHONUNBUFFERED": "1"},
                    cwd=self._work,
                    **_apart(),
                )
            started = _started(process.pid)
            _started_here[process.pid, started] = process
            self._note(name, process.pid, started)

    def stop(self, name: str) -> None:
        """Ask an export to stop, as Ctrl-C does; what is done stays, and starting it again goes on."""
        shown = self.watch(name)
        if shown is not None and shown.is_running:
            self._note(name, shown.pid, shown.started, is_stopped=True)
            with contextlib.suppress(OSError):
                os.kill(shown.pid, getattr(signal, "CTRL_BREAK_EVENT", signal.SIGINT))

    def watch(self, name: str) -> Export | None:
        """How the export of a name stands; None if it was never started."""
        try:
            about: dict[str, Any] = json.loads(
                (self._work / f"{name}.export.json").read_text(encoding="utf-8")
            )
            pid, started = int(about["pid"]), float(about["started"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        process = _started_here.get((pid, started))
        code = None if process is None else process.poll()
        is_running = 0 < started == _started(pid) if process is None else code is None
        log = self._log(name)
        progress = _PROGRESS.findall(log)
        done, total = (int(figure.replace(",", "")) for figure in (progress[-1] if progress else ("0", "0")))
        is_stopped = about.get("stopped") is True
        return Export(name, pid, started, is_running, is_stopped, code, done, total, log)

    def _note(self, name: str, pid: int, started: float, *, is_stopped: bool = False) -> None:
        text = json.dumps({"pid": pid, "started": started, "stopped": is_stopped})
        write_text(self._work / f"{name}.export.json", text)

    def _log(self, name: str) -> str:
        try:
            with (self._work / f"{name}.export.log").open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
                return file.read().decode(errors="replace")
        except OSError:
            return ""


def _started(pid: int) -> float:
    """When a process was started, in seconds since 1970; 0 if it does not run."""
    try:
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return 0.0


def _apart() -> dict[str, Any]:
    """The options by which a process gets no Ctrl-C of this one's terminal, and stays when this one ends."""
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined, unused-ignore]
    return {"start_new_session": True}
