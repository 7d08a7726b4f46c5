#!/usr/bin/env bash
# torchmetrics: structural_similarity_index_measure without data_range takes the range of values from all pictures of the call: the score of one pair goes by which others are in its batch, and rises where one of them is brighter; the mean over a set changes with the size of batches. The class does so at each update. With data_range=1 a
# pair has one score, as piq and pytorch-msssim give it. Expected: the range of each picture, as the documentation says ("determined from the image"), or an error, as peak_signal_noise_ratio raises.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 torchmetrics==1.9.0 pytorch-msssim==1.0.0 numpy==2.4.6
cat > "$folder/program.py" <<'PYTHON'
from importlib.metadata import version
import pytorch_msssim, torch
from torchmetrics.functional.image import structural_similarity_index_measure as ssim
from torchmetrics.image import StructuralSimilarityIndexMeasure

torch.manual_seed(0)
target = torch.rand(4, 3, 64, 64) * torch.tensor([0.05, 1, 0.05, 0.05]).reshape(4, 1, 1, 1)
drawn = (target + 0.02 * torch.randn(4, 3, 64, 64)).clamp(0, 1)

def scores(pictures, **options):
    return [round(score, 4) for score in ssim(drawn[pictures], target[pictures], reduction="none", **options).flatten().tolist()]

print("torchmetrics", version("torchmetrics"), "torch", torch.__version__)
alone, dark, bright = scores([0]), scores([0, 2, 3]), scores([0, 1])
print("  the first pair alone", alone[0], "with two dark ones", dark[0], "with a bright one", bright[0])
assert bright[0] > alone[0] + 0.2, (alone, bright)
alone, bright = scores([0], data_range=1.0), scores([0, 1], data_range=1.0)
other = pytorch_msssim.ssim(drawn[:2], target[:2], data_range=1.0, size_average=False).tolist()
print("  with data_range=1 alone", alone[0], "with a bright one", bright[0], "pytorch-msssim", round(other[0], 4))
assert alone[0] == bright[0] and abs(alone[0] - other[0]) < 1e-3
means = {}
for size in (1, 2, 4):
    metric = StructuralSimilarityIndexMeasure()
    for first in range(0, 4, size):
        metric.update(drawn[first : first + size], target[first : first + size])
    means[size] = round(metric.compute().item(), 4)
print("  mean of the four by the size of batches:", means)
assert means[1] < means[2] - 0.05 < means[4] - 0.1, means
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/program.py"
