# Everything runs from a checkout with Python 3.11, pip, make and git; nothing else is needed.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*/\1/p' Makefile)

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

$(READY): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@echo "installing pinned dependencies into $(VENV) (one to three minutes, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(READY) ## set up and run the main job: evolve the quickstart population
	$(BIN)/evobourse evolve experiments/quickstart.yaml

test: $(READY) ## set up and run all tests, in two processes
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-fast: $(READY) ## tests without a model and without what is slow
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not slow and not model'

check: docs ## style, types and the site
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(READY) ## the site from docs/, into build/site; a dead link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict -d build/site

bench bench-minds: $(READY) ## the benchmark of what takes nearly all the time: minds
	$(BIN)/evobourse bench minds
	@echo "all other benchmarks: $(BIN)/evobourse bench --list"

bench-market: $(READY) ## an agent's day in a sweep's market, against the bare loop
	$(BIN)/evobourse bench market

drill: $(READY) ## kill, fill and stop all that a sweep stands on, and compare its lineage
	$(BIN)/evobourse bench kill_drill

drill-machines: $(READY) ## a small sweep as other processors would run it; all bytes must agree
	$(BIN)/evobourse bench machine_drill

styles: $(READY) ## train the shipped adapters that are missing (three minutes each)
	$(BIN)/evobourse train-styles experiments/quickstart.yaml --out agents/adapters \
		--set minds.attention=3 --set training.series=[sp500] --only momentum --only value \
		--only contrarian --only breakout --only risk-averse --only herding --only news-driven
	$(BIN)/evobourse train-styles experiments/quickstart.yaml --out agents/adapters \
		--set minds.attention=3 --only noise
	$(BIN)/evobourse train-styles experiments/quickstart.yaml --out agents/adapters \
		--set minds.attention=3 --only expert --steps 200
	$(BIN)/evobourse train-styles experiments/quickstart.yaml --sources --out agents/sources

notebooks: $(READY) ## the notebooks from their sources, executed, five minutes
	cd notebooks && export PYTHONWARNINGS=ignore && ../$(BIN)/jupytext --to ipynb *.py && ../$(BIN)/jupyter execute --inplace *.ipynb

clean: ## remove the environment and caches, keep runs
	rm -rf $(VENV) *.egg-info .pytest_cache .mypy_cache .ruff_cache build
	find . -name __pycache__ -prune -exec rm -rf {} +
