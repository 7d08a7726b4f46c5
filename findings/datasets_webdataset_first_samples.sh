#!/usr/bin/env bash
# datasets: its webdataset reader takes the columns and their types from the first five samples. Later, an image with another extension is no image (its sample stays, without one), a key of
# the JSON is left out, and a number with a fraction loses it. No error, no warning. Expected: types that hold all, or an error, as its JSON Lines reader does.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile datasets==5.2.0 pillow==13.0.0 pyarrow==26.0.1 numpy==2.4.6
export HF_HOME="$folder/home"
"$folder/venv/bin/python" - "$folder" <<'PYTHON' 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
import io, json, sys, tarfile
from importlib.metadata import version
import datasets
from PIL import Image

path, lines = f"{sys.argv[1]}/00000.tar", f"{sys.argv[1]}/posts.jsonl"
records = []
with tarfile.open(path, "w") as tar:
    for number in range(1, 8):
        late = number > 5
        image = io.BytesIO()
        Image.new("RGB", (8, 8)).save(image, "WEBP" if late else "JPEG")
        records.append({"id": number, "score": number + 0.75 if late else number, **({"year": 2024} if late else {})})
        for name, data in ((f"{number}.webp" if late else f"{number}.jpg", image.getvalue()), (f"{number}.json", json.dumps(records[-1]).encode())):
            info = tarfile.TarInfo(name); info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
with open(lines, "w") as file:
    file.writelines(json.dumps(record) + "\n" for record in records)

datasets.disable_progress_bars()
rows = list(datasets.load_dataset("webdataset", data_files=path, split="train"))
other = list(datasets.load_dataset("json", data_files=lines, split="train"))
print("datasets", version("datasets"), "columns:", list(rows[0]))
for row, record in zip(rows, records):
    images = [name for name in ("jpg", "webp") if row.get(name)]
    print(f"  sample {row['__key__']}: images {images}; JSON {record} read as {row['json']}")
assert len(rows) == 7 and all(row["jpg"] for row in rows[:5])
assert [row["jpg"] for row in rows[5:]] == [None, None] and "webp" not in rows[6]
assert rows[6]["json"] == {"id": 7, "score": 7}, rows[6]
assert other[6]["score"] == 7.75 and other[6]["year"] == 2024, other[6]
PYTHON
if grep -i warn "$folder/errors"; then exit 1; fi
