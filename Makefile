# Everything needs Python 3.11 or newer and make, nothing else; `make help` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: images help demo picture up test test-training test-hosts lint types bench fuzz migrate revision train-smoke format install pins settings openapi errors clean alerts

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## Make .venv and install everything in pinned versions

$(STAMP): pyproject.toml client/pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Packshot needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
	    --constraint constraints.txt --editable ./client --editable '.[api,worker,onnx,embedded,train,tracing,demo,deploy,dev]'
	@touch $@

demo: $(STAMP) ## Start everything, cut out real photos, write out/demo/, stop (PHOTOS=folder for your own)
	$(BIN)/packshot demo $(if $(PHOTOS),"$(PHOTOS)")

picture: $(STAMP) ## Make the README's picture anew, with the model that is installed
	$(BIN)/packshot demo --picture docs/images/before-after.jpg

up: $(STAMP) ## Run the whole service until Ctrl-C; prints URL and key
	$(BIN)/packshot up

test: $(STAMP) ## Every check and every test
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint types test-training
	$(BIN)/pytest --durations=15 --numprocesses 2 --dist loadfile --ignore=tests/unit/training tests/unit tests/integration
	$(BIN)/pytest --durations=15 --numprocesses 2 --dist loadfile tests/contracts tests/acceptance tests/gpu

# Training and the other runtimes never share a process in the service, and together in one they crashed.
test-training: $(STAMP) ## Tests of training alone
	$(BIN)/pytest tests/unit/training

test-hosts: $(STAMP) ## Workers on another host, its cable cut and mended: Linux, as root, four minutes
	PACKSHOT_TEST_HOSTS=yes $(BIN)/pytest -s tests/acceptance/test_two_hosts.py

lint: $(STAMP) ## Style (ruff) and imports between rooms (import-linter)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-cache

types: $(STAMP) ## Types (mypy, strict)
	$(BIN)/mypy

format: $(STAMP) ## Put the code into its one format
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

fuzz: $(STAMP) ## Fuzz the codec with Atheris for FUZZ_S seconds (300); what it finds lies in out/fuzz
	$(BIN)/python -m tests.fuzz.codec out/fuzz/corpus -artifact_prefix=out/fuzz/ -max_len=20000 -timeout=20 \
	    -rss_limit_mb=3000 -max_total_time=$(or $(FUZZ_S),300)

bench: $(STAMP) ## Measure images a second through the whole service
	$(BIN)/packshot bench

migrate: $(STAMP) ## Bring the database of PACKSHOT_DATABASE_URL to the newest schema
	$(BIN)/packshot migrate

revision: $(STAMP) ## Write a migration from the models: make revision NAME="what changes"
	$(BIN)/packshot revision "$(NAME)"

train-smoke: $(STAMP) ## Train a tiny network on four drawn photos, within a minute, to see that training works
	$(BIN)/pytest --durations=1 tests/unit/training/test_smoke.py

pins: ## Write constraints.txt from what is installed
	$(BIN)/python -m tests.contracts.pins > constraints.new
	mv constraints.new constraints.txt
	@touch $(STAMP)

images: $(STAMP) ## Install each image's packages apart and start its processes (minutes; downloads torch)
	$(BIN)/python -m tests.servers deploy/try-images.sh api worker

alerts: ## Test the alerting rules; needs Prometheus' promtool
	promtool test rules deploy/alerts-test.yaml

settings: ## Write the table of docs/configuration.md from the settings
	$(BIN)/python -m tests.contracts.settings_table

openapi: ## Write docs/openapi.json from the API
	$(BIN)/python -m tests.contracts.openapi_file

errors: ## Write docs/errors.md from the table of error codes
	$(BIN)/python -c "from api.error_docs import markdown; print(markdown(), end='')" > docs/errors.md

clean: ## Remove .venv, caches and outputs (not the data folder)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache out build *.egg-info client/build client/*.egg-info
