# panda-fsm: everything a clone needs, from a bare Debian machine on. `make` lists the targets.
PYTHON ?= python3
JOBS ?= 20
PILOTS ?= 2
JSON ?=
SOURCE ?= client
ARGS ?=
PROFILE ?=
RATE ?= 50
MINUTES ?=
# Tests that run side by side, each on services of its own: they wait more than they work.
WORKERS ?= 3

BIN := .venv/bin
CODE := panda_fsm engine consumers periodic plugins broker sql gateway jedi command lab bench tests examples/jedi/panda_fsm_jedi

.DEFAULT_GOAL := help
.PHONY: help setup system tested run demo up down traffic screenshots status test unit check fmt bench docs schema lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## virtual environment with the locked dependencies (silent when done)
	@$(PYTHON) -m lab.bootstrap

system: ## setup, and the Debian packages that running needs (apt as root, else a hint)
	@$(PYTHON) -m lab.bootstrap --system

run: system ## start everything, send real jobs through, serve until Ctrl-C
	@$(BIN)/python -m lab run --jobs $(JOBS) --pilots $(PILOTS) --source $(SOURCE)

demo: system ## the same, but stop afterwards: JOBS=20 PILOTS=2 SOURCE=jedi JSON=1
	@$(BIN)/python -m lab demo --jobs $(JOBS) --pilots $(PILOTS) --source $(SOURCE) $(if $(JSON),--json)

up: system ## start everything in the background; then: source .run/env
	@$(BIN)/python -m lab up

down: setup ## stop what `make up` started
	@$(BIN)/python -m lab down

traffic: setup ## simulated users and pilots for what `make up` started, with what goes wrong: RATE=50 MINUTES=10
	@$(BIN)/python -m lab traffic --rate $(RATE) $(if $(MINUTES),--minutes $(MINUTES))

screenshots: tested ## pictures of every page, of a private system with traffic: docs/operations/screenshots
	@$(BIN)/python -m lab screenshots --rate $(RATE) $(if $(MINUTES),--minutes $(MINUTES))

status: setup ## what of this clone runs
	@$(BIN)/python -m lab status

tested: setup
	@$(PYTHON) -m lab.bootstrap --tests

# Each worker would compile all tests for itself, whatever is set around us: what is written serves the next run.
test: tested check ## all checks and all tests, against real services
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

unit: setup ## the tests that need no service
	@$(BIN)/python -m pytest tests/unit $(ARGS)

check: setup ## ruff, mypy, import contracts, budgets, generated pages
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check --quiet $(CODE)
	@$(BIN)/mypy --strict $(CODE)
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m pytest -q tests/unit/test_house.py
	@$(BIN)/panda-fsm docs --check

fmt: setup ## format, and fix what ruff can fix
	@$(BIN)/ruff format $(CODE)
	@$(BIN)/ruff check --fix $(CODE)

bench: system ## measure throughput and latency on real services; PROFILE=steady: minutes of steady load, PROFILE=history: 5 million archived jobs, PROFILE=dashboard: people look at all pages
	@$(BIN)/python -m bench $(ARGS) $(if $(PROFILE),--only $(PROFILE))

docs: setup ## regenerate the pages derived from the code
	@$(BIN)/panda-fsm docs

schema: up ## rewrite sql/schema.sql after a migration was added
	@. .run/env && $(BIN)/python -m sql.schema

LOCKED := --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --python-version 3.11 --quiet

lock: setup ## regenerate requirements.lock and tests/clients/*.lock (versions and hashes, no index addresses)
	@$(BIN)/uv pip compile pyproject.toml --extra otel --group lab --group dev $(LOCKED) -o requirements.lock $(ARGS)
	@for lock in tests/clients/*.lock; do \
	  basename $$lock .lock | sed 's/-\([0-9.]*\)$$/==\1/' | $(BIN)/uv pip compile - $(LOCKED) -o $$lock $(ARGS) || exit; \
	done
