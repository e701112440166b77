# Two commands do everything: `make demo` sets up and runs the main job, `make test` runs what CI runs.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test lint bench agreement clean

demo: $(INSTALLED)
	$(BIN)/bitsmith doctor
	$(BIN)/bitsmith run configs/quickstart.yaml

test: lint
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -q

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks.area
	$(BIN)/python -m benchmarks.pe
	$(BIN)/python -m benchmarks.float_pe
	$(BIN)/python -m benchmarks.fpga
	$(BIN)/python -m benchmarks.simulator
	$(BIN)/python -m benchmarks.simulator_speed
	$(BIN)/python -m benchmarks.peers
	$(BIN)/python -m benchmarks.skipping
	$(BIN)/python -m benchmarks.cost_speed
	$(BIN)/python -m benchmarks.explore_speed --peer
	$(BIN)/python -m benchmarks.anchors
	$(BIN)/python -m benchmarks.bounds_speed
	$(BIN)/python -m benchmarks.orders
	$(BIN)/python -m benchmarks.narrow
	$(BIN)/python -m benchmarks.proofs
	$(BIN)/python -m benchmarks.quantizers
	$(BIN)/python -m benchmarks.whole_model

agreement: $(INSTALLED)
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -q -m agreement

# Debian splits the parts that a virtual environment needs from python3 itself.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  echo "python3-venv is missing; installing it"; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv libpython3.11; \
	} || { echo "install it first: apt-get install python3-venv libpython3.11"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

clean:
	rm -rf .venv build dist *.egg-info runs .pytest_cache .ruff_cache .mypy_cache .hypothesis
