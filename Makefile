# make demo      the whole path on rendered faces, in minutes: runs/demo/
# make test      the tests
# make test-long and those that are slow and rarely break
# make web       the make-up page with the shipped models, in a browser
# make fuzz      the parsers of foreign files, for SECONDS=3600: new inputs, findings in runs/fuzz/
# make venv      the environment alone, in .venv
# make wheel     the wheel, with its bill of materials, in dist
# make audit     known vulnerabilities of what the environment holds
# make runtime   a small environment for predicting alone, in .venv-runtime

PYTHON ?= python3
VENV ?= .venv
RUNTIME_VENV ?= .venv-runtime
BIN := $(VENV)/bin
RUNTIME_BIN := $(RUNTIME_VENV)/bin
STAMP := .installed
MADE_FROM := setup.cfg constraints.txt tools/requirements.txt pyproject.toml

.PHONY: demo web test test-long fuzz lint venv runtime wheel audit constraints

demo: venv
	$(BIN)/python tools/demo.py

web: venv
	$(BIN)/efld-export synthetic --web runs/web
	$(BIN)/efld-export research --web runs/web
	$(BIN)/python tools/serve_web.py runs/web

# In the order of tests/conftest.py.
PYTEST = $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test: venv
	$(PYTEST)

test-long: venv
	$(PYTEST) -m "long or not long"

# On two cores. What it finds it prints with the command that shows it again.
SECONDS ?= 3600
fuzz: venv
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) --jobs 2 --work runs/fuzz

lint: venv
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --no-warn-unused-configs benchmarks tools/*.py

venv: $(VENV)/$(STAMP)

runtime: $(RUNTIME_VENV)/$(STAMP)

define new_environment
@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 12) else "Python 3.10 to 3.12 is needed, found %d.%d; set PYTHON=python3.11 or so" % v)'
$(PYTHON) -m venv $(@D)
$(@D)/bin/python -m pip install --quiet 'pip>=25.1,<27'  # older ones know no groups
endef

# Compiling all modules takes as long as the rest; those that are imported are compiled then.
INSTALL := python -m pip install --quiet --no-compile

# A half-made environment has no stamp, so that it is completed the next time.
$(VENV)/$(STAMP): $(MADE_FROM)
	$(new_environment)
	$(BIN)/$(INSTALL) --no-deps --require-hashes --requirement tools/requirements.txt
	$(BIN)/$(INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

# mediapipe is there for the model files in it and never imported: without what it requires.
$(RUNTIME_VENV)/$(STAMP): $(MADE_FROM)
	$(new_environment)
	$(RUNTIME_BIN)/$(INSTALL) --constraint constraints.txt --group runtime
	$(RUNTIME_BIN)/$(INSTALL) --constraint constraints.txt --no-deps mediapipe --editable .
	touch $@

wheel: venv
	$(BIN)/python tools/wheel.py

# Needs pip-audit, and the network. What is known and does not concern us is in the list, with why.
audit:
	pip-audit --requirement tools/requirements.txt --require-hashes --disable-pip \
	  $$(sed -n 's/^\([A-Z][A-Za-z0-9-]*\) .*/--ignore-vuln \1/p' tools/advisories.txt)

# The versions, and the same with the hashes of all of their files. Needs uv. 3.10 is the oldest Python:
# what runs there has releases for the newer ones too, but for two packages, of which no release is
# for all.
constraints:
	head -n 2 tools/requirements.txt > requirements.new
	uv pip compile setup.cfg --extra test --python-version 3.10 $(LISTED) | \
	  sed "s/^backports-strenum==[^ ]*/& ; python_version < '3.11'/; \
	    s/^atheris==[^ ]*/& ; python_version < '3.11' and sys_platform == 'linux'/; \
	    s/^tflite-micro==[^ ]*/& ; sys_platform == 'linux' and platform_machine == 'x86_64'/" \
	  >> requirements.new
	printf '%s\n' backports-strenum==1.2.8 atheris==3.0.0 | \
	  uv pip compile - --python-version 3.11 --no-deps $(LISTED) | \
	  sed "s/^backports-strenum==[^ ]*/& ; python_version >= '3.11'/; \
	    s/^atheris==[^ ]*/& ; python_version >= '3.11' and sys_platform == 'linux'/" >> requirements.new
	head -n 2 constraints.txt > constraints.new
	sed -n 's/^\([a-z].*[^ ]\) *\\$$/\1/p' requirements.new >> constraints.new
	mv requirements.new tools/requirements.txt
	mv constraints.new constraints.txt

LISTED = --generate-hashes --no-header --no-annotate --quiet
