# SPDX-License-Identifier: Apache-2.0
#
# `make help` lists what there is. A comment after two hashes is a target's help.

SHELL       := /bin/sh
.SHELLFLAGS := -ec
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS   += --no-builtin-rules

# What is built and kept locally; .gitignore names it.
OUT   := .syncline
BIN   := $(OUT)/bin
# The tools' versions are in tools/go.mod; another go.sum means another folder, so an old tool is never used.
TOOLS := $(OUT)/tools/$(shell cksum tools/go.sum | cut -d' ' -f1)

# Everything that a binary is made of, pages of the documentation included; folders too, because their time changes when
# a file comes or goes.
SOURCES := $(shell find api billing cmd docs internal migrations web '(' -name node_modules -o -name testdata ')' -prune -o -print) \
	go.mod go.sum openapi.yaml

# Looked for when first needed, so that `make help` works without Go.
GO = $(eval GO := $$(shell sh scripts/go.sh))$(if $(GO),$(GO),$(error Go is missing: see above))

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

## Running

.PHONY: run
run: $(BIN)/syncline ## Start everything with a demo, on a database of its own (ARGS="--listen 127.0.0.1:9000")
	@exec $(BIN)/syncline dev $(ARGS)

.PHONY: build
build: $(BIN)/syncline ## Build the program to .syncline/bin/syncline

# Without C: the same binary runs on any Linux, and a machine without a compiler can build it. Without symbols it is a quarter
# smaller, on disk and in memory; stack traces stay whole.
$(BIN)/syncline: $(SOURCES)
	@[ -e $@ ] || echo "Building syncline (the first time takes a few minutes, later ones seconds)"
	@mkdir -p $(BIN)
	@CGO_ENABLED=0 $(GO) build -buildvcs=false -ldflags="-s -w" -o $@ ./cmd/syncline
	@touch $@

## Testing

.PHONY: test
test: $(BIN)/testservers ## Run all tests with the race detector, on private database servers and a real browser
	@sh scripts/test-setup.sh
	@CGO_ENABLED=0 $(GO) vet ./...
	@exec $(BIN)/testservers $(GO) test -race -timeout 20m $(TESTFLAGS) ./...

.PHONY: test-short
test-short: $(BIN)/testservers ## Run the tests without race detector and browser
	@exec $(BIN)/testservers $(GO) test -timeout 20m $(TESTFLAGS) $$($(GO) list -f \
		'{{.ImportPath}} {{join .Imports " "}} {{join .TestImports " "}} {{join .XTestImports " "}}' ./... \
		| grep -v -e chromedp -e /webtest | cut -d' ' -f1)

.PHONY: connectors
connectors: $(BIN)/testservers ## Hold every connector to the conformance suite and print the table of what each can do
	@mkdir -p $(OUT)/cards && rm -f $(OUT)/cards/*.json
	@sh scripts/test-setup.sh
	@status=0; SYNCLINE_CARDS="$(CURDIR)/$(OUT)/cards" $(BIN)/testservers $(GO) test -count=1 -timeout 15m $(TESTFLAGS) ./internal/connector/... \
		>$(OUT)/cards/tests.txt || { status=1; grep -v '^ok\|no test files' $(OUT)/cards/tests.txt; }; \
	$(GO) run ./internal/connector/connectortest/card/cmd/connectors $(OUT)/cards || status=1; exit $$status

.PHONY: months
months: ## Compare a million made-up months of billing with the oracle, to the cent (some minutes)
	@CGO_ENABLED=0 $(GO) test ./billing/rating -run '^TestMonths$$' -count=1 -v -timeout 60m -months 1000000

SEEDS ?= 10000
SEED  ?= 1

.PHONY: simulate
simulate: ## Run the seeded simulation of the engine (SEEDS=300 SEED=42 runs 300 from 42 on)
	@mkdir -p $(BIN)
	@CGO_ENABLED=0 $(GO) test -c -o $(BIN)/simulation.test ./internal/simulation
	@exec $(BIN)/simulation.test -test.run '^TestSeeds$$' -test.timeout 0 -seeds $(SEEDS) -seed $(SEED) $(SIMFLAGS)

.PHONY: laws
laws: ## Try the laws of merging and deciding on a million generated cases each (CASES=30000 for fewer)
	@exec $(GO) test -run '^TestLaw' -count 1 -timeout 60m ./internal/conflict -rapid.checks=$(or $(CASES),1000000)

.PHONY: bench
bench: $(BIN)/testservers ## Run the benchmarks (docs/how-we-test.md says how to make them short)
	@exec $(BIN)/testservers $(GO) test -p 1 -run '^$$' -bench . -benchmem -timeout 120m $(TESTFLAGS) ./...

.PHONY: bench-sync
bench-sync: ## Measure syncing against its peers, a million rows (BENCH="-rows 50000 -updates 20000 -samples 100" is short)
	@exec $(GO) test -run '^$$' -bench '^BenchmarkSync$$' -benchtime 1x -timeout 180m ./internal/bench $(BENCH)

$(BIN)/testservers: $(SOURCES)
	@mkdir -p $(BIN)
	@CGO_ENABLED=0 $(GO) build -buildvcs=false -o $@ ./internal/localdb/cmd/testservers
	@touch $@

## Checking

.PHONY: check
check: test verify lint ## Everything that CI runs

.PHONY: lint
lint: $(TOOLS)/golangci-lint ## Look for what reviewers would object to (LINTFLAGS=--fix mends what it can)
	@PATH="$(dir $(GO)):$$PATH" $(TOOLS)/golangci-lint run $(LINTFLAGS) ./...

.PHONY: verify
verify: generate ## Fail when committed generated files are not what `make generate` makes
	@changed=$$($(GIT) status --porcelain -- $(GENERATED)); \
	if [ -n "$$changed" ]; then \
		$(GIT) --no-pager diff --stat -- $(GENERATED); \
		echo "Generated files differ from their sources. Run \`make generate\` and commit the result:" >&2; \
		echo "$$changed" >&2; exit 1; \
	fi

# CI often runs as another user than the one who owns the clone, and git then refuses even to look.
GIT := git -c safe.directory='*'

# Where generated files are.
GENERATED := ':(glob)**/*_templ.go' ':(glob)api/**/*.gen.go' internal/store/internal/db internal/service/schema.json docs/service-document.md internal/connector/manifest/schema.json docs/manifest-reference.md

.PHONY: generate
generate: $(TOOLS)/templ $(TOOLS)/sqlc $(TOOLS)/oapi-codegen ## Make the generated files: pages, API types, SQL, schemas
	@$(TOOLS)/sqlc generate -f internal/store/sqlc.yaml
	@$(TOOLS)/templ generate -log-level warn -path web
	@PATH="$(CURDIR)/$(TOOLS):$(dir $(GO)):$$PATH" $(GO) generate ./...

# One rule per tool, so that a target waits only for the tools it uses. Without C, sqlc takes its SQL parser as
# WebAssembly: compiling the C one alone takes minutes.
$(TOOLS)/templ:         PACKAGE := github.com/a-h/templ/cmd/templ
$(TOOLS)/sqlc:          PACKAGE := github.com/sqlc-dev/sqlc/cmd/sqlc
$(TOOLS)/oapi-codegen:  PACKAGE := github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen
$(TOOLS)/golangci-lint: PACKAGE := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
$(TOOLS)/templ $(TOOLS)/sqlc $(TOOLS)/oapi-codegen $(TOOLS)/golangci-lint: tools/go.mod tools/go.sum
	@echo "Building $(@F) (once for its version, some minutes)"
	@mkdir -p $(@D)
	@cd tools && CGO_ENABLED=0 $(GO) build -buildvcs=false -o "$(CURDIR)/$@" $(PACKAGE)
	@touch $@

## Cleaning

.PHONY: clean
clean: ## Remove what was built (the data of `make run` stays)
	rm -rf $(BIN) $(OUT)/tools
