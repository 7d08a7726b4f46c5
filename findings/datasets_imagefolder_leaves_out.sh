#!/usr/bin/env bash
# datasets: imagefolder leaves images out without a word. A word like train, val, dev, test or eval in the name of one folder or file makes it a split, and what has no such word is in none: of folders
# named by tags, train_interior alone is read. With a metadata.jsonl in some folders, the images of the others are gone; of lists with other columns, those of one stay. Expected: all images, or an error.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile datasets==5.2.0 pillow==13.0.0 pyarrow==26.0.1 numpy==2.4.6
export HF_HOME="$folder/home"
"$folder/venv/bin/python" - "$folder" <<'PYTHON' 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
import json, sys
from importlib.metadata import version
from pathlib import Path
import datasets
from PIL import Image

datasets.disable_progress_bars()

def read(name, files, lists):
    """What is read of a folder of images and of lists of captions: the number of images of each split, and the columns."""
    root = Path(sys.argv[1], name)
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(root / file)
    for folder, line in lists.items():
        (root / folder / "metadata.jsonl").write_text(json.dumps(line) + "\n")
    splits = datasets.load_dataset("imagefolder", data_dir=str(root))
    return {split: (len(rows), rows.column_names) for split, rows in splits.items()}

two = ["hatsune_miku/1.png", "solo/2.png"]
seen = {
    "plain": read("plain", two, {}),
    "word": read("word", [*two, "train_interior/3.png"], {}),
    "some": read("some", two, {"solo": {"file_name": "2.png", "text": "1girl"}}),
    "columns": read("columns", two, {"hatsune_miku": {"file_name": "1.png", "text": "1girl"}, "solo": {"file_name": "2.png", "score": 7}}),
}
print("datasets", version("datasets"))
for name, splits in seen.items():
    print(f"  {name}: {splits}")
assert seen["plain"] == {"train": (2, ["image", "label"])}, seen
assert seen["word"]["train"][0] == 1 and len(seen["word"]) == 1, seen
assert seen["some"] == {"train": (1, ["image", "text"])}, seen
count, columns = seen["columns"]["train"]
assert count == 2 and columns in (["image", "score"], ["image", "text"]), seen
PYTHON
if grep -i warn "$folder/errors"; then exit 1; fi
