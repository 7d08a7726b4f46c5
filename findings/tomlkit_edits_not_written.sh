#!/usr/bin/env bash
# tomlkit: some edits change what the document says and not what is written: list.sort() sorts in memory alone. And what setdefault gives of a table whose parts stand apart in the file ([model], [loss], [model.text]) is a copy: what is put into it is lost; of a table in one piece it is the table.
# Expected: dumps writes the document as it reads.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile tomlkit==0.15.2
"$folder/venv/bin/python" - <<'PYTHON'
import tomllib
from importlib.metadata import version
import tomlkit

lists = tomlkit.parse('tags = ["solo", "1girl"]\n')
lists["tags"].sort()
memory, text = lists.unwrap()["tags"], tomllib.loads(tomlkit.dumps(lists))["tags"]
print("tomlkit", version("tomlkit"), "sorted in memory:", memory, "as written:", text)
assert (memory, text) == (["1girl", "solo"], ["solo", "1girl"]), text
lists["tags"].append("smile")
assert tomllib.loads(tomlkit.dumps(lists))["tags"] == ["solo", "1girl", "smile"]
apart, whole = '[model]\npath = "a"\n[loss]\nx = 1\n[model.text]\ny = 1\n', '[model]\npath = "a"\n[model.text]\ny = 1\n[loss]\nx = 1\n'
seen = {}
for name, text in {"apart": apart, "whole": whole}.items():
    document = tomlkit.parse(text)
    document["model"].setdefault("vae", {})["path"] = "b"
    document["model"].setdefault("adapters", []).append("c")
    document["model"]["seed"] = 1
    model = tomllib.loads(tomlkit.dumps(document))["model"]
    seen[name] = model["vae"], model["adapters"], model["seed"]
print("  after setdefault, parts of the table", seen)
assert seen == {"apart": ({}, [], 1), "whole": ({"path": "b"}, ["c"], 1)}, seen
PYTHON
