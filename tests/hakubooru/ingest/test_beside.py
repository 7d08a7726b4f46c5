"""Dumps that are read in a process of their own, beside the writing."""

import json
import multiprocessing
from functools import partial

import pytest

from danbooru import api_post, every_row, write_lines
from hakubooru.errors import DumpError, IncompleteError
from hakubooru.ingest import build
from hakubooru.ingest.builder import build_files
from hakubooru.ingest.posts import PostWriter
from published_sets import SETS, posts

build_beside = partial(build_files, worth_a_process=0)
"""Reads dumps of any size in a process of their own."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["KBlueLeaf, parquet/", "Jannchie/danbooru_metadata"])
def test_the_tables_and_the_report_are_those_of_one_process(tmp_path, name):
    (tmp_path / "set").mkdir()
    paths = SETS[name].write(tmp_path / "set", posts())
    alone = build(paths, tmp_path / "alone.db")
    beside = build_beside(paths, tmp_path / "beside.db")
    assert every_row(beside.path) == every_row(alone.path)
    assert (beside.new, beside.recognised, beside.lacking) == (alone.new, alone.recognised, alone.lacking)


@pytest.mark.slow
def test_rejected_records_and_errors_come_over(tmp_path):
    dump = write_lines(tmp_path / "dump.jsonl", [api_post(1), {"id": 0, "tag_string": "a"}, api_post(2)])
    report = build_beside([dump], tmp_path / "some.db")
    assert (report.new, report.rejected) == (2, 1)
    (line,) = report.rejects.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["line"] == 2
    with pytest.raises(IncompleteError, match="line 2: id is 0, and must be a positive number"):
        build_beside([dump], tmp_path / "strict.db", strict=True)
    with pytest.raises(DumpError, match="has the rating g, so the dump is not from before May 2022"):
        build_beside([dump], tmp_path / "old.db", old_ratings=True)


@pytest.mark.kill
def test_the_death_of_the_reader_is_told_and_the_same_call_goes_on(tmp_path, monkeypatch):
    dump = write_lines(tmp_path / "dump.jsonl", [api_post(number) for number in range(1, 20_001)])
    write = PostWriter.write

    def kill(self, records):
        for child in multiprocessing.active_children():
            child.kill()
        return write(self, records)

    with monkeypatch.context() as patch:
        patch.setattr(PostWriter, "write", kill)
        with pytest.raises(IncompleteError, match="the process that reads the dumps was killed"):
            build([dump], tmp_path / "some.db")
    report = build([dump], tmp_path / "some.db")
    assert (report.new + report.unchanged, report.unchanged % 2000) == (20_000, 0)
    assert report.unchanged < 20_000
