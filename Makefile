# `make demo` and `make test` are all that a fresh machine needs: Python 3.11 or newer with venv and pip, make, npm.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SNAKEMAKE := $(BIN)/snakemake
export PYTHONPATH := scripts
# Measurements: the peers' environment, folders of true stems (mixture.flac and its stems) to score besides the demo song,
# and the options of each command.
PEERS := .venv-peers
STEMS ?= $(wildcard ../shared/data/*/)
BENCH ?=

.PHONY: demo test test-slurm check coverage envs bench soak config clean
# Tests wait as much as they compute; those of a file share what it makes once.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

demo: $(VENV)/.installed
	$(SNAKEMAKE) --cores all demo
	@$(BIN)/python -m unbraid.outcome results/demo

test: $(VENV)/.installed-dev
	$(PYTEST)

# On a SLURM that is started for it: needs root and Debian's packages, and is skipped elsewhere.
test-slurm: $(VENV)/.installed-dev
	$(BIN)/python -m pytest tests/slurm

coverage: $(VENV)/.installed-dev
	$(PYTEST) --cov --cov-report=term-missing --cov-fail-under=95

# What CI checks besides the tests.
check: $(VENV)/.installed-dev
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(SNAKEMAKE) --lint

# The pins of each stack resolve for their platform.
envs: $(VENV)/.installed-dev
	$(BIN)/python tests/envs/resolve.py

# Measurements, a table each; docs/benchmarks.md tells how long each takes. `make bench BENCH=--write` puts them there.
BENCHES := bench-planning bench-song bench-batch bench-added bench-memory bench-quality bench-stages bench-chunk bench-estimate bench-page bench-split bench-scheduling
.PHONY: $(BENCHES) bench-gpu peers
bench: $(BENCHES)

bench-planning: $(VENV)/.installed-dev
	$(BIN)/python tests/bench/overhead.py $(BENCH)

bench-song bench-batch bench-added: bench-%: $(VENV)/.installed-dev $(PEERS)/.installed
	$(BIN)/python tests/bench/speed.py $* $(BENCH)

bench-memory: $(VENV)/.installed-dev $(PEERS)/.installed
	$(BIN)/python tests/bench/memory.py network $(BENCH)
	$(BIN)/python tests/bench/memory.py peers $(BENCH)

bench-quality: $(VENV)/.installed-dev
	$(BIN)/python tests/bench/quality.py --songs $(STEMS) $(BENCH)

bench-stages: $(VENV)/.installed-dev
	$(BIN)/python tests/bench/stages.py $(BENCH)

bench-chunk: $(VENV)/.installed-dev
	$(BIN)/python tests/bench/profile_chunk.py $(BENCH)

bench-estimate: $(VENV)/.installed-dev
	$(BIN)/python tests/bench/estimate.py $(BENCH)

bench-page: $(VENV)/.installed-dev
	$(BIN)/python tests/bench/page.py $(BENCH)

bench-split: $(VENV)/.installed-dev
	$(BIN)/python tests/bench/split.py $(BENCH)

bench-scheduling: export PYTHONPATH := scripts:tests
bench-scheduling: $(VENV)/.installed-dev
	$(BIN)/python tests/bench/scheduling.py $(BENCH)

bench-gpu: $(VENV)/.installed-dev $(PEERS)/.installed
	$(BIN)/python tests/bench/speed.py song --device cuda $(BENCH)
	$(BIN)/python tests/bench/speed.py batch --device cuda $(BENCH)
	$(BIN)/python tests/bench/speed.py songs --device cuda $(BENCH)
	$(BIN)/python tests/bench/quality.py --device cuda --songs $(STEMS) $(BENCH)

# What unbraid is measured against, apart from it. One of its packages has no wheel: this needs a C compiler.
peers: $(PEERS)/.installed

$(PEERS)/.installed: envs/requirements-peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --requirement envs/requirements-peers.txt
	@touch $@

# Two hours of audio through every stage, with the peak memory of each; and runs, kills and removals on one store at random.
soak: $(VENV)/.installed-dev
	UNBRAID_SOAK=200 $(BIN)/python -m pytest -q tests/workflow/test_shared_store.py
	$(BIN)/python tests/bench/memory.py stages --minutes 120 $(BENCH)

# Renders config/config.yaml and the table of keys from their definition, and lists the library's files (scripts/FILES).
config: $(VENV)/.installed
	$(BIN)/python -m unbraid.config
	git ls-files -co --exclude-standard scripts/unbraid config envs | grep -v '\.md$$\|\.txt$$' | sort > scripts/FILES

$(VENV)/.installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --requirement requirements.txt
	$(BIN)/pip install --quiet --no-deps audio-separator==0.47.1
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed envs/requirements-dev.txt
	$(BIN)/pip install --quiet --requirement envs/requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV) $(PEERS) .snakemake work logs
