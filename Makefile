# Meshbench: every command a reader needs. `make help` lists them.

PYTHON ?= python3
GO     ?= go
TRACE  ?=
SCENARIO ?=
ARGS   ?=
OUT    ?= .out/figures
FUZZ   ?= 5s
RACE   ?= ./lab/control ./lab/load/... ./lab/optimum ./lab/service/... ./lab/testbed/local ./lab/nb/...
LIMIT  ?= 20m

# Where Go's caches cannot be written, as with a home that is read-only, they are
# in this folder.
ifneq ($(shell d=$$($(GO) env GOCACHE 2>/dev/null) && test "$$d" != off && mkdir -p "$$d" 2>/dev/null && test -w "$$d" && echo yes),yes)
export GOCACHE := $(CURDIR)/.cache/go-build
endif
ifneq ($(shell d=$$($(GO) env GOMODCACHE 2>/dev/null) && mkdir -p "$$d" 2>/dev/null && test -w "$$d" && echo yes),yes)
export GOMODCACHE := $(CURDIR)/.cache/go-mod
export GOFLAGS := -modcacherw $(GOFLAGS)
endif

# A user's settings that would build or install something else, or for another
# machine than this one, which runs it.
export GOWORK := off
export GOFLAGS := $(filter-out -mod=%,$(GOFLAGS))
export GOOS := $(shell $(GO) env GOHOSTOS 2>/dev/null)
export GOARCH := $(shell $(GO) env GOHOSTARCH 2>/dev/null)
export PIP_USER := 0

GONB   := .bin/gonb
VENV   := .venv/installed
KERNEL := .venv/share/jupyter/kernels/meshbench/kernel.json
LAB    := .bin/meshbench
FIGS   := fig1 fig1a fig2 fig3 fig4 fig5 fig6 fig7 fig8

.PHONY: all needed setup build notebooks site test lint race fuzz postgres onnx gym figures reference scenario $(FIGS) table2 models benchmark ablation decomposition study noms kth collect evaluate lab bench cluster-up cluster-test cluster-notebook cluster-down cluster-ci clean help
.DELETE_ON_ERROR:

# The program is compiled first, while pip waits for the network, so that figures
# come early; the kernel is compiled while policies are trained. Notebooks and
# figures ask for the same trainings, each of which is made once.
all: needed ## the main job: set-up, figures and tables, all notebooks headless
	@$(MAKE) --no-print-directory -j2 build $(KERNEL)
	@$(MAKE) --no-print-directory -j4 figures notebooks

setup: needed ## tools, kernel and packages (incremental; from empty caches a few minutes)
	@$(MAKE) --no-print-directory -j3 $(GONB) .bin/goimports $(KERNEL) build

needed:
	@$(call need,$(GO),Go 1.26 or newer: https://go.dev/dl)
	@$(call need,$(PYTHON),Python 3.10 or newer with the venv module)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "make: $(PYTHON) is $$($(PYTHON) --version 2>&1); needed: Python 3.10 or newer, for instance make PYTHON=python3.12" >&2; exit 1; }

need = command -v $(1) >/dev/null || { echo "make: '$(1)' is not on the PATH; needed: $(2)" >&2; exit 1; }

$(GONB): go.mod
	@echo "building the notebook kernel"
	@$(GO) build -o $@ github.com/janpfeifer/gonb && touch $@

# goimports and gopls have a module of their own: what they require must not
# move the versions that the workbench is pinned to.
.bin/goimports .bin/gopls .bin/staticcheck: notebooks/tools/go.mod notebooks/tools/go.sum
	@echo "building $(@F)"
	@mkdir -p .bin && cd notebooks/tools && GOBIN="$(CURDIR)/.bin" $(GO) install $($(@F)) && touch "$(CURDIR)/$@"

goimports   := golang.org/x/tools/cmd/goimports
gopls       := golang.org/x/tools/gopls
staticcheck := honnef.co/go/tools/cmd/staticcheck

# Jupyter's programs name the folder that they were installed into.
ifeq ($(shell test -e $(VENV) && ! grep -qsF "$(CURDIR)/.venv/" .venv/bin/jupyter && echo moved),moved)
.PHONY: $(VENV)
endif

$(VENV): notebooks/requirements.lock | needed
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "make: $(PYTHON) has no venv module; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "installing Jupyter into .venv"
	@$(PYTHON) -m venv --clear .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(KERNEL): notebooks/kernel/kernel.json $(VENV)
	@mkdir -p $(@D) && cp $< $@

# Cells compile in a second once the packages they import are in Go's cache. The
# program for figures is without the clients of Kubernetes, which take longer to
# compile than all else.
build:
	@mkdir -p .bin
	@$(GO) build -tags nocluster -o .bin/meshbench ./lab/cmd/meshbench
	@$(GO) build -o .bin/notebooks ./notebooks/run

notebooks: $(GONB) .bin/goimports $(KERNEL) build ## run all notebooks headless; the results go to .out/notebooks
	@.bin/notebooks

test: setup ## vet, unit tests, and all notebooks headless at the small size
	@lab/internal/pgtest/server.sh
	$(GO) vet ./...
	$(GO) test -timeout 20m ./...
	.bin/notebooks -size small

lint: .bin/staticcheck ## gofmt, vet and staticcheck
	@bad=$$(gofmt -l lab notebooks cluster) && test -z "$$bad" || { echo "make: not as gofmt has it:" $$bad >&2; exit 1; }
	@$(GO) vet ./...
	@.bin/staticcheck -checks inherit,-ST1005,-ST1013 ./...

race: ## the packages that share most, with the race detector
	@$(GO) test -race -short $(RACE)

fuzz: ## every fuzz test for some seconds
	@for p in $$(grep -rl --include='*_test.go' '^func Fuzz' lab | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -rhoE '^func Fuzz[A-Za-z0-9_]*' $$p/*_test.go | cut -c6-); do \
	    $(GO) test ./$$p -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZ) || exit 1; done; done

postgres: ## a PostgreSQL server for the tests that need one (Debian and Ubuntu, as root)
	@lab/internal/pgtest/server.sh install

onnx: needed ## what is exported as ONNX, compared with onnxruntime, which goes into .cache/onnx
	@test -x .cache/onnx/bin/python || $(PYTHON) -m venv .cache/onnx
	@.cache/onnx/bin/python -m pip install --quiet --disable-pip-version-check "onnxruntime>=1.17,<2"
	@MESHBENCH_ONNX_PYTHON="$(CURDIR)/.cache/onnx/bin/python" $(GO) test -v ./lab/onnx

gym: build .bench/installed ## the simulator as a Gymnasium environment: env_checker, and PPO of Stable-Baselines3 trained on it
	@MESHBENCH="$(CURDIR)/$(LAB)" PYTHONPATH=lab/gym .bench/bin/python -m meshbench_gym.check $(ARGS)

figures: build ## all figures and tables, into .out/figures, or OUT
	@$(LAB) figure -o "$(OUT)" all

reference: ## the same into figures/, where the committed ones are
	@$(MAKE) --no-print-directory figures OUT=figures

$(FIGS): build
	@$(LAB) figure -o "$(OUT)" $@

table2: build ## table 2 alone; fig1 to fig8 and fig1a likewise
	@$(LAB) figure -o "$(OUT)" table2

scenario: build ## results of another scenario, into OUT/SCENARIO: make scenario SCENARIO=graph, or a YAML file's path
	@test -n "$(SCENARIO)" || { echo "make: name the scenario: make scenario SCENARIO=graph; built in: $$($(LAB) scenario list | cut -d' ' -f1 | xargs)" >&2; exit 1; }
	@$(LAB) figure -o "$(OUT)" -scenario "$(SCENARIO)" all

site: notebooks ## a static site of documents, executed notebooks, figures and packages, into .out/site
	@$(GO) run ./lab/cmd/site

study: build ## the paper's study in the simulator from nothing, timed stage by stage, into .out/study
	@$(LAB) study

models: build ## system models compared by cross-validation, into OUT/models.md
	@$(LAB) figure -o "$(OUT)" $@

benchmark: build ## how much an ANR on each trace says, into OUT/benchmark.md
	@$(LAB) figure -o "$(OUT)" $@

ablation: build ## setting best, one option less at a time, into OUT/ablation.md (half an hour a trace)
	@$(LAB) figure -o "$(OUT)" $@

decomposition: build ## where the loss to the true optimum comes from, into OUT (a quarter of an hour)
	@$(LAB) figure -o "$(OUT)" $@

noms: ## the returns of the rollout paper (NOMS 2024) from its traces in ../shared/noms, to the third digit
	@$(GO) test -count=1 -v -run NOMS ./lab/mdp ./lab/trace/importer

kth: build ## audit and study of the published trace: make kth TRACE=data_CNSM_2022.csv
	@test -n "$(TRACE)" || { echo "make: name the file: make kth TRACE=path/to/data_CNSM_2022.csv" >&2; exit 1; }
	@$(LAB) kth -o "$(OUT)" "$(TRACE)"

collect: ## collect a trace on the local testbed, or go on: make collect TRACE=my.csv
	@test -n "$(TRACE)" || { echo "make: name the file: make collect TRACE=path/to/trace.csv" >&2; exit 1; }
	@$(GO) run ./lab/cmd/meshbench collect $(ARGS) "$(TRACE)"

evaluate: ## the full trial of all policies on the local testbed (hours; ARGS='-beds 4' for several at a time)
	@$(GO) run ./lab/cmd/meshbench evaluate $(ARGS)

lab: setup .bin/gopls ## JupyterLab on 127.0.0.1, in notebooks/
	@.venv/bin/jupyter lab --ip=127.0.0.1 --notebook-dir=notebooks $$([ $$(id -u) = 0 ] && echo --allow-root)

bench: setup .bench/installed ## our speed beside the fastest peers (installs them: about 7 GB)
	@$(LAB) bench -o "$(OUT)" $(ARGS) .bench

# A peer that cannot be installed is left out, and the results say so.
.bench/installed: lab/bench/peers/requirements.txt lab/bench/peers/rows/go.mod | needed
	@echo "installing the peers into .bench"
	@$(PYTHON) -m venv --clear .bench
	@grep -v '^#' $< | while read -r peer; do .bench/bin/python -m pip install --quiet --disable-pip-version-check "$$peer" || \
	  echo "make: $$peer cannot be installed" >&2; done
	@$(GO) build -C lab/bench/peers/rows -o "$(CURDIR)/.bench/rows" . || echo "make: rows cannot be built" >&2
	@$(GO) build -C cluster/local/fortio -o "$(CURDIR)/.bench/fortio" fortio.org/fortio || echo "make: fortio cannot be built" >&2
	@touch $@

cluster-up: ## a local Kubernetes + Istio with the test mesh (root; INSTALL=1 installs what it lacks)
	@INSTALL=$(INSTALL) cluster/local/up.sh

cluster-test: ## the testbed's tests against the running mesh
	@cluster/local/inside.sh $(GO) test ./lab/testbed/istio -count=1 -v -timeout $(LIMIT) -run Cluster -cluster

cluster-notebook: setup ## notebook 05 headless on the running mesh, into .out/notebooks
	@MESHBENCH_CLUSTER=1 cluster/local/inside.sh .bin/notebooks $(ARGS) notebooks/05_cluster.ipynb

cluster-down: ## end it; binaries and images stay in .cluster
	@cluster/local/down.sh

cluster-ci: ## up, test and down in turn, within MINUTES (55); says SKIPPED where this machine cannot
	@INSTALL=$(INSTALL) cluster/local/ci.sh $(MINUTES)

clean: ## remove all that these commands made, but not figures/ and Go's own caches
	@rm -rf .bin .venv .bench .gonb .cache .out notebooks/.ipynb_checkpoints

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
