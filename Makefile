# The commands of this project. `make` alone lists them.

BIN := .venv/bin
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
# Two processes for each core, as tests wait a good part of their time for others; a file stays in
# one process, and the long ones (tests/e2e) go first.
SIDE_BY_SIDE := -n $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) * 2 ))) --maxprocesses 8 \
	--dist loadfile --no-loadscope-reorder --durations=25 --durations-min=5
# Of the terminal, for other programs: with these, Python takes modules from elsewhere or fails.
unexport PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTHONWARNINGS PYTHONINSPECT PYTHONSAFEPATH
.PHONY: screenshots help up stop status check quick test test-cloud coverage verify crash lint format bench lock \
	clean environment

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r name what; \
		do printf '%-18s %s\n' "$$name" "$$what"; done

up: environment ## start everything and stay until Ctrl-C
	@exec $(BIN)/valerix up $(UP)

stop: environment ## stop the stack that runs in another terminal
	@exec $(BIN)/valerix stop

status: environment ## show what runs and how it feels
	@exec $(BIN)/valerix status

check: environment ## what takes a minute: style, types, unit, workflow and replay tests
	@$(MAKE) -j2 --output-sync=target lint quick

quick: environment
	@exec $(BIN)/python -m pytest $(SIDE_BY_SIDE) tests/unit tests/workflow tests/replay $(TESTS)

test: environment lint ## check style and types, then run all tests
	@echo "pytest"
	@exec $(BIN)/python -m pytest $(SIDE_BY_SIDE) $(TESTS)

# What the core is held to by tests of its own, in whichever process its code ran.
OF_THE_CORE := tests/unit tests/workflow tests/replay $(addprefix tests/integration/,activities \
	inventory_api order_api service_kit subscribers)
coverage: environment ## measure which lines of the core its tests run; below 95 % it fails
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest $(SIDE_BY_SIDE) $(OF_THE_CORE) $(TESTS)
	@$(BIN)/coverage combine --quiet
	@exec $(BIN)/coverage report

verify: environment ## attack the whole platform under load and prove that nothing was lost
	@exec $(BIN)/valerix chaos verify $(VERIFY)

test-cloud: environment ## check the cloud templates, with tools of their own from the package index
	@exec sh tests/cloud/run.sh $(BIN)/python $(TESTS)

crash: environment ## kill real processes under load for minutes: the long forms of the tests
	@exec $(BIN)/python -m pytest tests/e2e tests/integration/backup -m full $(TESTS)

lint: environment ## check style, formatting and types
	@echo "ruff check" && $(BIN)/ruff check --quiet .
	@echo "ruff format --check" && $(BIN)/ruff format --quiet --check .
	@echo "deptry" && said=$$($(BIN)/deptry --no-ansi . 2>&1) || { echo "$$said"; exit 1; }
	@echo "mypy" && $(BIN)/mypy .

format: environment ## format the code and mend what can be mended
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format .

bench: environment ## measure: one table, and JSON in reports/
	@exec $(BIN)/valerix bench $(BENCH)

screenshots: environment ## take the pictures in docs/images anew
	@exec $(BIN)/python -m tools.screenshots

COMPILE = .venv/tools/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url \
	--python-version 3.11 --custom-compile-command "make lock" $(LOCK)
lock: environment ## write the lock files anew from pyproject.toml
	@$(COMPILE) --all-extras --group dev pyproject.toml --output-file requirements.lock
	@$(COMPILE) -c requirements.lock --group build --output-file deploy/images/build.lock
	@$(COMPILE) -c requirements.lock pyproject.toml --output-file deploy/images/base.lock
	@for extra in orders ui backup; do \
		$(COMPILE) -c requirements.lock --extra $$extra pyproject.toml \
			--output-file deploy/images/$$extra.lock || exit 1; \
	done

clean: ## delete the environment and caches; the data in .valerix stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build \
		.coverage .coverage.* valerix.egg-info
	@find . -name __pycache__ -type d -not -path './.valerix/*' -prune -exec rm -rf {} +

environment:
	@sh deploy/install.sh
