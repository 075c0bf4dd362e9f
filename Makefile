# `make quickstart` and `make test` set everything up in .venv by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# CPU builds of torch come first where one is wanted; CUDA machines may set TORCH= to skip this.
TORCH ?= torch==2.13.0
STAMP := $(VENV)/.installed

.PHONY: quickstart learn test test-fast check install clean

quickstart: $(STAMP)
	$(BIN)/clara run configs/quickstart.yaml

learn: $(STAMP)
	$(BIN)/clara learn configs/learn.yaml

# The slow ones start ranks and servers of their own and wait for them much of the time.
test: test-fast
	$(BIN)/python -m pytest -m slow --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 20

# One process a core, one thread each: tiny tensors gain nothing from more.
test-fast: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" --numprocesses auto --dist loadfile

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(STAMP)

$(STAMP): pyproject.toml
	$(PYTHON) -c "import sys; assert (3, 11) <= sys.version_info[:2] <= (3, 13), 'Python 3.11 to 3.13 is needed; say PYTHON=...'"
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH),$(BIN)/python -m pip install --quiet $(TORCH))
	$(BIN)/python -m pip install --quiet --editable ".[train,dev]"
	touch $(STAMP)

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .mypy_cache
