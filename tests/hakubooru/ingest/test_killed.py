import sys

import pytest

import killing


@pytest.mark.kill
@pytest.mark.skipif(sys.platform == "win32", reason="nothing is killed there by signal")
@pytest.mark.parametrize("way", [killing.kill_builds, killing.kill_updates, killing.kill_migrations])
def test_a_killed_writer_loses_nothing(tmp_path, monkeypatch, way):
    monkeypatch.setattr(killing, "POSTS", 1500)
    assert way(tmp_path, kills=2, seed=0)["kills"] == 2
