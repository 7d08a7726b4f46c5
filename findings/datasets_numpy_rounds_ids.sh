#!/usr/bin/env bash
# datasets: with_format("numpy"), "torch" and "jax" make float32 of a column of whole numbers in which one is null: ids above 16,777,216, as all of pixiv's are, are rounded to a multiple of 8 or more, in each batch that has a null, and are
# exact in the others, as int64; map on such a data set sees and keeps them. Expected: float64, as pandas and PyArrow give it, or an error.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile datasets==5.2.0 pyarrow==26.0.1 pandas==3.0.3 numpy==2.4.6
export HF_HOME="$folder/home"
"$folder/venv/bin/python" - <<'PYTHON'
import datasets

datasets.disable_progress_bars()
ids = [112345679, None, 112345681, 112345683]
posts = datasets.Dataset.from_dict({"pixiv_id": ids})
arrays = posts.with_format("numpy")
whole, without = arrays[:]["pixiv_id"], arrays[2:]["pixiv_id"]
frame, arrow = posts.to_pandas()["pixiv_id"], posts.data.column("pixiv_id").combine_chunks().to_numpy(zero_copy_only=False)
mapped = arrays.map(lambda batch: {"link": [f"artworks/{number:.0f}" for number in batch["pixiv_id"]]}, batched=True)["link"][:]
print("datasets", datasets.__version__, "ids:", ids, "in NumPy's format:", whole.dtype, [*whole], "of the last two:", without.dtype, [*without])
print("  mapped:", mapped, "by pandas:", frame.dtype, "by PyArrow:", arrow.dtype)
assert whole.dtype == "float32" and [int(number) for number in whole[[0, 2, 3]]] == [112345680, 112345680, 112345680], whole
assert without.dtype == "int64" and [*without] == ids[2:], without
assert list(mapped) == ["artworks/112345680", "artworks/nan", "artworks/112345680", "artworks/112345680"], mapped
assert frame.dtype == arrow.dtype == "float64" and frame[0] == arrow[0] == ids[0]
PYTHON
