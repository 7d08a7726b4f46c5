#!/usr/bin/env bash
# diffusers: another scheduler made from the configuration of one with rescale_betas_zero_snr, as the documentation has it (Kind.from_config(pipe.scheduler.config)), forgets the zero terminal SNR without a word where it
# does not know the option: Heun, KDPM2, DEIS, SASolver, PNDM and the single-step DPM-Solver start a v-prediction model of zero terminal SNR at a level that it was never trained on. Of options that no scheduler
# of the family knows it warns. Expected: a warning, or an error.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 diffusers==0.42.1 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/log" <<'PYTHON'
import logging, sys
import diffusers

diffusers.logging.set_verbosity_warning()
diffusers.logging.add_handler(logging.FileHandler(sys.argv[1]))
first = diffusers.DDIMScheduler(
    beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"
)
kinds = (
    "DDPM", "EulerDiscrete", "EulerAncestralDiscrete", "DPMSolverMultistep", "UniPCMultistep", "LCM",
    "DPMSolverSinglestep", "DEISMultistep", "HeunDiscrete", "KDPM2Discrete", "KDPM2AncestralDiscrete", "PNDM", "SASolver",
)
ends = {}
for kind in kinds:
    scheduler = getattr(diffusers, f"{kind}Scheduler").from_config(first.config)
    assert scheduler.config.prediction_type == "v_prediction", kind
    ends[kind] = float(scheduler.alphas_cumprod[-1])
said = open(sys.argv[1]).read()
print("diffusers", diffusers.__version__, "said:", repr(said), "last alpha, 0 for zero terminal SNR:")
for kind, end in ends.items():
    print(f"  {kind}: {end:.2g}")
assert said == "", said
assert [kind for kind, end in ends.items() if end > 1e-3] == [*kinds[6:]], ends
diffusers.HeunDiscreteScheduler.from_config({**first.config, "some_option": 1})
assert "some_option" in open(sys.argv[1]).read()
PYTHON
