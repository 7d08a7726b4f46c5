from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def _own_folders(tmp_path_factory):
    """Thumbnails and unsaved data sets of tests are kept apart from those of the user."""
    folder = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        yield folder
