#!/usr/bin/env bash
# compel: a + or - at the end of a word is a weight, and is taken off the word, also in tags of Danbooru that end so: +_+ is encoded as "+_" with weight 1.1, the title 9-nine- as "9-nine" with 0.9, c++ as "c". A backslash before the sign keeps the sign, and the backslash with it, though before
# brackets it goes away. Behind a tag with brackets of its own the weight is not the tag's: saber_(fate)++ is encoded with its signs, and of saber \(fate\)++ the last word alone is weighted. Expected: one way to write a tag with a sign at its end.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 transformers==5.23.0 diffusers==0.42.1 compel==2.5.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version
from compel.prompt_parser import PromptParser

print("compel", version("compel"))
parser = PromptParser()

def fragments(prompt):
    """What is encoded of a prompt, and the weight of each piece."""
    pieces = parser.parse_conjunction(prompt).prompts[0].children
    return [(piece.text, round(piece.weight, 2)) for piece in pieces]

expected = {
    "1girl, +_+, solo": [("1girl,", 1), ("+_", 1.1), (", solo", 1)],
    "1girl, 9-nine-": [("1girl,", 1), ("9-nine", 0.9)],
    "c++": [("c", 1.21)],
    r"+_\+": [(r"+_\+", 1)],
    r"\(fate\)": [("(fate)", 1)],
    "saber++": [("saber", 1.21)],
    "saber_(fate)++": [("saber_(fate)++", 1)],
    r"saber \(fate\)++": [("saber", 1), ("(fate)", 1.21)],
}
seen = {prompt: fragments(prompt) for prompt in expected}
for prompt, pieces in seen.items():
    print(f"  {prompt}: {pieces}")
assert seen == expected
PYTHON
