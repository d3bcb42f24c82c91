# Two commands for a newcomer: `make demo` and `make test`. Everything else is for contributors.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test test-fast test-hub test-browser test-long test-slow test-online test-faults test-kernels \
	test-oldest test-newest coverage check bench tiny-models docs screenshots release clean

demo: $(INSTALLED)  ## Generate a small world, index it, search it, write demo-out/gallery.html
	$(BIN)/retrieval demo demo-out

# Two to four processes share the tests; each computes with one thread.
PYTEST = $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal
UNUSUAL = slow or online or campaign
CORE = -m "not (hub or browser or long or $(UNUSUAL))"
ALL = -m "not ($(UNUSUAL))"
TESTS_TARGETS = test test-fast test-hub test-browser test-long test-oldest test-newest coverage
$(TESTS_TARGETS): export OMP_NUM_THREADS = 1
# Tests start many processes, which load torch twice as fast from compiled modules.
$(TESTS_TARGETS): export PYTHONDONTWRITEBYTECODE =

test: $(INSTALLED)  ## Run the tests of the core
	$(PYTEST) $(CORE)

FAST = tests/test_*.py tests/retrieval/columns tests/retrieval/files tests/retrieval/evaluation \
	$(addprefix tests/retrieval/store/,filters test_format.py test_manifest.py test_pending.py test_schema.py) \
	tests/benchmarks/score

test-fast: $(INSTALLED)  ## Run tests of manifests, filters, columns, metrics and official evaluators: under a minute
	$(PYTEST) $(CORE) $(FAST)

test-hub: $(INSTALLED)  ## Run the tests that fetch models from a local hub
	$(PYTEST) -m "hub and not ($(UNUSUAL))"

test-browser: $(INSTALLED)  ## Run the tests that render pages in Chromium
	$(PYTEST) -m "browser and not ($(UNUSUAL))"

test-long: $(INSTALLED)  ## Run the tests that train models or start many processes
	$(PYTEST) -m "long and not (hub or browser or $(UNUSUAL))"

coverage: $(INSTALLED)  ## Report the lines that the tests do not run; TESTS=FOLDER restricts them
	$(BIN)/coverage run -m pytest $(ALL) $(TESTS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered --sort=cover

test-slow: $(INSTALLED)  ## Run the tests that take longer than a minute each
	$(BIN)/python -m pytest -m slow

test-online: $(INSTALLED)  ## Download the default model from the real hub and check its answers; DATA=FOLDER adds suites
	HF_HUB_OFFLINE=0 $(BIN)/python -m pytest tests/online -m online -rs -s $(if $(DATA),--data "$(DATA)") $(if $(MEDIA),--media "$(MEDIA)")

# Wider kernels than the processor has would end the process.
KERNELS = OPENBLAS_CORETYPE=Nehalem OPENBLAS_CORETYPE=Haswell OPENBLAS_CORETYPE=Zen \
	MKL_ENABLE_INSTRUCTIONS=AVX2 ATEN_CPU_CAPABILITY=default FAISS_SIMD_LEVEL=NONE \
	$(if $(shell grep -m1 avx512vl /proc/cpuinfo 2>/dev/null),OPENBLAS_CORETYPE=SkylakeX)

test-kernels: $(INSTALLED)  ## Run the vector layer's tests on each kind of arithmetic of this processor
	for kernel in $(KERNELS); do \
		echo "$$kernel"; env "$$kernel" $(BIN)/python -m pytest tests/indexes || exit 1; done

test-faults: $(INSTALLED)  ## Try thousands of faults at random (half an hour on two cores); see docs/faults.md
	$(BIN)/python -m pytest -m campaign -s tests/faults

test-oldest: BIN = .venv-oldest/bin
test-oldest: .venv-oldest/.installed  ## Run all tests with the oldest versions that pyproject.toml allows
	$(PYTEST) $(ALL)

test-newest: BIN = .venv-newest/bin
test-newest: .venv-newest/.installed  ## Run all tests with the newest versions of all dependencies
	$(PYTEST) $(ALL)

# Only uv resolves to the oldest versions.
.venv-oldest/.installed: RESOLUTION = lowest-direct
.venv-newest/.installed: RESOLUTION = highest
.venv-oldest/.installed .venv-newest/.installed: pyproject.toml
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --upgrade pip uv
	$(@D)/bin/uv pip install --quiet --upgrade --python $(@D)/bin/python \
		--resolution $(RESOLUTION) --editable '.[dev]'
	touch $@

check: $(INSTALLED)  ## Run the linters, the type checker and the checks of imports and documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/test_layers.py tests/test_docs.py tests/test_architecture.py

bench: $(INSTALLED)  ## Measure quality on the demo world and the speed figures; rewrites docs/benchmarks.md
	$(BIN)/retrieval bench run demo --out benchmarks/results/demo.json
	$(BIN)/retrieval bench run demo-moments --out benchmarks/results/demo-moments.json
	for what in embed ingest decode video search filter localize memory serve startup; do \
		$(BIN)/retrieval bench speed $$what --out benchmarks/results/speed-$$what.json || exit 1; done
	$(BIN)/python -m benchmarks.page

tiny-models: $(INSTALLED)  ## Train the bundled models again (about 40 minutes each on two cores)
	$(BIN)/retrieval train clip --out retrieval/weights/tiny-image
	$(BIN)/retrieval train mulan --out retrieval/weights/tiny-music
	$(BIN)/retrieval train hammer --out retrieval/weights/tiny-hammer
	$(BIN)/retrieval train video --out retrieval/weights/tiny-video
	$(BIN)/retrieval train rerank --out retrieval/weights/tiny-rerank

docs: $(INSTALLED)  ## Update the generated pages and build the documentation site in build/site
	$(BIN)/python -m cli.reference > docs/cli.md
	$(BIN)/python tests/support/fault_list.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

screenshots: $(INSTALLED)  ## Draw the pictures of docs/serving.md with Chromium
	PYTHONPATH=tests $(BIN)/python tests/support/page_screenshots.py

release: $(INSTALLED)  ## Build the package, install it into an empty environment, and run the demo from there
	rm -rf dist build/release
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(PYTHON) -m venv build/release
	build/release/bin/python -m pip install --quiet --upgrade pip
	build/release/bin/python -m pip install --quiet dist/*.whl
	cd build && release/bin/retrieval --version && release/bin/retrieval demo release-demo

clean:
	rm -rf .venv .venv-oldest .venv-newest demo-out build *.egg-info

# pip is upgraded first: older ones cannot resolve the GPU build of FAISS.
$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@
