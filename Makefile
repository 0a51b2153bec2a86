# quintet's commands. `make help` lists them; each installs what it needs first.

SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
SERVERS_VENV ?= .local/servers
UV_VERSION := 0.13.9

BIN := $(VENV)/bin
RUN := $(BIN)/python
export QUINTET_SERVERS_VENV := $(abspath $(SERVERS_VENV))
export UV_NO_PROGRESS := 1

APP := $(VENV)/.installed
SERVERS := $(SERVERS_VENV)/.installed

.PHONY: help
help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(APP): uv.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else f"quintet needs Python 3.11 to 3.13, {sys.executable} is {v.major}.{v.minor}: make PYTHON=python3.11 ...")'
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(RUN) -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@UV_PROJECT_ENVIRONMENT=$(abspath $(VENV)) $(BIN)/uv sync --quiet --frozen --inexact --python $(RUN)
	@# Dagster's own commands load resources.compute_logs by name, from whatever directory they run in.
	@$(RUN) -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "quintet.pth").write_text("$(CURDIR)\n")'
	@touch $@

$(SERVERS): local/servers/uv.lock local/servers/pyproject.toml $(APP)
	@UV_PROJECT_ENVIRONMENT=$(abspath $(SERVERS_VENV)) $(BIN)/uv sync --quiet --frozen --project local/servers --python $(RUN)
	@touch $@

.PHONY: install
install: $(APP) $(SERVERS) ## Install the application and the embedded servers from the lock files

.PHONY: demo
demo: install ## Run every pipeline through its sensors (ONCE=1 to exit, PIPELINES=campaigns to select)
	@$(RUN) -m local.demo $(if $(ONCE),--once) $(if $(PIPELINES),--pipelines "$(PIPELINES)")

.PHONY: dev
dev: install ## The stack, the webserver and the daemon until Ctrl-C
	@$(RUN) -m local.dev

.PHONY: up
up: install ## Start the embedded stack and write .local/env
	@$(RUN) -m local up

.PHONY: down
down: $(APP) ## Stop the embedded stack; its state stays
	@$(RUN) -m local down

.PHONY: reset
reset: $(APP) ## Stop the embedded stack and remove its state
	@$(RUN) -m local reset

.PHONY: status
status: $(APP) ## What of the embedded stack runs, and where
	@$(RUN) -m local status

.PHONY: doctor
doctor: $(APP) ## Check every configured system through its real client
	@$(RUN) -m ops doctor

.PHONY: quarantine
quarantine: $(APP) ## List rejected rows (BATCH=… shows them; REPLAY=1 puts them back to be validated again)
	@$(RUN) -m ops quarantine $(BATCH) $(if $(REPLAY),--replay)

.PHONY: replay
replay: $(APP) ## Request a batch again (BATCH=…), or all that wait for an operator
	@$(RUN) -m ops replay $(BATCH)

.PHONY: check
check: $(APP) ## Lint, types, import contracts, definitions, compose schema, secret scan
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@# Among links, since in the repository Dagster takes .env and dagster.yaml, and asks their Postgres.
	@mkdir -p .local/dg && ln -sfn ../../pyproject.toml ../../assets ../../definitions.py .local/dg/
	@DAGSTER_HOME= $(BIN)/dg check defs --target-path .local/dg
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml
	@if [ -x $(BIN)/hadolint ]; then $(BIN)/hadolint Dockerfile; fi
	@git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook --baseline .secrets.baseline

.PHONY: format
format: $(APP) ## Format the code and apply the linter's safe fixes
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

.PHONY: test
test: install check ## Everything: checks, then all tests
	@$(BIN)/pytest -n 2 --dist loadgroup --no-loadscope-reorder $(PYTEST_ARGS)
