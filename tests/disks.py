"""A disk of a few megabytes, in memory, for tests of full disks."""

import shutil
import subprocess
from contextlib import contextmanager

import pytest


def mount(*options):
    return subprocess.run(["mount", *map(str, options)], capture_output=True, check=False).returncode == 0


@contextmanager
def small_disk(folder, size):
    """A new file system at a folder; the test is skipped where mounting is refused."""
    folder.mkdir()
    if shutil.which("mount") is None or not mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder):
        pytest.skip("mounting is refused here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def enlarge(folder, size="64m"):
    assert mount("-o", f"remount,size={size}", "tmpfs", folder)
