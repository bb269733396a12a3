# Everything runs in .venv, which is made by itself the first time (with uv where it is installed).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# As many workers as tests/conftest.py says; the tests of a file stay together, and share what they set up. In the order of
# their names, so that the long ones, in chaos/, are not the last: by default files with few tests would be. They start
# hundreds of processes: what those load is compiled once, whatever this shell says of that.
TESTS := PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

FAULTS := $(or $(COINS_CHAOS_FAULTS),200)

.PHONY: install demo test check chaos bench client format lock secrets clean

install: $(INSTALLED)

demo: $(INSTALLED)
	$(BIN)/coins demo

test: $(INSTALLED)
	$(TESTS)

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(TESTS)

# Hundreds of faults at random, a quarter of an hour. COINS_CHAOS_SEED plays the schedule of a seed again.
chaos: $(INSTALLED)
	COINS_CHAOS_FAULTS=$(FAULTS) $(BIN)/pytest -s tests/chaos/test_campaign.py

bench: $(INSTALLED)
	$(BIN)/coins bench

# The wheel of coinworks-client, into dist/: what a device platform installs beside its own code.
client: $(INSTALLED)
	@rm -rf build/client dist/coinworks_client-*.whl
	@cd messages && ../$(BIN)/python -c "from setuptools import build_meta; build_meta.build_wheel('../dist')" >/dev/null
	@ls dist/coinworks_client-*.whl

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(INSTALLED): pyproject.toml requirements.lock
	@echo "installing into $(VENV), once …" >&2
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && \
	  VIRTUAL_ENV=$(VENV) uv pip install --quiet -r requirements.lock && \
	  VIRTUAL_ENV=$(VENV) uv pip install --quiet --no-deps --no-build-isolation -e . ; \
	else \
	  $(PYTHON) -m venv $(VENV) && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . ; \
	fi
	@touch $(INSTALLED)

# What CI and a fresh machine install, to the letter. Run after a change of dependencies.
lock:
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --upgrade \
	  --extra bench --group dev -o requirements.lock pyproject.toml
	rm -rf $(VENV)-lock

# What docker-compose.yml needs and nobody else may know: deploy/secrets/ and .env. What exists stays as it is.
secrets:
	@deploy/secrets.sh

clean:
	rm -rf $(VENV) .coins build dist *.egg-info messages/*.egg-info
