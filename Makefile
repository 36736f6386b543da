# make check   linters and the fast tests: no services, about a minute on two quiet cores
# make test    everything, with SLURM, Apptainer, Redis, PostgreSQL, sshd and Chromium where this machine can have them
# make chaos   a chain of 200 runs on the real SLURM and Redis while everything around it is killed (six minutes)
# make soak    `neuroflow up` for an hour while its children are killed at random (an hour and some minutes)
# make demo    a phantom scanner and the whole way through it on this machine
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Tests wait for processes as well as they compute: three for two cores.
WORKERS := $(shell echo $$(( ($$(nproc 2>/dev/null || echo 2) * 3 + 1) / 2 )))
SERVICE_MARKS := slurm apptainer redis postgres ssh chromium
FAST := not slow $(SERVICE_MARKS:%=and not %)
COVERAGE_FLOOR := 80

export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Where bytecode isn't kept, every process of the tests compiles neuroflow and the tests anew.
export PYTHONDONTWRITEBYTECODE =

.PHONY: help venv lint check services test chaos soak demo clean
.DEFAULT_GOAL := help

help:
	@sed -n '/^# make/s/^# //p' Makefile

venv: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "neuroflow needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1);" \
	        "name another one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "'$(PYTHON)' can't make virtual environments: install its venv and ensurepip modules" \
	        "(Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e '.[dev,demo]'
# For the tests of VoxelOps, which needs an older parcellate than QSIParc: beside the other one, not instead of it.
	$(BIN)/python -m pip install --quiet --no-deps --target $(VENV)/parcellate-0.3 --upgrade 'parcellate==0.3.1'
# For the test of what is exported for Nipoppy: alone, as its dependencies bring an older pandas than we get.
	$(BIN)/python -m pip install --quiet --no-deps --target $(VENV)/nipoppy-0.4 --upgrade 'nipoppy==0.4.8' 'rich-click>=1.8' 'json5>=0.9'
	@touch $@

lint: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "$(FAST)"

# Root on Debian can have all of them. Anyone else keeps what is there; the tests say what they skip.
services:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    tests/cluster/services.sh install && tests/cluster/services.sh up; \
	else \
	    echo "Not root on Debian: no services are installed or started. Tests that need SLURM, Apptainer," \
	        "Redis or PostgreSQL are skipped unless they are here; pytest's summary lists them."; \
	fi

test: venv services lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "$(FAST)" --cov --cov-report=
	$(BIN)/python -m pytest -m "not ($(FAST))" --cov --cov-append --cov-report=term --cov-fail-under=$(COVERAGE_FLOOR)

chaos: venv services
	NEUROFLOW_REQUIRE=slurm,redis NEUROFLOW_TEST_CHAOS=long $(BIN)/python -m pytest -v tests/chain/test_chaos.py

soak: venv services
	NEUROFLOW_REQUIRE=slurm,redis NEUROFLOW_TEST_SOAK=$${NEUROFLOW_TEST_SOAK:-3600} \
	    $(BIN)/python -m pytest -v -s tests/chain/test_up_soak.py

demo: venv
	$(BIN)/neuroflow demo

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage
