#!/usr/bin/env bash
# dynamicprompts: what follows a # is a comment and is cut off the prompt to the end of the line, also in the middle of a word and of a line: of "1girl, #compass, solo", with a tag of Danbooru, "1girl, " is drawn, and a colour as #ff8800 takes all tags behind it away. Nothing says so; an escape \# is cut as well.
# Its values for wildcards take a # within a line as text. Expected: a comment where a line begins with it, or a prompt that is drawn as it was written.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile dynamicprompts==0.31.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path
from dynamicprompts.generators import CombinatorialPromptGenerator, RandomPromptGenerator
from dynamicprompts.wildcards import WildcardManager

folder = Path(sys.argv[1]) / "wildcards"
folder.mkdir()
(folder / "tag.txt").write_text("#compass\nhair #ff8800\n")
expected = {"1girl, #compass, solo": ["1girl, "], "hair #ff8800, smile, {red|blue} dress": ["hair "], r"1girl, \#compass, solo": ["1girl, \\"], "k#, 1girl\nsolo": ["k \nsolo"]}
print("dynamicprompts", version("dynamicprompts"))
for prompt, wrong in expected.items():
    drawn = list(CombinatorialPromptGenerator().generate(prompt, 5))
    print(f"  {prompt!r}: {drawn}")
    assert drawn == wrong, drawn
    assert RandomPromptGenerator().generate(prompt, 1) == wrong[:1]
values = WildcardManager(folder).get_values("tag")
print("  values of a wildcard:", list(values.string_values))
PYTHON
