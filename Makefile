# The two commands are `make demo` and `make test`; both set up .venv first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
METHOD ?= sparse
DATA ?=
TASK ?= asr
ARGS ?=
SECONDS ?= 60
FOLDER ?= build/up
PORT ?= 8080
SUITE ?= build/tuf-conformance
SUITE_COMMIT := eec841c186f81f2d9d8d30460c7e7deefa615f9e

.PHONY: help setup demo up down restart status test conformance faults hostile schema fuzz check format clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## make .venv with everything installed

$(VENV)/.ready: pyproject.toml client/pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: install it or pass PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e './client[asr]' -e '.[dev]'
	@touch $@

demo: setup ## five updates on simulated devices; METHOD=hashed, DATA=<folder> for real recordings, TASK=asr-words
	$(BIN)/diffserver demo --method $(METHOD) $(if $(DATA),--data $(DATA)) --task $(TASK) $(ARGS)

up: setup ## PostgreSQL, two servers, a worker and nginx on this machine; PORT=8080, FOLDER=build/up
	@$(BIN)/python -m deploy.loopback up --folder $(FOLDER) --port $(PORT)

down: setup ## stop what `make up` started
	@$(BIN)/python -m deploy.loopback down --folder $(FOLDER) --port $(PORT)

restart: setup ## restart the servers of `make up`, one after the other
	@$(BIN)/python -m deploy.loopback restart --folder $(FOLDER) --port $(PORT)

status: setup ## what of `make up` runs
	@$(BIN)/python -m deploy.loopback status --folder $(FOLDER) --port $(PORT)

test: setup ## all tests, as many files at once as there are cores, at most four
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

conformance: setup ## the public conformance suite of The Update Framework against diffclient; needs faketime; SUITE=<folder>
	@command -v faketime >/dev/null || { echo "faketime is needed: apt-get install faketime"; exit 1; }
	test -d $(SUITE) || { git clone --quiet https://github.com/theupdateframework/tuf-conformance $(SUITE) && git -C $(SUITE) checkout --quiet $(SUITE_COMMIT); }
	test -x build/conformance/bin/pytest || { $(PYTHON) -m venv build/conformance && build/conformance/bin/pip install --quiet --disable-pip-version-check $(SUITE); }
	build/conformance/bin/pytest -q $(SUITE)/tuf_conformance --entrypoint "$(abspath $(BIN))/diffclient tuf-conformance" $(ARGS)

faults: setup ## every file operation of the client killed, refused, without power: `N fault points, N survived`
	$(BIN)/python -m tests.faults

hostile: setup ## slow networks, dead processes, full disks, hostile text, damaged objects: `N cases, N held`
	$(BIN)/python -m tests.hostile $(ARGS)

schema: setup ## generated requests against the API's description for SECONDS=60: `N requests, N undeclared answers …`
	$(BIN)/python -m tests.hostile.schema --seconds $(SECONDS)

fuzz: setup ## mutated payloads and texts against the client for SECONDS=60; findings in build/fuzz
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	$(BIN)/python -m tests.fuzz.texts -max_total_time=$$(($(SECONDS) / 4))
	$(BIN)/python -m tests.fuzz.payloads -max_total_time=$$(($(SECONDS) * 3 / 4))

check: setup ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup ## let ruff format and fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what was built, keep .venv
	rm -rf build
