# On a fresh machine each target does its own set-up in .venv; nothing but python3.11 (or later), make and a package index.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test quick quick-library quick-trainer check docs docs-test dist wheels bench bench-select bench-captions bench-export bench-cluster bench-combine bench-train bench-gpu bench-memory bench-state bench-plan bench-browse bench-evaluate bench-remote clean

demo: $(VENV)/.library  ## a miniature booru, built, selected and exported into ./demo
	$(BIN)/hakubooru demo demo

# Three processes for two cores: tests wait for servers, the browser and processes that they start.
test: check  ## all checks and all tests
	$(BIN)/python -m pytest -n 3 --dist loadgroup -m "not docs"

quick:  ## the tests that are neither slow nor kill processes; laws are tried with a quarter of the examples
	$(MAKE) -j 2 quick-library quick-trainer

# Apart, so that the library's tests need not wait until torch is imported; the trainer's are few.
QUICK := --hypothesis-profile quick -m "not slow and not kill and not docs"
OF_TORCH := tests/trainer tests/cli

quick-library: $(VENV)/.dev  ## the quick tests of the library
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(QUICK) $(OF_TORCH:%=--ignore=%)

quick-trainer: $(VENV)/.dev  ## the quick tests of the trainer and the commands
	$(BIN)/python -m pytest $(QUICK) $(OF_TORCH)

docs: $(VENV)/.docs  ## the site in docs/_site; a warning is an error
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -b html docs docs/_site

docs-test: $(VENV)/.docs  ## every block of code and every notebook of the documentation
	$(BIN)/python -m pytest -n 2 --dist loadgroup tests/docs -m docs

dist: $(VENV)/.docs  ## wheel and sdist in dist/
	$(BIN)/python -m build --outdir dist

wheels: $(VENV)/.docs  ## that every dependency has a wheel for Linux, macOS and Windows
	$(BIN)/python docs/wheels.py

check: $(VENV)/.dev  ## ruff and mypy only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: bench-select bench-captions bench-export bench-cluster bench-combine bench-train bench-state bench-evaluate  ## every benchmark, by hand: the machine should have nothing else to do

bench-select: $(VENV)/.dev  ## selections beside plain SQL, on a generated file of a million posts
	$(BIN)/python tests/benchmarks/selection.py

bench-captions: $(VENV)/.dev  ## captions beside the bare query; OLD=a Python with HakuBooru 0.0.3 to compare with it
	$(BIN)/python tests/benchmarks/captions.py $(if $(OLD),--old $(OLD))

bench-export: $(VENV)/.dev  ## the export beside tar, 25 GB; OLD=a Python with HakuBooru 0.0.3 to compare with it
	$(BIN)/python tests/benchmarks/export.py $(if $(OLD),--old $(OLD))
	$(BIN)/python tests/benchmarks/export_kills.py

bench-cluster: $(VENV)/.dev  ## what an archive costs the driver of a Ray cluster, and archives per second by nodes
	$(BIN)/python tests/benchmarks/cluster.py

bench-combine: $(VENV)/.dev  ## four checkpoints of 1 GB into one, beside reading and writing the same bytes
	$(BIN)/python tests/benchmarks/combine.py

bench-train: $(VENV)/.dev  ## an update of the trainer beside LyCORIS's forward and beside plain weights
	$(BIN)/python tests/benchmarks/train.py

bench-gpu: $(VENV)/.dev  ## a true SDXL on a GPU: images a second, memory; without one, the tiny model
	$(BIN)/python tests/benchmarks/gpu_sdxl.py

bench-memory: $(VENV)/.dev  ## the memory that plan counts beside that of real runs at SDXL's widths, on a CPU
	$(BIN)/python tests/benchmarks/memory_count.py

bench-state: $(VENV)/.dev  ## states of a training run: taking one up, saving one, ten kills; ranks beside one process
	$(BIN)/python tests/benchmarks/train_state.py
	$(BIN)/python tests/benchmarks/train_kills.py
	$(BIN)/python tests/benchmarks/train_ranks.py

bench-evaluate: $(VENV)/.dev  ## features of references beside a bare loop; what drawing 3,600 characters costs, counted
	$(BIN)/python tests/benchmarks/evaluation.py
	$(BIN)/python tests/benchmarks/evaluation.py --count

bench-browse: $(VENV)/.dev  ## the browser: pages of searches, completions, thumbnails, memory
	$(BIN)/python tests/benchmarks/browse.py

bench-remote: $(VENV)/.dev  ## images by byte range; CHASER=a Python with cheesechaser to compare with it
	$(BIN)/python tests/benchmarks/remote.py $(if $(CHASER),--chaser $(CHASER))

bench-plan: $(VENV)/.dev  ## what it takes to begin a training run with a million images: time and memory
	$(BIN)/python tests/benchmarks/train_plan.py

clean:
	rm -rf $(VENV) demo dist build .bench docs/_site docs/reference/generated docs/images/generated docs/notebooks docs/jupyter_execute

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.library: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install -c constraints.txt -e .
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install -c constraints.txt torch
	$(PIP) install -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.library

$(VENV)/.docs: $(VENV)/.dev
	$(PIP) install -c constraints.txt -e '.[docs]'
	touch $@ $(VENV)/.dev $(VENV)/.library
