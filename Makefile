# Two commands do all the set-up on a fresh machine: `make nightly` and `make test`.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
PYTHON ?= python3.11
BIN := .venv/bin
TASK := action

.PHONY: help nightly test check format docs bench bench-gates bench-judge bench-pose bench-swap mutations serve clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The locked set. Plain pip, because it alone takes a CPU wheel of torch that PIP_FIND_LINKS offers.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "Python 3.11 is needed: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

nightly: .venv/installed ## set up, then run one whole night (synthetic data when none was ingested)
	@$(BIN)/recognizer ingest $(TASK) --synthetic --if-empty
	@$(BIN)/recognizer nightly $(TASK)

test: .venv/installed-dev ## set up, then run all tests with coverage
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0 --cov --cov-report= --cov-config=pyproject.toml
	@$(BIN)/python -m coverage report --fail-under=85 --skip-covered | tail -n 25
	@$(BIN)/python -m coverage report --include='recognizer/*' --fail-under=90 | tail -n 1

check: .venv/installed-dev ## style, types and layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: .venv/installed-dev ## put the code into its standard form
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

docs: .venv/installed-dev ## write docs/cli.md anew from --help
	@$(BIN)/python -m flows.command.reference docs/cli.md

bench: .venv/installed ## training speed, window latency, what a night costs beyond training
	@$(BIN)/python -m benchmarks.night

bench-gates: .venv/installed ## how often the relative gate lets a worse model through, and a good one
	@$(BIN)/python -m benchmarks.promotions --plots docs

bench-judge: .venv/installed ## how often the judge of a rollout is wrong, and how soon it is right
	@$(BIN)/python -m benchmarks.judge

bench-pose: .venv/installed ## latency and training speed of the pose model; ARGS=--night for what a whole night learns
	@$(BIN)/python -m benchmarks.pose $(ARGS)

bench-swap: .venv/installed-dev ## swaps, rollouts and faults under traffic, as one table of bounds; ARGS=--quick for a sample
	@$(BIN)/python -m benchmarks.swap $(ARGS)

mutations: .venv/installed ## faults seeded into a sound night, which its gates have to catch; writes docs/mutations.md
	@$(BIN)/python -m benchmarks.mutations $(ARGS)

serve: .venv/installed ## answer requests with the champion
	@$(BIN)/recognizer serve

clean: ## remove the environment and tool caches (never the home's data)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build *.egg-info .coverage .coverage.*
