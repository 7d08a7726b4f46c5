from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from pyarrow import parquet

import hakubooru as hb
from hakubooru.select.id_lists import read_ids
from hakubooru.store.schema import Post
from hakubooru_cli.main import cli
from whole_command import call


def run(*arguments):
    return CliRunner().invoke(cli, ["select", *map(str, arguments)], catch_exceptions=False)


def test_epsilon_with_its_funnel(path):
    result = run(path, "--recipe", "epsilon", "--scale", 0.00002, "--funnel")
    lines = result.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines if not line.startswith("  ")][:2] == [
        "together",
        "-is:deleted",
    ]
    assert "  sample of 20, seed 1" in result.stdout
    assert lines[-1].endswith("to 200")
    assert 'add the query "id:<147"' in result.stderr


def test_json(path):
    report = json.loads(run(path, "--json", "--funnel", "--recipe", "epsilon", "--scale", 0.00002).stdout)
    assert report["posts"] == report["funnel"][-1]["posts"]
    assert set(report["funnel"][0]) == {"step", "posts", "removed", "depth"}
    plain = json.loads(run(path, "--json").stdout)
    assert plain.pop("fingerprint").startswith("sha256:")
    assert plain == {"posts": 200, "first_id": 1, "last_id": 200}


@pytest.mark.parametrize("suffix", [".txt", ".parquet"])
def test_ids_out_and_in(path, tmp_path, suffix):
    out = tmp_path / f"ids{suffix}"
    assert run(path, "--recipe", "epsilon", "--scale", 0.00002, "--out", out).exit_code == 0
    report = json.loads(run(path, "--ids", out, "--json").stdout)
    assert report["posts"] == len(read_ids(out)) > 0


def test_scale_needs_a_recipe(path):
    result = CliRunner().invoke(cli, ["select", str(path), "--scale", "2"])
    assert result.exit_code == 2
    assert "--recipe" in result.output


@pytest.mark.slow
def test_a_lock_is_written_then_compared(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ("select", path, "rating:g", "--recipe", "epsilon", "--scale", 0.00002, "--lock")
    code, stdout, _ = call(*options)
    assert (code, stdout.splitlines()[-1]) == (0, "epsilon.lock written")
    lock_bytes = (tmp_path / "epsilon.lock").read_bytes()
    lock = json.loads(lock_bytes)
    assert lock["captions"].startswith("sha256:")
    assert lock["asked"]["query"] == "rating:g"
    assert lock["asked"]["recipe"]["strata"][0] == {"ids": [0, 2000000], "sample": 1000000}
    assert call(*options)[1].splitlines()[-1] == "epsilon.lock says the same"

    code, stdout, stderr = call("select", path, "rating:s", *options[3:], "--json", "--out", "ids.txt")
    assert code == 1
    report = json.loads(stdout)
    assert report["lock"] == "epsilon.lock"
    assert not report["lock_is_new"]
    assert 'asked: query was "rating:g", now it is "rating:s"' in report["changes"]
    assert "the selection is not what epsilon.lock says:\n  posts: " in stderr
    assert "Traceback" not in stderr
    assert (tmp_path / "epsilon.lock").read_bytes() == lock_bytes
    assert len(read_ids(tmp_path / "ids.txt")) == report["posts"]


def test_a_lock_without_a_recipe_is_named_after_the_database(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = json.loads(run(path, "rating:g", "--lock", "--json").stdout)
    assert (report["lock"], report["lock_is_new"], report["changes"]) == ("posts.lock", True, [])
    assert json.loads((tmp_path / "posts.lock").read_text(encoding="utf-8"))["captions"] is None


def test_columns_out(path, tmp_path):
    out = tmp_path / "posts.parquet"
    assert run(path, "order:score", "--out", out, "--columns", "id, score,rating").exit_code == 0
    table = parquet.read_table(out)
    assert table.column_names == ["id", "score", "rating"]
    with hb.open(path) as db:
        assert table == db.posts.search("order:score").to_arrow(["id", "score", "rating"])
    assert run(path, "--out", out, "--columns", "all").exit_code == 0
    assert parquet.read_table(out).num_columns == 27
    assert run(path, "--out", out, "--columns", "all,tags,score,tags").exit_code == 0
    assert parquet.read_table(out).column_names == [*Post._meta.sorted_field_names, "tags"]
    table = tmp_path / "posts.csv"
    assert run(path, "id:1", "--out", table, "--columns", "id,id,tags,id").exit_code == 0
    assert [len(line.split(",")) for line in table.read_text().splitlines()] == [2, 2]
    assert run(path, "id:>1000", "--out", out, "--columns", "all").exit_code == 0
    assert parquet.read_table(out).num_rows == 0
    assert [entry.name for entry in tmp_path.iterdir() if "parquet" in entry.name] == ["posts.parquet"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--columns", "id"], "add --out FILE.parquet"),
        (["--columns", "id", "--out", "a.txt"], ".csv or .jsonl"),
        (["--columns", "favs", "--out", "a.parquet"], "no column 'favs'"),
        (["--columns", "id", "--out", "no/such/a.parquet"], "choose another path"),
    ],
)
def test_columns_that_cannot_be(path, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    code, stdout, stderr = call("select", path, *options)
    assert (code, stdout) == (2, "")
    assert message in stderr
    assert "Traceback" not in stderr
    assert [entry.name for entry in tmp_path.iterdir() if entry.name != "posts.db"] == []


def test_explain_runs_nothing(path):
    result = run(path, "1girl", "--recipe", "epsilon", "--scale", 0.00002, "--explain")
    assert result.exit_code == 0
    assert "sample of 20, seed 1" in result.stdout
    assert "posts, ids" not in result.stdout
