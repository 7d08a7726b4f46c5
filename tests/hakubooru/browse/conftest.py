from __future__ import annotations

import shutil

import pytest

from gallery import browsing, write_gallery


@pytest.fixture(scope="module", autouse=True)
def _own_folders(tmp_path_factory):
    """Thumbnails and unsaved data sets of tests are kept apart from those of the user."""
    folder = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        yield folder


@pytest.fixture(scope="session")
def gallery(tmp_path_factory):
    """The folder of the gallery, written once a process; not to be changed."""
    folder = tmp_path_factory.mktemp("gallery")
    write_gallery(folder)
    return folder


@pytest.fixture(scope="module")
def folder(gallery, tmp_path_factory):
    """A copy of the gallery for the tests of a file."""
    return shutil.copytree(gallery, tmp_path_factory.mktemp("copy") / "gallery")


@pytest.fixture(scope="module")
def browser(folder):
    """A running browser of the copy."""
    with browsing(folder) as browser:
        yield browser
