# Two commands: `make demo` and `make test`. Both create .venv and install what they need.

SHELL := /bin/bash
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
STAMP := $(VENV)/.installed
TOOLS := $(VENV)/.tools-installed
# A Python that runs: a shim may exist and not work, so each is tried.
PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
export PATH := $(BIN):$(PATH)

.PHONY: help install demo demo-images demo-video tables test lint bench soak clean
help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

install: $(STAMP)  ## the virtual environment with what the demo needs; make test adds its tools

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.11, 3.12 or 3.13 was found; install one, or run: make PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all]'
	# mmpose's own requirements do not build; what it needs of them stands in pyproject.toml
	$(BIN)/python -m pip install --quiet --no-deps mmpose==1.3.2 mmcv-lite==2.1.0 mmengine==0.10.7
	# the headless build lies over the others, so that no libGL or libxcb is needed
	$(BIN)/python -m pip install --quiet --no-deps --force-reinstall opencv-contrib-python-headless==4.13.0.92
	touch $(STAMP)

$(TOOLS): $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	touch $(TOOLS)

demo: install  ## raw folder to report, on rendered worlds
	$(MAKE) --no-print-directory --jobs 2 demo-images demo-video
	dvc repro  # the report, and whatever else params.yaml names
	reid tables
	@echo "report: $(CURDIR)/data/4-reports/report.html"

demo-images demo-video: install
	python -m tests.demo $(@:demo-%=%)

tables: install  ## the papers' tables on the rendered worlds, several seeds, and their claims
	reid table attention_driven 6 --dataset street --seeds 3
	reid table implicit_attention 1 --dataset mall --seeds 3 --row 'Luo, triplet' --row 'Full body, triplet'
	reid table multimodal_attention figure-3 --dataset crops/topview --seeds 3
	reid table multimodal_attention 2 --dataset crops/topview --seeds 3
	reid table mutual_attention models --dataset hall --splits 10 --row 'one stream, pooling' \
		--row 'two streams, no attention, pooling' --row 'MA, weighted addition, 4 frames'
	reid table attentive_convlstm 2 --dataset hall --splits 10
	reid sources --seeds 3
	cd tests/claims && reid claims --build --trainings 3

# The longest file first, or one process ends long after the other.
test: $(TOOLS) lint  ## lint, types, all tests, and the whole DVC flow on a tiny world in a clone
	OMP_NUM_THREADS=1 python -m pytest tests/test_flow.py tests -m 'not gpu' --numprocesses auto --maxprocesses 4 \
		--dist loadfile --no-loadscope-reorder

lint: $(TOOLS)  ## ruff and pyright
	ruff format --check .
	ruff check .
	pyright

bench: $(TOOLS)  ## speed as ratios against limits measured in the same run
	python -m tests.benchmarks

soak: $(TOOLS)  ## campaigns that try to break it: inputs, kills, disks, damage; hours
	python -m tests.soak mutations --count $(or $(COUNT),1000)
	python -m tests.soak damage --count $(or $(COUNT),1000)
	python -m tests.soak kills --count 100
	python -m tests.soak disk --count 9

clean:  ## unpublished work and caches of tools
	rm -rf .work .pytest_cache .ruff_cache build *.egg-info
