#!/usr/bin/env bash
# tomlkit: a table put below a dotted key is written in another place, though the document in memory is right: [optimizer] with schedule.name = "cosine" gets its new options under [schedule], at the top. And where the dotted key is at the top
# of the file, all keys that follow it slip into the new table. Expected: the text says what the document says, or an error.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile tomlkit==0.15.2
"$folder/venv/bin/python" - <<'PYTHON'
import tomllib
from importlib.metadata import version
import tomlkit

def written(text, *keys):
    """The document in memory and the one read back, after a table was put below some keys."""
    document = tomlkit.parse(text)
    place = document
    for key in keys:
        place = place[key]
    place["options"] = {"warmup": 100}
    return document.unwrap(), tomllib.loads(tomlkit.dumps(document))

print("tomlkit", version("tomlkit"), "in memory, and as written:")
inner = written('[optimizer]\nschedule.name = "cosine"\n', "optimizer", "schedule")
top = written('schedule.name = "cosine"\nseed = 1\nfolders = ["a"]\n', "schedule")
plain = written('[optimizer.schedule]\nname = "cosine"\n', "optimizer", "schedule")
for memory, text in (inner, top, plain):
    print(" ", memory, text)
schedule = {"name": "cosine", "options": {"warmup": 100}}
assert inner == ({"optimizer": {"schedule": schedule}}, {"optimizer": {"schedule": {"name": "cosine"}}, "schedule": {"options": {"warmup": 100}}}), inner
assert top == (
    {"schedule": schedule, "seed": 1, "folders": ["a"]},
    {"schedule": {"name": "cosine", "options": {"warmup": 100, "seed": 1, "folders": ["a"]}}},
), top
assert plain[0] == plain[1] == {"optimizer": {"schedule": schedule}}, plain
PYTHON
