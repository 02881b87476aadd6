PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Python compiles the modules that are used; compiling all of them takes a minute.
INSTALL := $(BIN)/pip install --quiet --no-compile --constraint constraints.txt
QUICK := not (exhaustive or slow or browser or postgres or ray or weights or photos)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Test processes and commands share compiled modules instead of compiling them each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test suite quick exhaustive check durability fuzz clean

demo: $(VENV)/installed  ## set everything up and run the main job
	$(BIN)/resight demo
	@echo "resight is installed as $(BIN)/resight"

test: $(VENV)/installed-dev  ## set everything up and run all tests
	$(MAKE) --jobs 2 check suite

suite: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist worksteal

quick: $(VENV)/installed-dev  ## run the quick tests only
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist worksteal -m "$(QUICK)" tests/unit tests/contract

exhaustive: $(VENV)/installed-dev  ## run the tests that are too long for every change
	$(BIN)/pytest -m exhaustive

check: $(VENV)/installed-dev  ## check format, lint rules, and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable '.[dev]'
	@touch $(VENV)/installed $@

durability: $(VENV)/installed-dev  ## kill, starve and cut off operations; write the table of docs/durability.md
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m tests.durability --trials 1000 --write

fuzz: $(VENV)/installed-dev  ## read mutated photos, files and requests for five minutes
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m tests.fuzz --seconds 300

clean:
	rm -rf $(VENV)
