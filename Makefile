# cpu2vec: `make help` lists what can be done here.
SHELL := /bin/sh
.DEFAULT_GOAL := help

MODEL ?= sentence-transformers/all-MiniLM-L6-v2
PRECISION ?= int8
PORT ?= 8080
HOST := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,amd64)
ARCH ?= $(HOST)
PYTHON ?= $(firstword $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3) python3)

slug = $(shell printf %s '$(MODEL)' | sed -E 's|^[./]+||; s|/+$$||; s|/|-|g' | tr '[:upper:]' '[:lower:]')
BUNDLE ?= bundles/$(slug)$(if $(REVISION),-$(REVISION))-$(PRECISION)-$(ARCH)

trust = $(if $(filter 1 true yes on,$(TRUST_REMOTE_CODE)),--trust-remote-code) $(if $(filter 1 true yes on,$(ALLOW_PICKLE)),--allow-pickle)
thresholds = $(if $(MIN_COSINE_MEAN),--min-cosine-mean '$(MIN_COSINE_MEAN)') \
  $(if $(MIN_COSINE_P1),--min-cosine-p1 '$(MIN_COSINE_P1)') $(if $(MIN_COSINE_MIN),--min-cosine-min '$(MIN_COSINE_MIN)')

BUILD := .venv/build/bin/python
RUNTIME := .venv/runtime/bin/python
LINT := .venv/lint/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-deps
# PyTorch's CPU wheels have a page of their own; where pip is told of another place for wheels, that one is used.
TORCH_LINKS ?= $(if $(PIP_FIND_LINKS),,https://download.pytorch.org/whl/cpu/torch/)

# The CPU build of PyTorch must be found, or the list is full of packages for GPUs.
LOCK := uv pip compile --quiet --generate-hashes --no-annotate --no-header --python-version 3.11 \
  $(addprefix --find-links ,$(or $(PIP_FIND_LINKS),$(TORCH_LINKS)))

# NNCF asks for these, and imports none of them when it quantizes a graph of OpenVINO's: 120 MB less.
NEVER_IMPORTED := scikit-learn joblib cloudpickle narwhals threadpoolctl ninja pydot pyparsing

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  variables: MODEL=$(MODEL) PRECISION=$(PRECISION) ARCH=$(ARCH) PORT=$(PORT) BUNDLE= REVISION= TAG="
	@echo "  of compare: OLD=http://… BUNDLE= TEXTS=file TASK=passage POOLING_STRATEGY=masked_mean JSON=file"
	@echo "  fidelity, below which a build fails: MIN_COSINE_MEAN= MIN_COSINE_P1= MIN_COSINE_MIN="

setup: .venv/runtime/.ready .venv/build/.ready library  ## make both environments, to build bundles and to serve them, and the kernels

# Asked each time: what the library was made from tells whether it is current, and dates of files do not.
library: .venv/build/.ready
	@$(BUILD) -m build.kernels --arch '$(HOST)' --if-needed

serve: .venv/runtime/.ready library $(BUNDLE)/manifest.json  ## build the bundle where there is none, and serve it
	@echo "Once it is ready:"
	@echo "  curl http://localhost:$(PORT)/vectors -d '{\"text\": \"hello world\"}'"
	@BUNDLE_DIR='$(BUNDLE)' PORT='$(PORT)' exec $(RUNTIME) -m runtime

bundle: $(BUNDLE)/manifest.json  ## build the bundle where there is none

image:  ## build the container image (MODEL= or BUNDLE=, ARCH=, TAG=, PRECISION=, REVISION=)
	@$(PYTHON) build/host/check.py --without-environments
	@$(PYTHON) -m build.image --arch '$(ARCH)' --precision '$(PRECISION)' $(if $(TAG),--tag '$(TAG)') \
	  $(if $(REVISION),--revision '$(REVISION)') $(trust) $(thresholds) \
	  $(if $(filter command line environment,$(origin BUNDLE)),--bundle '$(BUNDLE)',--model '$(MODEL)')

compare: what-to-compare setup  ## tell whether a bundle's vectors fit those of a running container (OLD=, BUNDLE=, TEXTS=)
	@$(BUILD) -m build.compare --old '$(OLD)' --bundle '$(BUNDLE)' --texts '$(TEXTS)' \
	  $(if $(TASK),--task '$(TASK)') $(if $(POOLING_STRATEGY),--pooling-strategy '$(POOLING_STRATEGY)') \
	  $(if $(JSON),--json '$(JSON)')

what-to-compare:
	$(foreach name,OLD BUNDLE TEXTS,$(if $(and $($(name)),$(filter command line environment,$(origin $(name)))),,\
	  $(error $(name)= is missing: make compare OLD=http://localhost:8080 BUNDLE=bundles/mine TEXTS=texts.txt)))

test: lint .venv/runtime/.tested .venv/build/.tested library  ## run the test suite (no Docker, QEMU or browser needed)
	$(RUNTIME) -m pytest tests
	$(BUILD) -m pytest tests -m 'not system' --numprocesses 2 --dist loadfile

test-system: .venv/runtime/.ready .venv/build/.tested library  ## run the tests that need Docker or QEMU
	$(BUILD) -m pytest tests -m system

lint: .venv/lint/.ready .venv/runtime/.ready  ## check style and types
	$(LINT)/ruff check .
	$(LINT)/ruff format --check .
	$(LINT)/mypy --python-executable $(RUNTIME) manifest.py runtime

kernels: .venv/build/.ready  ## compile the native kernels (ARCH=)
	@$(BUILD) -m build.kernels --arch '$(ARCH)'

bench-kernels: .venv/build/.ready  ## time the native kernels of every instruction set that runs here
	@$(BUILD) -m bench.kernels

bench-models: setup  ## time whole models beside OpenVINO, onnxruntime and PyTorch (MODEL=, ROUNDS=, TOKENS=, SYSTEMS=)
	@$(BUILD) -m bench.models $(if $(filter command line environment,$(origin MODEL)),--model '$(MODEL)') \
	  $(if $(ROUNDS),--rounds '$(ROUNDS)') $(if $(TOKENS),--tokens '$(TOKENS)') \
	  $(if $(SYSTEMS),--systems '$(SYSTEMS)') $(if $(SCRATCH),--scratch '$(SCRATCH)')

override export BASE := $(value BASE)
bench: setup  ## measure this server beside the container that people use today (BASE=: and another checkout's)
	@TORCH_LINKS='$(TORCH_LINKS)' $(BUILD) -m bench --base "$$BASE"

bench-fidelity: setup  ## measure what int8 costs in fidelity and time (STSB=: a directory with scored pairs of sentences)
	@$(BUILD) -m bench.precisions --model '$(MODEL)' $(if $(STSB),--stsb '$(STSB)')

lock:  ## pin the newest allowed packages with their hashes (needs uv)
	$(LOCK) --no-deps requirements.in -o requirements.txt
	$(LOCK) --no-emit-package torch build/requirements.in -o build/requirements.txt
	sed -n '/^ziglang==/,/[^\]$$/p' build/requirements.txt > build/compiler-requirement.txt
	$(LOCK) --no-emit-package torch bench/incumbent-requirements.in -o bench/incumbent-requirements.txt
	$(LOCK) $(addprefix --no-emit-package ,$(NEVER_IMPORTED)) bench/openvino-requirements.in -o bench/openvino-requirements.txt
	$(LOCK) tests/requirements.in -o tests/requirements.txt
	$(LOCK) tests/lint-requirements.in -o tests/lint-requirements.txt

clean:  ## remove environments, bundles and what builds left behind
	rm -rf .venv bundles kernels/lib .image-context

$(BUNDLE)/manifest.json: | .venv/build/.ready .venv/runtime/.ready
	$(BUILD) quantize.py '$(MODEL)' --arch '$(ARCH)' --precision '$(PRECISION)' --output '$(BUNDLE)' \
	  $(if $(REVISION),--revision '$(REVISION)') $(trust) $(thresholds)

.venv/runtime/.ready: requirements.txt
	@$(PYTHON) build/host/check.py
	@echo "setting up .venv/runtime"
	@rm -rf .venv/runtime && $(PYTHON) -m venv .venv/runtime
	@$(RUNTIME) $(PIP_INSTALL) --require-hashes -r requirements.txt
	@touch $@

.venv/build/.ready: build/requirements.txt build/torch-requirement.txt
	@$(PYTHON) build/host/check.py
	@echo "setting up .venv/build (PyTorch for the CPU and what exports a model, about 1.3 GB)"
	@rm -rf .venv/build && $(PYTHON) -m venv .venv/build
	@$(BUILD) $(PIP_INSTALL) $(if $(TORCH_LINKS),--find-links '$(TORCH_LINKS)') -r build/torch-requirement.txt
	@$(BUILD) $(PIP_INSTALL) --require-hashes -r build/requirements.txt
	@touch $@

.venv/lint/.ready: tests/lint-requirements.txt
	@$(PYTHON) build/host/check.py
	@rm -rf .venv/lint && $(PYTHON) -m venv .venv/lint
	@.venv/lint/bin/python $(PIP_INSTALL) --require-hashes -r tests/lint-requirements.txt
	@touch $@

.venv/%/.tested: .venv/%/.ready tests/requirements.txt
	@.venv/$*/bin/python $(PIP_INSTALL) --require-hashes -r tests/requirements.txt
	@touch $@

.PHONY: help setup library serve bundle image compare what-to-compare test test-system lint kernels bench-kernels \
  bench-models bench bench-fidelity lock clean
