# Every target does all its own set-up; a bare machine needs Python 3.11 or newer and make.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DATA ?= ../shared/data
PROCESSES ?= 2
ROUNDS ?= 3
MINUTES ?= 5
PEERS := .venv-peers/.installed
AUDIT := .venv-audit/.installed

.PHONY: setup demo test javascript lint format docs pictures bench bench-peers measure real comparison full-size weights lock audit sbom clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "renalis needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
	  { echo "cannot make .venv; on Debian: apt-get install python3-venv"; rm -rf .venv; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,fast]'
	@touch $(STAMP)

demo: setup
	@test -e demo/scan/cohort.json || rm -rf demo/scan
	$(BIN)/renalis synthesize -o demo/scan -n 1 --seed 3 --kidneys normal --phase nephrographic --spacing 3 0.8 0.8
	$(BIN)/renalis segment demo/scan/images/case_00000.nii.gz -o demo/result --overwrite
	@echo "Synthetic CT, segmented. Open $(CURDIR)/demo/result/case_00000/report.html"

# Each process takes one stretch of the tests and, when done, half of what another has left: what the
# tests of a module share is made once, and all end together.
# Bytecode is kept whatever the shell says: the programs that tests start would compile all anew.
test: setup
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n $(PROCESSES) --dist worksteal tests

# dcmjs, with which a test reads DICOM Segmentations in Node; without it that test skips.
javascript: build/node/node_modules/dcmjs/package.json

build/node/node_modules/dcmjs/package.json: tests/javascript/package.json
	@mkdir -p build/node && cp tests/javascript/package.json build/node/
	npm install --prefix build/node --no-audit --no-fund --loglevel=error
	@touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The site of all documents, in build/site; warnings such as links that lead nowhere are errors.
docs: .venv/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open $(CURDIR)/build/site/index.html"

.venv/.docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

# The documents' pictures, of synthetic scans alone.
pictures: setup
	$(BIN)/python docs/generate/pictures.py

# nnU-Net, MONAI, TotalSegmentator and others, 3 GB, in an environment of their own.
bench-peers: $(PEERS)

$(PEERS): benchmarks/peers-requirements.txt
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/peers-requirements.txt
	@touch $(PEERS)

# All benchmarks beside the rivals; figures in benchmarks/results, page in docs/benchmarks.md.
# Takes about an hour on two cores; ROOMS="startup reading" runs some of them.
bench: setup bench-peers
	$(BIN)/python benchmarks/run.py --data $(DATA) --rounds $(ROUNDS) $(if $(ROOMS),--only $(ROOMS))

# What has no rival: accuracy on data at hand, and the cost of making synthetic scans.
measure: setup
	RENALIS_DATA=$(DATA) $(BIN)/python benchmarks/published_predictions.py
	$(BIN)/python benchmarks/tidying.py --reference $(DATA)/kits23-labels --limit 40
	$(BIN)/python benchmarks/measurements.py
	$(BIN)/python benchmarks/synthesis.py
	$(BIN)/python benchmarks/few_cases.py
	$(BIN)/python benchmarks/known_scores.py
	$(BIN)/python benchmarks/real_scan.py --data $(DATA)
	$(BIN)/python benchmarks/real_slices.py --slices $(DATA)/kits-slices/original.npz \
	  $(DATA)/kits-slices/middle.npz --cases %5 --output runs/real-slices
	$(BIN)/python benchmarks/synthesis_against_real.py --labels $(DATA)/kits23-labels \
	  --slices $(DATA)/kits-slices/original.npz $(DATA)/kits-slices/middle.npz
	$(BIN)/python benchmarks/altered.py --data $(DATA)
	$(BIN)/python benchmarks/orientations.py --data $(DATA)

# Before a release: every real scan at hand whole, thinned and cut; `make test` does a part of it.
real: setup
	$(BIN)/python benchmarks/real_scans.py --data $(DATA) --output build/real-scans

# All recipes on one synthetic cohort at equal training time, beside MONAI's networks; writes
# docs/comparison.md. Takes hours; stopped, it goes on where it was.
comparison: setup bench-peers
	$(BIN)/python benchmarks/recipes.py --labels $(DATA)/kits23-labels --minutes $(MINUTES) --jobs $(PROCESSES)

# Two optimization steps of every recipe at its published patch and batch; writes docs/full-size.md.
full-size: setup
	$(BIN)/python benchmarks/full_size.py

# Trains the shipped model from label maps (KiTS23 labels); stopped, it goes on where it was.
weights: setup
	$(BIN)/renalis train renalis-kidney --data $(DATA)/kits23-labels -o runs/weights --processes $(PROCESSES) --resume
	cp runs/weights/renalis-kidney.safetensors src/renalis/weights/

# What a service or a laptop installs, every file with its hash, at the versions of constraints.txt.
# PyTorch is left to `pip install torch`, whose build follows from the machine.
FREE_BUILDS := torch triton $(addprefix nvidia-,cublas cuda-cupti cuda-nvrtc cuda-runtime cudnn-cu13 cufft \
  cufile curand cusolver cusparse cusparselt-cu13 nccl-cu13 nvjitlink nvshmem-cu13 nvtx) cuda-bindings \
  cuda-pathfinder cuda-toolkit
lock: $(AUDIT)
	.venv-audit/bin/uv pip compile --quiet pyproject.toml --constraint constraints.txt --generate-hashes \
	  --python-version 3.11.7 --no-annotate --custom-compile-command "make lock" --output-file requirements.lock \
	  $(addprefix --extra ,dicom fast itk onnx pdf serve) $(addprefix --no-emit-package ,$(FREE_BUILDS))

# Known weaknesses of what is locked; asks the Python Packaging Advisory Database over the network,
# and fails where it cannot be asked.
audit: $(AUDIT)
	.venv-audit/bin/python .ci/audit.py .venv-audit/bin/pip-audit requirements.lock

# What is installed here, with licences, as CycloneDX; its own library validates it.
sbom: setup $(AUDIT)
	@mkdir -p build
	.venv-audit/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --validate \
	  --output-reproducible --of JSON --output-file build/sbom.cdx.json

$(AUDIT):
	@test -x .venv-audit/bin/python || $(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check \
	  'cyclonedx-bom>=6' 'pip-audit>=2.7' 'uv>=0.5'
	@touch $@

clean:
	rm -rf .venv .venv-audit .venv-peers build dist demo src/*.egg-info
