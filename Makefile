# Two commands from a fresh clone: `make demo` and `make test`. `make help` lists the rest.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3,$(if $(shell $(p) -c 'import sys; print("y" * (sys.version_info >= (3, 11)))' 2>/dev/null),$(p))))
VENV ?= .venv
BIN := $(VENV)/bin
ROOT := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))
FAISS ?= cpu
PRESET ?= demo
CORES ?= all
PORT ?= 5000

# Lock files fit x86_64 Linux with Python 3.11 and the cpu extra; elsewhere pyproject.toml's ranges are installed.
LOCKED := $(shell $(PYTHON) -c 'import sys, platform; print("y" * ((sys.version_info[:2], platform.machine(), sys.platform, "$(FAISS)") == ((3, 11), "x86_64", "linux", "cpu")))' 2>/dev/null)

.PHONY: help test-tools demo test test-gpu test-paper test-parity test-slurm test-mlflow-server study lint ui unlock docs lock clean verify kept fuzz drill soak audit licences

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'
	@echo "  Say it with the target: PRESET=demo, CORES=all, PORT=5000 (ui), PYTHON=python3.11, FAISS=cpu or gpu"

demo: $(VENV)/.demo ## Install, then every table of the preset demo on this machine
	@$(BIN)/snakemake --cores $(CORES) --rerun-incomplete --quiet rules host reason --config preset=$(PRESET)
	@echo
	@echo "Page:     results/$(PRESET)/index.html   (open it in a browser)"
	@echo "Tables:   results/$(PRESET)/tables/   (csv, md, tex, html)"
	@echo "Runs:     make ui$(if $(filter-out demo,$(PRESET)), PRESET=$(PRESET))   (MLflow, http://127.0.0.1:$(PORT))"

# Two processes, whatever the machine: each needs some 2 GiB. A file's tests stay in one, for what they share.
test: $(VENV)/.test lint ## Install what tests need, then run them
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-paper: $(VENV)/.test ## Two real steps of each full-size pre-training, the paper's 16 and two optional ones (224 px)
	$(BIN)/python -m pytest tests/paper -m paper

test-parity: $(VENV)/.parity ## Compare with the peers themselves (anomalib, lightly)
	$(BIN)/python -c 'import anomalib.models, lightly.loss'
	$(BIN)/python -m pytest -m parity

# chromium-driver is what selenium speaks to. Without these packages the tests that need them say so and are skipped.
TEST_TOOLS := chromium chromium-driver faketime texlive-latex-recommended
test-tools: ## Install what some tests drive, as root on Debian: Chromium (page), TeX (tables), faketime (clocks)
	@{ command -v chromium && command -v chromedriver && command -v pdflatex && command -v faketime; } >/dev/null || \
	  { apt-get update -qq && apt-get install -y -qq --no-install-recommends $(TEST_TOOLS) >/dev/null; }

test-gpu: $(VENV)/.test ## What only a GPU can show; fails where there is none
	$(BIN)/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available() and "test-gpu: torch sees no GPU")'
	$(BIN)/python -m pytest tests/gpu

# The shell ends Slurm's daemons where pytest itself was killed.
test-slurm: $(VENV)/.test ## The profile slurm/ on a real two-node Slurm on this machine (root, Debian)
	@export LAB=$$(mktemp -d)/lab; trap 'tests/slurm/lab.sh stop' EXIT; trap 'exit 1' INT TERM; \
	  SPD_TEST_SLURM=yes $(BIN)/python -m pytest tests/slurm --durations=15

test-mlflow-server: $(VENV)/.test ## 16 jobs log live to an MLflow server on PostgreSQL (root, Debian); result in docs/mlflow.md
	@test -d /usr/lib/postgresql || apt-get install -y -qq --no-install-recommends postgresql >/dev/null
	$(BIN)/python -m pip install --quiet --target build/postgresql 'psycopg2-binary>=2.9,<3'
	PYTHONPATH=$(CURDIR)/build/postgresql $(BIN)/python tests/mlflow_server/sixteen_jobs.py --write

study: $(VENV)/.demo ## When does SPD help? Hours of all cores, resumable (docs/mechanism.md); QUICK=yes: minutes
	$(if $(QUICK),STUDY=--quick )$(BIN)/snakemake mechanism --cores $(CORES) --quiet rules host reason progress

lint: $(VENV)/.test ## Check formatting and style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules

ui: $(VENV)/.demo ## Open the runs in MLflow (loopback only)
	@test -f results/$(PRESET)/mlflow/mlflow.db || { echo "results/$(PRESET)/mlflow/mlflow.db is not there yet: run make demo first"; exit 2; }
	@$(BIN)/python $(ROOT)workflow_scripts/common/tracking_place.py results/$(PRESET)/mlflow
	@echo "MLflow, charts of the detectors' runs. Open this in some ten seconds (Ctrl-C ends the server):"
	@echo "  http://127.0.0.1:$(PORT)$$($(BIN)/python -c 'import json; print(json.load(open("results/$(PRESET)/mlflow/synced.json")).get("open", ""))')"
	@MLFLOW_DISABLE_TELEMETRY=true MLFLOW_LOGGING_LEVEL=WARNING PYTHONWARNINGS=ignore $(BIN)/mlflow server \
	  --host 127.0.0.1 --port $(PORT) --workers 2 --uvicorn-opts=--log-level=warning \
	  --backend-store-uri sqlite:///$(CURDIR)/results/$(PRESET)/mlflow/mlflow.db

docs: $(VENV)/.docs ## Build the documentation into build/docs; a warning is an error
	$(BIN)/python docs/reference.py
	NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(BIN)/mkdocs build --strict --quiet
	@echo "Documentation: build/docs/index.html"

unlock: $(VENV)/.demo ## Free a results folder that a killed run left locked (only when nothing runs there)
	$(BIN)/snakemake --unlock --config preset=$(PRESET)

lock: ## Resolve the lock files again (in a virtual environment of its own)
	$(PYTHON) -m venv build/lock && build/lock/bin/python -m pip install -q --upgrade pip
	build/lock/bin/python requirements/lock.py

verify: $(VENV)/.demo ## Check a preset's results against what its jobs wrote; names what was altered
	@PYTHONPATH=$(ROOT) $(BIN)/python -m workflow_scripts.common.verify results/$(PRESET)

kept: $(VENV)/.demo ## List a preset's trained backbones with sizes and uses; DELETE=yes deletes unused ones
	@PYTHONPATH=$(ROOT) $(BIN)/python -m workflow_scripts.common.kept --preset $(PRESET) $(if $(DELETE),--delete)

fuzz: $(VENV)/.test ## 2,000 hostile files: archives, images, masks, CSVs, configs, weights (minutes)
	$(BIN)/python tests/hostile/fuzz.py --mutants $(or $(MUTANTS),2000)

drill: $(VENV)/.test ## 100 kills -9 of runs of tiny and 5 of the demo, the demo twice, threads (hours)
	$(BIN)/python tests/drills/crash.py --preset tiny --kills $(or $(KILLS),100)
	$(BIN)/python tests/drills/crash.py --preset demo --kills $(or $(DEMO_KILLS),5)
	$(BIN)/python tests/drills/compare.py --preset demo --first build/drill/demo-undisturbed
	$(BIN)/python tests/drills/threads.py --preset demo

soak: $(VENV)/.test ## Random edits of the config for 30 minutes: incremental results equal those from scratch
	$(BIN)/python tests/drills/soak.py --minutes $(or $(MINUTES),30)

audit: ## Known vulnerabilities of the locked packages; fails where the database cannot be reached
	$(PYTHON) requirements/audit.py

licences: $(VENV)/.test ## List the licence of every installed dependency in requirements/licences.md
	$(BIN)/python requirements/licences.py

clean: ## Delete the results and the generated archives of every preset, keep downloads
	rm -rf results/demo results/tiny data/demo .snakemake

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# pip's hundreds of lines as a dozen; its errors come as they are. $(call install,NAME): the lock file of that name, or
# the extras' ranges where it does not fit.
extras.demo := demo
extras.test := demo,dev
extras.parity := demo,dev,parity
extras.docs := demo,dev,docs
install = @$(BIN)/python -m pip install --disable-pip-version-check \
	$(if $(LOCKED),--require-hashes -r requirements/$(1).txt,-e '.[$(FAISS),$(extras.$(1))]') | { n=0; \
	of="$(if $(LOCKED), of $$(grep -c == requirements/$(1).txt)) packages fetched"; while read -r word rest; do \
	  case "$$word $$rest" in \
	    Collecting*|"Requirement already"*) n=$$((n + 1)); if [ $$((n % 20)) = 0 ]; then echo "  $$n$$of"; fi;; \
	    "Installing collected"*) echo "  $$n$$of; installing them";; \
	  esac; done; }

# The stamps say what is installed; `test` is `demo` and more.
$(VENV)/.demo: pyproject.toml requirements/demo.txt | $(BIN)/python
	@echo "Installing into $(VENV) (about 7 GB with torch's GPU libraries; a few minutes)"
	$(call install,demo)
	$(if $(LOCKED),@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .)
	@touch $@

$(VENV)/.test: pyproject.toml requirements/test.txt $(VENV)/.demo | $(BIN)/python
	@echo "Installing what tests need"
	$(call install,test)
	@touch $@

$(VENV)/.parity: pyproject.toml requirements/parity.txt $(VENV)/.test | $(BIN)/python
	@echo "Installing the peers that tests compare with"
	$(call install,parity)
	@touch $@

$(VENV)/.docs: requirements/docs.txt $(VENV)/.test | $(BIN)/python
	@echo "Installing what builds the documentation"
	$(call install,docs)
	@touch $@
