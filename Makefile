# `make help` lists what there is. Everything sets itself up: Python >= 3.11 with venv, and make, are all that is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
RUNTIME := $(VENV)/.runtime
INSTALLED := $(VENV)/.installed
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command 'make lock'
HISTORY ?= .drift

.DEFAULT_GOAL := help
.PHONY: help install run test unit check format lock contract contract-real drift mutants docs bench bench-peers npm swagger-ui redocly schemathesis rhythm fuzz dist container

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## set up .venv from the lock files, tools for development included

$(RUNTIME): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.x"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes --requirement requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(INSTALLED): $(RUNTIME) requirements-dev.lock
	$(PIP) --require-hashes --requirement requirements-dev.lock
	@touch $@

run: $(RUNTIME) ## serve the fake on 127.0.0.1:6060 and print its key and a request to paste (ARGS="--speed 1" adds flags)
	@$(BIN)/fake-server serve $(ARGS)

test: install ## run all tests, in parallel and in random order
	$(BIN)/pytest -n auto --dist worksteal $(ARGS)

unit: install ## run the quick tests: no server, no other process, nothing slow, fewer examples of each property
	$(BIN)/pytest -n auto --dist worksteal -m "not server and not slow and not browser" --hypothesis-profile unit $(ARGS)

check: install ## check lint, format and types; writes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install ## format the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

lock: install ## renew both lock files from pyproject.toml
	$(COMPILE) --extra build --extra redis --output-file requirements.lock pyproject.toml
	$(COMPILE) --extra build --extra contract --extra dev --extra redis --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml

contract: install ## run every check against the fake at speed 10, with every capability (ARGS="--html F" adds flags)
	@$(BIN)/python -m tests.contract.full $(ARGS)

contract-real: install ## run every check against BASE_URL with CONTRACT_API_KEY; shows the cost and asks first
	@$(BIN)/contract run --base-url "$(BASE_URL)" --confirm $(ARGS)

drift: install ## compare BASE_URL with RECORDINGS every night; HISTORY (.drift) keeps when each difference began
	@$(BIN)/contract drift --base-url "$(BASE_URL)" --recordings "$(RECORDINGS)" --history "$(HISTORY)" $(ARGS)

mutants: install ## break the fake in more than 700 ways; a check must name the cause of each (ARGS="--only 'ping_*'")
	@$(BIN)/python -m tests.mutants $(ARGS)

docs: install ## generate the pages that say what the code says, and build the site into site/
	@$(BIN)/python -m tests.pages
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: install ## measure what the fake costs beside a floor and its peers, in one run (ARGS="--quick streams" chooses)
	@$(BIN)/python -m benchmarks $(ARGS)

bench-peers: install ## install the peers that make bench measures, from npm and PyPI, into .benchmarks
	@$(BIN)/python -m benchmarks.peers

npm: install ## install the npm packages that tests of the docs use, into .npm
	@$(BIN)/python -m tests.npm

swagger-ui: install ## fetch Swagger UI of the console from npm again, as it is pinned (ARGS=5.36.0 takes another version)
	@$(BIN)/python -m tests.swagger_ui $(ARGS)

redocly: install ## lint spec and overlays with Redocly, fetched from the npm registry
	$(BIN)/python -m tests.redocly

schemathesis: install ## send random requests to three versions: every response must be in their documents
	@$(BIN)/python -m tests.undocumented $(ARGS)

rhythm: install ## compare a 35 s stream in real time with the recorded one
	$(BIN)/python -m tests.rhythm

fuzz: install ## send 10,000 random requests, checked against spec and overlay, and read 1,000 mutated files
	$(BIN)/python -m tests.fuzz
	$(BIN)/python -m tests.fuzz files

dist: install ## build sdist and wheel into dist/, and try them with every Python here (PYTHONS="python3.12 …" chooses)
	@$(BIN)/python -m tests.dist $(ARGS)

container: install ## run the steps of the Dockerfile and try its command, without a container engine (Linux, as root)
	@$(BIN)/python -m tests.container
