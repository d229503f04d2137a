# make demo   a BLAST search in a notebook cell, from nothing
# make lab    the same notebook in JupyterLab
# make test   everything, as you (and as root: a second time as an ordinary user)
# make bench  our speed beside docker, podman, crun and bwrap, as a table
# make lint   style and types
# make clean  forget the virtual environment (the image cache outside the tree stays)
#
# Each sets up what it needs: a virtual environment here, and as root the Debian packages it is missing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NEED := bash .ci/need
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check

.PHONY: demo lab test bench lint clean images
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	@$(NEED) docker-registry skopeo busybox-static:busybox mmdebstrap zstd || echo "  (needed only if Docker Hub cannot be reached)"
	@$(BIN)/python notebooks/demo.py

lab: $(VENV)/.demo
	@$(BIN)/python notebooks/demo.py --lab

test: $(VENV)/.test
	@$(NEED) docker-registry skopeo busybox-static:busybox mmdebstrap zstd uidmap:newuidmap chromium
	@echo "== images: real programs from Debian's packages, made once"
	@$(BIN)/python -m tests.images.build
	@echo "== tests as $$(id -un)"
	@$(BIN)/python -m pytest -q $(TESTS)
	@bash .ci/as-user -m pytest -q -p no:cacheprovider tests/kernel tests/notebook

bench: $(VENV)/.test
	@$(NEED) docker-registry skopeo busybox-static:busybox mmdebstrap zstd uidmap:newuidmap gcc podman crun umoci bubblewrap:bwrap docker.io:dockerd || echo "  (contestants that are missing are left out of the table)"
	@$(BIN)/python -m tests.images.build
	@bash .ci/bench

images: $(VENV)/.test
	@$(BIN)/python -m tests.images.build

lint: $(VENV)/.test
	@$(BIN)/ruff check .
	@$(BIN)/mypy

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@echo "== a virtual environment in $(VENV)"
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(NEED) python3-venv:-
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	@echo "== pyck and JupyterLab from PyPI (half a minute)"
	@$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	@echo "== pyck and what its tests need from PyPI (half a minute)"
	@$(PIP) --editable '.[demo,test]'
	@touch $@
