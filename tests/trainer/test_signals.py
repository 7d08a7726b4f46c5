"""Ctrl-C, SIGTERM and SIGHUP, as a process of the command line gets them."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from hakubooru_trainer.config import dump
from hakubooru_trainer.config.options import BucketOptions, OptimizerOptions, SaveOptions, TextOptions
from hakubooru_trainer.stopping import signals
from training_signals import call

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the runs are forks of one process")
TERM, INT = int(signal.SIGTERM), int(signal.SIGINT)
HUP = int(getattr(signal, "SIGHUP", 0))


def result(out):
    with (out / "metrics.jsonl").open(encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    return load_file(out / "lokr.safetensors"), [line | {"seconds": 0} for line in lines]


def states(out):
    return sorted(path.parent.name for path in out.glob("state/[0-9]*/state.json"))


@pytest.mark.kill
def test_the_first_signal_saves_and_the_second_leaves_at_once(options, tmp_path):
    settings = options(
        buckets=BucketOptions(area=32 * 32, step=16, min_side=16, max_side=64),
        optimizer=OptimizerOptions(name="lion8bit", lr=1e-2, text_lr=1e-3, warmup=3),
        text=TextOptions(train=False, tokens=75),
        save=SaveOptions(every=5),
    )

    def config(name):
        path = tmp_path / f"{name}.toml"
        run = replace(settings.run, out=str(tmp_path / name), updates=4, threads=1, workers=1)
        path.write_text(dump(replace(settings, run=run)), encoding="utf-8")
        return path, tmp_path / name

    path, whole = config("whole")
    assert call(path)[0] == 0
    path, out = config("stopped")
    code, output = call(path, signals=[("tokenizer", 1, TERM)])
    assert (code, states(out)) == (130, []), output  # nothing to save yet
    code, output = call(path, signals=[("metrics.jsonl", 1, TERM), (".000001.part", 2, INT)])
    assert (code, states(out)) == (130, []), output  # the second one, while the state is written
    for number, expected in (
        (TERM, ["000001"]),
        (INT, ["000001", "000002"]),
        (HUP, ["000002", "000003"]),
    ):
        code, output = call(path, signals=[(".png", 1, number)])
        assert (code, states(out)) == (130, expected), output
        assert "a second signal leaves at once" in output
        assert "Traceback" not in output
    code, output = call(path)
    assert code == 0, output
    weights, lines = result(out)
    others, other_lines = result(whole)
    assert all(torch.equal(weights[name], others[name]) for name in others)
    assert lines == other_lines
    assert call(path) == (0, output)  # done already: the same is told again


def test_nohup_keeps_a_run_from_stopping_with_its_terminal():
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signals() == (signal.SIGINT, signal.SIGTERM)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        assert signals() == (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, handler)
