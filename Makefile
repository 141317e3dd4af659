# Needs git, make and Python 3.11 or newer with venv and pip; everything else is brought along.

BIN := .venv/bin
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
LOCKED := pyproject.toml requirements/run.txt requirements/test.txt
# Contents, not times: a checkout or a copy changes every time and nothing else.
STAMP := $(shell cat $(LOCKED) | cksum | tr ' ' '-')
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Test processes; each has a PostgreSQL of its own.
JOBS ?= 2
ARGS ?=
# Of make soak.
SECONDS ?= 3600

.DEFAULT_GOAL := help
.PHONY: help run test lint fmt check bench sweep fuzz faults soak lock install install-test clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

run: install  ## start the service: PostgreSQL, schema, first admin, http://127.0.0.1:5000
	@exec $(BIN)/blobstore serve $(ARGS)

test: install-test  ## the whole default suite, on a PostgreSQL of its own (ARGS="-k name" for a part)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: install-test  ## ruff, the format, mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fmt: install-test  ## format and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: lint test  ## what CI does

bench: install-test  ## measure (see bench/)
	$(BIN)/python -m bench $(ARGS)

sweep: install-test  ## whole and cut bodies of every kind and size over the real service; some minutes
	$(BIN)/python -m tests.edge.sweep $(ARGS)

fuzz: install-test  ## schemathesis over every call as nobody, a user and an admin; some minutes
	$(BIN)/python -m tests.edge.fuzz

faults: install-test  ## kill it, cut its power, fill its disk, hundreds of times; needs root (ARGS="--quick" for less)
	$(BIN)/python -m tests.crash $(ARGS)

soak: install-test  ## everything at once for SECONDS=3600, judged every minute; do the workers hold more in the end?
	$(BIN)/python -m tests.races.soak $(SECONDS)

lock:  ## resolve the dependencies anew and export them (needs poetry and poetry-plugin-export)
	poetry lock
	poetry export --extras embedded --with build --output requirements/run.txt
	poetry export --extras embedded --with build,test --output requirements/test.txt

install: $(BIN)/.run-$(STAMP)  ## make .venv with what the service needs; nothing to do the second time

install-test: $(BIN)/.test-$(STAMP)  ## the same with what the tests need

clean:  ## remove .venv; data/ stays
	rm -rf .venv

$(BIN)/.run-$(STAMP):
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed" >&2; exit 1; }
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear .venv
	@rm -f $(BIN)/.run-* $(BIN)/.test-*
	$(PIP) install --no-deps --require-hashes --requirement requirements/run.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(BIN)/.test-$(STAMP): $(BIN)/.run-$(STAMP)
	$(PIP) install --no-deps --require-hashes --requirement requirements/test.txt
	@touch $@
