# `make test` and `make track` are all a newcomer needs; each sets up what is missing first. A second run finds everything in place.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

VENV ?= .venv
# ROS 2 is on the package index for CPython 3.11 only; with 3.10 or 3.12 a sourced ROS 2 provides it.
PYTHON ?= $(shell for v in 3.11 3.10 3.12; do for p in $$(type -aP python$$v) "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$$v.*/bin/python; do \
    if "$$p" -c 'import sys' >/dev/null 2>&1; then echo "$$p"; exit; fi; done; done)
BIN := $(VENV)/bin
ROS_PACKAGE := ros2_ws/src/dextrack
ROS_FILES := $(shell find $(ROS_PACKAGE) -type f -not -path '*/__pycache__/*' -not -path '*.egg-info/*' -not -path '*/build/*' 2>/dev/null)
STAMP := $(VENV)/.installed
ROS_STAMP := $(VENV)/.ros-installed
APT_STAMP := $(VENV)/.apt-checked

# ARGS goes to the verb: make track ARGS="--help"
ARGS ?=
# NAME chooses a benchmark.
NAME ?=
# SKIP_APT=1 leaves the system's packages to you.
SKIP_APT ?=
# make track cell:=twin_wire, or cell=twin_wire, takes another cell.
cell ?=
# SLOW=1 also runs the tests that take more than a few seconds.
SLOW ?=

.PHONY: help setup test track lint bench clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup: $(STAMP) $(ROS_STAMP)  ## make .venv with every pinned package

test: setup  ## run the tests; SLOW=1 runs the slow ones too
	$(BIN)/python -m pytest $(if $(SLOW),-m "slow or not slow") $(ARGS)

track: setup  ## a real recording becomes a tracked trial: runs/latest/report.html
	$(BIN)/dextrack demo $(if $(cell),--cell $(cell)) $(ARGS)

lint: setup  ## check style, types and Dockerfiles (layers, Python 3.8 chain and file sizes are tests of tests/house)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/hadolint docker/*/Dockerfile

bench: setup  ## run one of tests/bench: make bench NAME=throughput ARGS="--help"; without NAME, list them
	@[ -n "$(NAME)" ] || { for file in $$(grep -l __main__ tests/bench/*.py); do echo "$$(basename $$file .py): $$(sed -n '1s/"""//gp' $$file)"; done; }
	@[ "$(NAME)" != retarget ] || $(BIN)/python -m pip install -qq --disable-pip-version-check --no-build-isolation -c constraints.txt -e ".[bench]"
	@[ -z "$(NAME)" ] || $(BIN)/python "tests/bench/$(NAME).py" $(ARGS)

clean:  ## remove .venv, caches and builds; runs/ and data sets stay
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(APT_STAMP): apt-packages.txt
	@missing=""; [ -z "$(SKIP_APT)" ] || { mkdir -p $(VENV); touch $@; exit 0; }; \
	command -v dpkg-query >/dev/null || { echo "No dpkg here: install what matches apt-packages.txt, then repeat with SKIP_APT=1." >&2; exit 1; }; \
	for name in $$(sed 's/#.*//' $<); do \
	    dpkg-query -W -f='$${db:Status-Abbrev}' $$name 2>/dev/null | grep -q '^ii' || missing="$$missing $$name"; \
	done; \
	if [ -n "$$missing" ]; then \
	    if [ "$$(id -u)" = 0 ]; then as_root=""; \
	    elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then as_root="sudo"; \
	    else echo "These Debian packages are missing and need root:$$missing. Run: apt-get install$$missing (or repeat with SKIP_APT=1 to do without)" >&2; exit 1; fi; \
	    echo "installing Debian packages:$$missing"; \
	    $$as_root apt-get update -qq; \
	    known=""; for name in $$missing; do \
	        if apt-cache show $$name >/dev/null 2>&1; then known="$$known $$name"; else echo "note: this system's archive has no $$name; see apt-packages.txt" >&2; fi; \
	    done; \
	    [ -z "$$known" ] || $$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$known >/dev/null; \
	fi
	@mkdir -p $(VENV) && touch $@

$(BIN)/python: | $(APT_STAMP)
	@[ -n "$(PYTHON)" ] || { echo "No CPython 3.10 to 3.12 was found. Install python3.11 (apt-get install python3.11 python3-venv), or name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt hatchling editables setuptools
	@echo "installing the pinned Python packages (a few minutes the first time)"
	@extras=robot,export,gpu,dev; if $(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then extras=ros,$$extras; \
	elif ! $(BIN)/python -c 'import rclpy' 2>/dev/null; then echo "note: no ROS 2 is sourced, and its wheels are for CPython 3.11 only: make track will need one" >&2; fi; \
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-build-isolation -c constraints.txt -e ".[$$extras]"
	@touch $@

# Not editable: an ament package is found through its entry in the ament index, which only a real install writes.
# Built from a clean copy: setuptools packs whatever an earlier build left in build/, modules that are long gone too.
$(ROS_STAMP): $(STAMP) $(ROS_FILES)
	@if [ -f $(ROS_PACKAGE)/setup.py ]; then \
	    copy=$$(mktemp -d); trap 'rm -rf "$$copy"' EXIT; \
	    tar -C $(ROS_PACKAGE) --exclude=./build --exclude='*.egg-info' --exclude=__pycache__ -cf - . | tar -C "$$copy" -xf -; \
	    $(BIN)/python -m pip install -qq --disable-pip-version-check --no-build-isolation --no-deps --force-reinstall "$$copy"; \
	fi
	@touch $@
