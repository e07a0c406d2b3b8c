# Two commands on a fresh machine: `make demo` and `make test`. Both set up what they need.
# ARGS is handed on: make demo ARGS="EXAMPLE DIR", make test ARGS="tests/test_image.py -x".

.PHONY: help demo test test-litellm test-live attacks-table kept-project bench campaign campaign-ledger lint setup lock clean
.DEFAULT_GOAL := help
python := .venv/bin/python

help:
	@echo 'make demo    run a shipped example from proposal to report (ARGS="EXAMPLE DIR")'
	@echo 'make test    run the tests, those in Docker included (ARGS="tests/test_x.py -x")'
	@echo 'make test-litellm   the model adapter against the proxy of LiteLLM, in an environment of its own'
	@echo 'make test-live   the model adapter against the real provider; costs money, needs ANTHROPIC_API_KEY'
	@echo 'make attacks-table   carry the attacks out and write what came of them into docs/attacks.md'
	@echo 'make kept-project   make the project anew that the tests keep of this release'
	@echo 'make bench   measure against bare baselines (ARGS="sandbox --json FILE")'
	@echo 'make campaign   kill the supervisor 100 times at random moments (ARGS="--kills 20 --seed 1")'
	@echo 'make campaign-ledger   kill a whole cycle 300 times, without an engine (ARGS="--boundaries")'
	@echo 'make lint    ruff, mypy and the import contract'
	@echo 'make setup   make .venv from requirements.lock; the others do it too'
	@echo 'make lock    write requirements.lock and sandbox/requirements.lock anew'
	@echo 'make clean   remove .venv and everything else that can be made again here'

# Without an engine the demonstration still runs, its shipped experiment as an ordinary process.
demo: setup
	@scripts/engine || [ $$? -eq 4 ]
	@.venv/bin/autoresearch demo $(ARGS)

test: setup
	@scripts/engine --tiers
	@scripts/signing
	@$(python) -m autoresearch.adapters.image >/dev/null
	@$(python) -m pytest -n auto --maxprocesses=4 --dist=worksteal $(ARGS)

test-litellm: setup
	@scripts/litellm
	@$(python) -m pytest tests/litellm -m litellm $(ARGS)

test-live: setup
	@$(python) -m pytest tests/live -m live $(ARGS)

attacks-table: setup
	@scripts/engine
	@$(python) -m pytest tests/attacks/test_attacks.py --write-attacks-table -rP $(ARGS)

# Changes nothing unless what a project records did. Once a version is released its bundle stays as it is.
kept-project: setup
	@scripts/kept-project

bench: setup
	@scripts/engine
	@$(python) -m bench $(ARGS)

campaign: setup
	@scripts/engine
	@$(python) -m autoresearch.adapters.image >/dev/null
	@$(python) tests/campaigns/kill_supervisor.py $(ARGS)

campaign-ledger: setup
	@$(python) tests/campaigns/kill_ledger.py $(ARGS)

lint: setup
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo

setup:
	@scripts/setup

lock: setup
	@scripts/lock

clean:
	rm -rf .venv .cache build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -prune -exec rm -rf {} +
