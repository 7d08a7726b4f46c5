"""`hakubooru demo`, as a real process: the whole way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from pyarrow import parquet

import hakubooru as hb
from whole_command import call

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("demo")]

EXAMPLES = Path(__file__).parents[2] / "examples"
MAIN = "import sys; from hakubooru_cli.main import main; sys.exit(main())"


def run(*words):
    """A process, of which a warning is an error."""
    command = [sys.executable, "-W", "error", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, timeout=300)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    process = run("-c", MAIN, "demo", folder)
    assert process.returncode == 0, process.stderr
    return folder, process.stdout


def test_prints_the_funnel_the_paths_and_three_captions(demo):
    folder, output = demo
    assert "539 posts" in output
    assert "sample of 200, seed 1" in output
    assert "has:image" in output
    assert output.count(" ||| ") == 3
    assert str(folder / "out") in output


def test_every_selected_post_is_accounted_for(demo):
    folder, output = demo
    rows = parquet.read_table(folder / "out" / "manifest.parquet").to_pylist()
    left_out = [row for row in rows if row["status"] != "exported"]
    assert f"{len(rows) - len(left_out)} of {len(rows)} posts" in output
    assert {row["reason"] for row in left_out} == {"no archive holds it", "truncated png"}
    for row in rows:
        pair = folder / "out" / (row["path"] or "")
        if row["status"] == "exported":
            with Image.open(pair) as image:
                assert image.size == (row["width"], row["height"])
            assert pair.with_suffix(".txt").read_text(encoding="utf-8").strip() == row["caption"]


def test_the_contact_sheet_is_a_picture(demo):
    with Image.open(demo[0] / "contact_sheet.png") as sheet:
        assert sheet.width > 1000
        assert len(sheet.convert("RGB").getcolors(1 << 24)) > 1000


def test_the_commands_that_it_shows_work(demo, tmp_path):
    folder, _ = demo
    out = tmp_path / "out"
    query = ("--recipe", "epsilon", "--scale", "0.0001")
    code, _, stderr = call(
        "export", folder / "danbooru.db", *query, "--images", folder / "images", "--out", out, "--workers", 2
    )
    assert code == 0, stderr
    first, second = (where / "manifest.parquet" for where in (folder / "out", out))
    assert first.read_bytes() == second.read_bytes()


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "images").mkdir()
    code, _, stderr = call("demo", tmp_path)
    assert code == 2
    assert "neither empty nor a demo" in stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["images"]


def test_the_example_session_runs_on_it(demo):
    folder, _ = demo
    process = run(EXAMPLES / "curate.py", folder)
    assert process.returncode == 0, process.stderr
    assert "together" in process.stdout
    assert (folder / "balanced" / "manifest.parquet").exists()


@pytest.mark.parametrize("recipe", sorted((EXAMPLES / "recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_the_example_recipes_select_something(demo, recipe):
    with hb.open(demo[0] / "danbooru.db") as db:
        assert hb.Recipe.load(recipe).select(db).without_deleted().to_ids() is not None
