#!/usr/bin/env bash
# datasets: map takes its result from the cache if the function is the same, and of one that is imported from a module it knows the name alone: after captions.py was mended, the program goes on with the captions of before, also in a new process. A function in the program itself is known by its
# code. Expected: changed code gives a new result, or that such functions are not cached. load_from_cache_file=False helps.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile datasets==5.2.0 pyarrow==26.0.1 numpy==2.4.6
export HF_HOME="$folder/home"; cd "$folder"
printf '{"tags": "hatsune_miku solo"}\n' > posts.jsonl
caption() { printf 'def caption(post):\n    return {"caption": post["tags"].replace(" ", "%s")}\n' "$1"; }
run() {
    { "$@"; cat <<'PYTHON'
import sys
from pathlib import Path
import datasets
datasets.disable_progress_bars()
posts = datasets.load_dataset("json", data_files="posts.jsonl", split="train").map(caption)
print(posts[0]["caption"])
PYTHON
    } > program.py
    "$folder/venv/bin/python" -B program.py
}
imported() { caption "$1" > captions.py; echo "from captions import caption"; }
"$folder/venv/bin/python" -c 'import datasets; print("datasets", datasets.__version__, "captions before and after the function was changed:")'
own=$(run caption " "; run caption ", "); own="${own//$'\n'/; }"
other=$(run imported " "; run imported ", "); other="${other//$'\n'/; }"
echo "  in the program: $own"
echo "  imported: $other"
[ "$own" = "hatsune_miku solo; hatsune_miku, solo" ] && [ "$other" = "hatsune_miku solo; hatsune_miku solo" ]
