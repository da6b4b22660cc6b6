# Two commands do all the set-up: `make search` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 1

.PHONY: search test test-slow test-exhaustive lint bench flat profile honesty cocktail shift domains clean

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hpo needs Python 3.11 or newer; name one with: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	touch $@

search: $(VENV)/ready  ## the main job: digits, 100 trials
	$(BIN)/hpo search --space search_spaces/reg.yaml

test: $(VENV)/ready lint  ## ruff, mypy and all tests but the slow ones: four minutes on two cores
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/contract tests/integration tests/unit

test-slow: $(VENV)/ready  ## four minutes on two cores: killed searches, dying workers, servers, long searches
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/slow

test-exhaustive: $(VENV)/ready  ## the tests that CI has no time for: every regularizer on modules, gp after kills, …
	$(BIN)/python -m pytest -n 2 --dist loadfile -m exhaustive tests

lint: $(VENV)/ready
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check .
	$(BIN)/mypy

$(VENV)/bench-ready: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	touch $@

bench: $(VENV)/bench-ready  ## twenty minutes: hpo beside its peers, and beside what the machine can do
	$(BIN)/python -m bench

flat: $(VENV)/ready  ## minutes: what a trial costs besides its training, to the 10,000th
	$(BIN)/python -m bench.flat

profile: $(VENV)/ready  ## minutes: where a search spends its time
	$(BIN)/python -m bench.profile

honesty: $(VENV)/bench-ready  ## hours: whether the answer is better than the defaults, and whether what is reported holds
	$(BIN)/python -m bench.honesty

cocktail: $(VENV)/ready  ## hours: what a search of many regularizers hands over, compared with the usual defaults (DATA: the folder of the tables)
	$(BIN)/python -m bench.cocktail $(if $(DATA),--data $(DATA))

shift: $(VENV)/ready  ## twenty minutes: whether `hpo shift` names the shift that is there (DATA: the folder of the tables)
	$(BIN)/python -m bench.shift $(if $(DATA),--data $(DATA))

domains: $(VENV)/ready  ## an hour and a half: what it gains to search how strongly to adapt (DATA: the folder of the reviews)
	$(BIN)/python -m bench.domains $(if $(DATA),--data $(DATA))

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
