"""Check that everything hakubooru needs has a wheel for Linux, macOS and Windows: nothing is compiled on a user's machine.

    python docs/wheels.py

It asks the package index by `pip download --platform`, for the versions in constraints.txt. The wheels of the extra `train`, which are
gigabytes, are looked up and not downloaded.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PLATFORMS = {
    "Linux": [
        *(f"manylinux_2_{version}_x86_64" for version in range(28, 16, -1)),
        "manylinux2014_x86_64",
        "linux_x86_64",
    ],
    "macOS": ["macosx_14_0_arm64", "macosx_12_0_arm64", "macosx_11_0_arm64"],
    "Windows": ["win_amd64"],
}
EXTRAS = ("", "browse", "plot", "remote", "formats", "evaluate", "ray")
"""The extras whose wheels are downloaded, to weigh them."""
LARGE = ("train",)
"""The extras whose wheels are only looked up."""


def needed(extra: str) -> set[str]:
    """The names of the packages that an extra brings, with all that they need, as this environment has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["optional-dependencies"].get(extra, []) if extra else project["dependencies"]
    names: set[str] = set()
    rest = [Requirement(text) for text in wanted]
    while rest:
        requirement = rest.pop()
        name = canonicalize_name(requirement.name)
        if name in names or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        names.add(name)
        try:
            rest += [Requirement(text) for text in distribution(name).requires or []]
        except PackageNotFoundError:
            sys.exit(f"{name} is not installed; run this by `make wheels`")
    return names


def pins() -> dict[str, str]:
    """The versions in constraints.txt, by name."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in lines}


def look(packages: list[str], tags: list[str], *, weigh: bool) -> str:
    """Ask the index for wheels of a platform, and say how much they are to download.

    Raises:
        RuntimeError: a wheel is missing; the message is pip's.
    """
    with tempfile.TemporaryDirectory() as folder:
        verb = ["download", "--dest", folder] if weigh else ["install", "--dry-run", "--target", folder]
        command = [
            sys.executable,
            "-m",
            "pip",
            *verb,
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--python-version",
            "3.11",
        ]
        command += [word for tag in tags for word in ("--platform", tag)]
        result = subprocess.run([*command, *packages], capture_output=True, text=True, check=False)
        if result.returncode:
            errors = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
            raise RuntimeError("; ".join(errors) or result.stderr[-500:])
        size = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6
    return f"{len(packages)} wheels" + (f", {size:.0f} MB to download" if weigh else "")


def main() -> int:
    """Print a line for each platform and extra; the exit code is 1 if a wheel is missing."""
    versions, missing = pins(), 0
    for system, tags in PLATFORMS.items():
        for extra in (*EXTRAS, *LARGE):
            packages = [f"{name}=={versions[name]}" for name in sorted(needed(extra)) if name in versions]
            try:
                words = look(packages, tags, weigh=extra not in LARGE)
            except RuntimeError as error:
                missing, words = missing + 1, str(error)
            print(f"{system:<8} {extra or 'hakubooru':<10} {words}", flush=True)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
