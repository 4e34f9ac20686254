# cpu2vec: `make help` lists what can be done here. Needs GNU make 3.81 or newer.
.DEFAULT_GOAL := help

# Values of variables are data: neither make nor a shell interprets them. make takes values from the command line as
# they are written and never expands values from the environment. Recipes read all of them from their environment, where
# "$$MODEL" is one word. Names that this file sets itself cannot be changed. PYTHON alone may be a command.
override given := $(foreach name,$(.VARIABLES),$(if $(filter command line,$(origin $(name))),$(name)))
$(foreach name,$(given),$(eval override $(name) := $$(value $(name))))
export $(given)
override SHELL := /bin/sh

# $(call options,MODEL:model PORT:port): for each variable that is not empty, --option=value.
override options = $(foreach pair,$(1),$(call option,$(word 1,$(subst :, ,$(pair))),$(word 2,$(subst :, ,$(pair)))))
override option = $${$(1):+"--$(2)=$$$(1)"}
override model_options := $(call options,PRECISION:precision REVISION:revision IMAGE_MODEL:image-model IMAGE_REVISION:image-revision \
  TRUST_REMOTE_CODE:trust-remote-code CODE_REVISION:code-revision ALLOW_PICKLE:allow-pickle \
  MIN_COSINE_MEAN:min-cosine-mean MIN_COSINE_P1:min-cosine-p1 MIN_COSINE_MIN:min-cosine-min \
  MIN_RANK_AGREEMENT:min-rank-agreement MIN_TOP_KEPT:min-top-kept MAX_SCORE_ERROR:max-score-error)
override bundle_options := $(call options,MODEL:model BUNDLE:bundle ARCH:arch) $(model_options)
# Makes a command report errors in the name of the target.
override as_target = MAKE_TARGET=$@

override chosen_python := $(value PYTHON)
ifeq ($(chosen_python),)
override PYTHON := $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || \
  command -v python3.14 || command -v python3)
endif
override HOST := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,amd64)
override MODEL_BY_DEFAULT := sentence-transformers/all-MiniLM-L6-v2

override BUILD := .venv/build/bin/python
override RUNTIME := .venv/runtime/bin/python
override LINT := .venv/lint/bin

# PyTorch's CPU wheels have their own page, which is used unless pip is pointed to other wheels.
override torch_links := [ "$$PIP_FIND_LINKS" ] || \
  export TORCH_LINKS="$${TORCH_LINKS-https://download.pytorch.org/whl/cpu/torch/}";

override first_half := $(sort $(wildcard tests/system/test_*image*.py)) tests/system/test_supply_chain.py tests/system/test_sanitizers.py
override system_tests = $(sort $(shell grep -rl --include='test_*.py' 'pytest\.mark\.system' tests))
override slowest := --durations 10 --durations-min 5

# NNCF requires these packages (120 MB), but imports none of them when it quantizes an OpenVINO graph.
override NEVER_IMPORTED := scikit-learn joblib cloudpickle narwhals threadpoolctl ninja pydot pyparsing

help:  ## list the targets and their variables
	@echo "cpu2vec $$(cat VERSION)"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s  %s\n", $$1, $$2} \
	  sub(/^#: ?/, "") {variables = variables "\n  " $$0} END {print variables}' Makefile

#: MODEL             id on the Hugging Face hub, or a model directory (sentence-transformers/all-MiniLM-L6-v2)
#: IMAGE_MODEL       a CLIP model that reads images, where MODEL is one for texts alone
#: REVISION, IMAGE_REVISION
#:                   branch, tag or commit of the model on the hub
#: PRECISION         int8, int8-stock, fp32 or stored (stored for static models, int8 for others)
#: ARCH              amd64 or arm64 (this machine's)
#: BUNDLE            directory of a bundle (bundles/<model>[-<revision>]-<precision>-<arch>)
#: TRUST_REMOTE_CODE, ALLOW_PICKLE
#:                   1: run Python code that comes with the model; read pickled weights, as data
#: CODE_REVISION     commit of that code, if it is in another repository on the hub
#: MIN_COSINE_MEAN, MIN_COSINE_P1, MIN_COSINE_MIN
#:                   fidelity of vectors below which a build fails (by precision)
#: MIN_RANK_AGREEMENT, MIN_TOP_KEPT, MAX_SCORE_ERROR
#:                   the same of a reranker's scores (by precision)
#: PORT              port of make serve (8080); docs/settings.md lists the other settings of the server
#: TAG               name of the image (cpu2vec:<model>[-<revision>]-<precision>-<arch>)
#: IMAGE             image whose contents make sbom lists
#: REGISTRY          what goes before the names of base images, such as ghcr.io/my-org: docs/custom-images.md
#: DOCKER_BUILD_ARGS more arguments for docker build
#: OLD, BUNDLE, NEW, TEXTS, IMAGES, TASK, POOLING_STRATEGY, JSON
#:                   of make compare: docs/compare.md
#: KIND, BASE, LOADS, MODEL, ROUNDS, TOKENS, SYSTEMS, SCRATCH, STSB
#:                   of the benchmarks: docs/performance.md
#: BUNDLE, DURATION  of make soak: minutes, or seconds as in 90s (10): docs/reliability.md
#: PYTHON            Python 3.11, 3.12 or 3.13; for make image alone, 3.11 or newer
#: HF_TOKEN, HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE
#:                   the hub's own: access to private models, cache, mirror, no network
#: PIP_INDEX_URL, PIP_FIND_LINKS, TORCH_LINKS
#:                   mirrors of Python packages, and of PyTorch's CPU wheels

setup: environments library  ## create the environments that build and serve bundles (2.2 GB), compile the kernels
	@echo "ready: .venv/runtime, .venv/build and the native kernels"

environments: .venv/runtime/.ready .venv/build/.ready
	@$(if $(chosen_python),$(PYTHON) -m build.host.environment --report-python)

# Runs every time: whether the library is current depends on what it was compiled from, not on the dates of files.
library: .venv/build/.ready
	@$(BUILD) -m build.kernels --arch $(HOST) --if-needed

serve: environments library  ## serve a bundle, and build it first if it does not exist
	@$(as_target) exec $(BUILD) -m build.make_bundle --serve $(bundle_options) $(call options,PORT:port)

bundle: environments library  ## build a bundle if it does not exist
	@$(as_target) $(BUILD) -m build.make_bundle $(bundle_options)

image: python  ## build the container image of a model or a bundle (needs Docker and Python alone)
	@$(PYTHON) build/host/check.py --for-image
	@[ "$$MODEL$$BUNDLE" ] || MODEL=$(MODEL_BY_DEFAULT); [ "$$ARCH" ] || ARCH=$(HOST); \
	  $(as_target) $(PYTHON) -m build.image $(bundle_options) $(call options,TAG:tag)

bases: python  ## build base images for your own Dockerfiles (needs Docker and Python alone)
	@$(PYTHON) build/host/check.py --for-image
	@[ "$$ARCH" ] || ARCH=$(HOST); $(as_target) $(PYTHON) -m build.image.bases $(call options,ARCH:arch REGISTRY:registry)

sbom: .venv/sbom/.ready  ## list what is in an image, as CycloneDX: make sbom IMAGE=cpu2vec-runtime:0.1.0-amd64
	@$(as_target) .venv/sbom/bin/python -m build.sbom $(call options,IMAGE:image)

compare: what-to-compare $(if $(value NEW),.venv/runtime/.ready,setup)  ## tell whether a bundle, or another container, can take the place of a running one
	@$(as_target) $(if $(value NEW),$(RUNTIME),$(BUILD)) -m build.compare $(call options,OLD:old BUNDLE:bundle NEW:new TEXTS:texts IMAGES:images \
	  TASK:task POOLING_STRATEGY:pooling-strategy JSON:json)

what-to-compare:
	@$(foreach name,$(if $(value NEW),TEXTS,OLD BUNDLE TEXTS),$(if $(value $(name)),,\
	  $(error $(name)= is missing: make compare OLD=http://localhost:8080 BUNDLE=bundles/mine TEXTS=texts.txt)))

test: lint .venv/runtime/.tested .venv/build/.tested .venv/clients/.ready library  ## run all tests that need no Docker, QEMU or browser
	@$(MAKE) --no-print-directory --jobs 2 test-runtime test-build

# PERF: side by side, because many tests wait rather than compute.
test-runtime:
	$(RUNTIME) -m pytest tests --numprocesses 2 --dist worksteal

test-build:
	$(BUILD) -m pytest tests -m 'not system' --numprocesses 3 --dist worksteal $(slowest)

test-fast: .venv/runtime/.tested .venv/build/.tested library  ## run the tests that take a few minutes in all
	$(RUNTIME) -m pytest tests --numprocesses 2 --dist worksteal
	$(BUILD) -m pytest tests/build tests/project -m 'not system and not slow' --numprocesses 2 --dist loadfile

# PERF: those of images, of which much is the engine's, and the sanitizers take about as long as all others.
test-system: .venv/runtime/.ready .venv/build/.tested library  ## run the tests that need Docker, QEMU, a browser or clang++
	@$(MAKE) --no-print-directory --jobs 2 test-first-half test-second-half

test-first-half:
	$(BUILD) -m pytest $(first_half) -m 'system and not images' $(slowest)

test-second-half:
	$(BUILD) -m pytest $(filter-out $(first_half),$(system_tests)) -m 'system and not images' $(slowest)

test-images: .venv/runtime/.ready .venv/build/.tested library  ## build and run the Dockerfiles of docs/custom-images.md
	$(BUILD) -m pytest tests -m images $(slowest)

lint: .venv/lint/.ready .venv/runtime/.ready .venv/build/.tested  ## check style and types
	$(LINT)/ruff check .
	$(LINT)/ruff format --check .
	$(LINT)/mypy --python-executable $(RUNTIME) manifest.py sections runtime
	$(LINT)/mypy --python-executable $(BUILD) manifest.py sections quantize.py build bench tests/support

kernels: .venv/build/.ready  ## compile the native kernels for an architecture
	@[ "$$ARCH" ] || ARCH=$(HOST); $(as_target) $(BUILD) -m build.kernels $(call options,ARCH:arch)

bench: setup  ## measure this server beside the container that it replaces (KIND=static, rerank or clip: others)
	@$(torch_links) $(BUILD) -m bench $(call options,KIND:kind MODEL:model BASE:base LOADS:loads)

bench-fidelity: setup  ## measure what int8 costs in fidelity and time
	@$(BUILD) -m bench.precisions $(call options,MODEL:model STSB:stsb)

bench-kernels: .venv/build/.ready  ## time the native kernels of every instruction set that runs here
	@$(BUILD) -m bench.kernels

bench-models: setup  ## time whole models beside OpenVINO, onnxruntime and PyTorch
	@$(BUILD) -m bench.models $(call options,MODEL:model ROUNDS:rounds TOKENS:tokens SYSTEMS:systems SCRATCH:scratch)

bench-import: setup  ## show how many texts a second a server embeds, by length and cores
	@$(BUILD) -m bench.importing $(call options,BUNDLE:bundle)

bench-workers: setup  ## show how worker processes share callers, on any machine
	@$(BUILD) -m bench.workers

soak: setup  ## load a server for minutes while it is replaced: is anything lost, does anything grow?
	@$(BUILD) -m bench.soak $(call options,BUNDLE:bundle DURATION:duration)

# uv must find the CPU build of PyTorch; otherwise the list is full of packages for GPUs.
lock:  ## pin the newest allowed packages with their hashes (needs uv)
	@set -ef; $(torch_links) for link in $${PIP_FIND_LINKS:-$$TORCH_LINKS}; do set -- "$$@" --find-links "$$link"; done; \
	lock() { uv pip compile --quiet --generate-hashes --no-annotate --no-header --python-version 3.11 "$$@"; }; \
	lock "$$@" --no-deps requirements.in -o requirements.txt; \
	lock "$$@" --no-emit-package torch build/requirements.in -o build/requirements.txt; \
	sed -n '/^ziglang==/,/[^\]$$/p' build/requirements.txt > build/compiler-requirement.txt; \
	lock "$$@" --no-emit-package torch bench/incumbent-text-requirements.in -o bench/incumbent-text-requirements.txt; \
	lock "$$@" bench/incumbent-static-requirements.in -o bench/incumbent-static-requirements.txt; \
	lock "$$@" --no-emit-package torch bench/incumbent-rerank-requirements.in -o bench/incumbent-rerank-requirements.txt; \
	lock "$$@" --no-emit-package torch bench/incumbent-clip-requirements.in -o bench/incumbent-clip-requirements.txt; \
	lock "$$@" $(addprefix --no-emit-package ,$(NEVER_IMPORTED)) bench/openvino-requirements.in \
	  -o bench/openvino-requirements.txt; \
	lock "$$@" build/sbom/requirements.in -o build/sbom/requirements.txt; \
	lock "$$@" tests/requirements.in -o tests/requirements.txt; \
	lock "$$@" tests/lint-requirements.in -o tests/lint-requirements.txt; \
	lock "$$@" tests/clients-requirements.in -o tests/clients-requirements.txt

clean:  ## remove environments and what builds left behind, but no bundle
	rm -rf .venv kernels/lib .image-context

clean-bundles:  ## remove bundles/
	rm -rf bundles

.venv/runtime/.ready: requirements.txt
.venv/build/.ready: build/requirements.txt build/torch-requirement.txt
.venv/lint/.ready: tests/lint-requirements.txt
.venv/clients/.ready: tests/clients-requirements.txt
.venv/sbom/.ready: build/sbom/requirements.txt
.venv/runtime/.ready .venv/build/.ready .venv/lint/.ready .venv/clients/.ready .venv/sbom/.ready: | python
	@$(PYTHON) build/host/check.py
	@$(torch_links) $(PYTHON) -m build.host.environment $(notdir $(@D))
	@touch $@

.venv/%/.tested: .venv/%/.ready tests/requirements.txt
	@$(PYTHON) -m build.host.environment $* --add tests/requirements.txt
	@touch $@

python:
	@command -v $(firstword $(PYTHON) python3) > /dev/null || { echo 'cpu2vec: no Python was found on PATH:' \
	  'run `uv python install 3.13`, then make with PYTHON="$$(uv python find 3.13)"' >&2; exit 1; }

.PHONY: help setup environments library serve bundle image bases sbom compare what-to-compare test test-runtime test-build \
  test-fast test-system test-first-half test-second-half test-images lint kernels bench bench-fidelity bench-kernels \
  bench-models bench-import bench-workers soak lock clean clean-bundles python
