#!/usr/bin/env bash
# sd-parsers: values that the web interface (AUTOMATIC1111) writes in quotes because they have commas, as Hires prompt and Lora hashes, are cut at their first comma, and what follows is read as values of the picture: "Steps: 3" in the hires prompt takes the place of its steps, and the second LoRA is a key of its own. Nothing says so. Expected: values as they were quoted, as the interface reads them again.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile sd-parsers==0.6 pillow==13.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import io
from importlib.metadata import version
import PIL
from PIL import Image, PngImagePlugin
from sd_parsers import ParserManager

def parsed(text):
    """What is read of a picture with these parameters."""
    chunk = PngImagePlugin.PngInfo()
    chunk.add_text("parameters", text)
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "png", pnginfo=chunk)
    file.seek(0)
    return ParserManager().parse(file)

print("sd-parsers", version("sd-parsers"), "pillow", PIL.__version__)
quoted = '1girl, solo\nNegative prompt: lowres\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Hires prompt: "1girl, Steps: 3, stairs", Lora hashes: "sketch: 0123abcd, ink: 4567cdef", Version: v1.10'
seen = parsed(quoted)
sampler = seen.samplers[0].parameters
print("  in quotes:", sampler, seen.metadata)
assert [prompt.value for prompt in seen.prompts] == ["1girl, solo"] and sampler["seed"] == "5"
assert sampler["steps"] == "3", sampler
assert seen.metadata["Hires prompt"] == '"1girl' and seen.metadata["ink"] == '4567cdef"', seen.metadata
plain = parsed("1girl\nNegative prompt: lowres\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5")
assert plain.samplers[0].parameters["steps"] == "20" and plain.negative_prompts[0].value == "lowres"
PYTHON
