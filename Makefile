# Two commands do all the set-up on a fresh Debian machine: `make demo` and `make test`.
# Packages come from apt, Python's from pip into .venv; nothing else on the machine is changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Many tests wait for something: one more at a time than there are cores. What a module sets up is set up once.
SIDE_BY_SIDE := -n $(shell expr $$(nproc) + 1) --dist loadscope
# Where a 3.9 is found, the suite runs on it as well, with the oldest versions that EL 9 carries.
PYTHON39 := $(firstword $(wildcard /usr/bin/python3.9 /usr/local/bin/python3.9 $(HOME)/.pyenv/versions/3.9*/bin/python3.9))

# Hundreds of tests start the command: its modules are compiled once, whatever the shell says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-39 test-vm test-vm-all bench rpm lint format tools tools-vm clean

help: ## Show this
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

tools: $(VENV)/.stamp ## Install what the demo and the tests need
	@sh tests/need.sh

$(VENV)/.stamp: pyproject.toml
	@sh tests/need.sh
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

demo: $(VENV)/.stamp ## Wipe a scratch disk on a loop device as a boot would; touches nothing but its own file
	$(BIN)/python tests/demo.py

test: tools ## Everything but the virtual machines, linters and type checks included
	$(BIN)/python -m pytest -q -rs $(SIDE_BY_SIDE)

# What is built by the system's Python, and what is Ruby's or nginx's, is the same for each.
test-39: tools ## The suite on Python 3.9 with EL 9's versions, where there is a 3.9
ifeq ($(PYTHON39),)
	@echo "no Python 3.9 here: the suite ran on $$($(PYTHON) --version) alone"
else
	@test $(VENV)39/.stamp -nt tests/constraints-el9.txt -a $(VENV)39/.stamp -nt pyproject.toml || { \
	  $(PYTHON39) -m venv --clear $(VENV)39 && \
	  $(VENV)39/bin/pip install --quiet --disable-pip-version-check --editable '.[test]' \
	    --constraint tests/constraints-el9.txt && touch $(VENV)39/.stamp; }
	$(VENV)39/bin/python -m pytest -q -rs $(SIDE_BY_SIDE) --ignore tests/test_house.py --ignore tests/rpm --ignore tests/kickstart \
	  --ignore tests/foreman/test_templates.py --ignore tests/delivery/test_mirror.py
endif

tools-vm: tools
	@sh tests/need.sh vm

test-vm: tools-vm ## The boot lab: the image is built, and servers boot from it over PXE
	$(BIN)/python -m pytest -q -m vm tests/vm

test-vm-all: tools-vm ## The boot lab, its long scenarios as well
	$(BIN)/python -m pytest -q -m 'vm or vm_long' tests/vm

bench: tools-vm ## Print ratios against peers measured in the same run
	$(BIN)/python -m pytest -q -s -m bench tests/bench tests/vm

rpm: tools ## A repository in dist/rpm: the agent's packages, and those that EL and EPEL lack
	PYTHON=$(BIN)/python rpm/build dist/rpm

lint: $(VENV)/.stamp
	$(BIN)/python -m pytest -q tests/test_house.py

format: $(VENV)/.stamp
	$(BIN)/ruff format liveagent tests
	$(BIN)/ruff check --fix liveagent tests

clean:
	rm -rf $(VENV) $(VENV)39 build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
