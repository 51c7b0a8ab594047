# `make` lists the targets.

GO       ?= go
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LINTER   := v2.15.0
CACHE    := .cache
LINT     := $(CACHE)/bin/golangci-lint-$(LINTER)

# What make test runs, and further arguments of go test: make test PKG=./jobs/... ARGS='-run Archive'
PKG      ?= ./...
ARGS     ?=
BENCH    ?= .
FUZZ     ?= Fuzz
FUZZTIME ?= 10m

# The race detector needs a C compiler.
CC_FOUND := $(shell command -v $${CC:-gcc} 2>/dev/null || command -v cc 2>/dev/null)
RACE     := $(if $(CC_FOUND),-race)

.DEFAULT_GOAL := help
.PHONY: help build run test lint check rules alerts deploy-check promtool bench fuzz soak dump browser screenshot release postgres clean FORCE

help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## bin/pgtender, one static binary
	CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath -ldflags '-s -w -X github.com/pgtender/pgtender/internal/cli.Version=$(VERSION)' -o bin/pgtender ./cmd/pgtender

run: build ## a PostgreSQL 18 (or DATABASE_URL), sample data, the schema, the daemon; until Ctrl-C
	@exec bin/pgtender dev

test: $(CACHE)/bin/gotest ## every test on a real PostgreSQL 18, race detector on; PKG= and ARGS= narrow it
	$(if $(RACE),,@echo 'no C compiler: the tests run WITHOUT the race detector; install gcc' >&2)
	@$(if $(RACE),CGO_ENABLED=1 )$(CACHE)/bin/gotest $(RACE) -count=1 -p 2 -timeout 10m $(ARGS) $(PKG)
	$(if $(RACE),,@echo 'ran WITHOUT the race detector: no C compiler' >&2)

lint: $(LINT) ## the linters, with the import rule
	$(LINT) run ./...

check: ## lint and test: what CI runs
	$(MAKE) lint
	$(MAKE) test

rules: promtool ## promtool's own tests of the alerts in deploy/prometheus
	promtool check rules --lint=all deploy/prometheus/pgtender.rules.yml
	promtool test rules deploy/prometheus/pgtender.rules.test.yml

alerts: rules ## and real faults that fire and resolve in a real Prometheus and Alertmanager; some minutes
	$(GO) test -count=1 -tags alerts -timeout 10m -v ./deploy/prometheus/e2e

deploy-check: build ## deploy/ held against Kubernetes', Compose's and BuildKit's own types; the unit by systemd, if it is there
	cd deploy/validate && $(GO) vet ./... && $(GO) test -count=1 ./...
	@if command -v systemd-analyze >/dev/null; then mkdir -p bin && sed 's#^ExecStart=/[^ ]*#ExecStart=$(CURDIR)/bin/pgtender#' deploy/systemd/pgtender.service >bin/pgtender.service && \
	  systemd-analyze verify bin/pgtender.service; else echo 'no systemd-analyze: the unit is not verified' >&2; fi

# Debian's packages, where they are missing.
promtool:
	@command -v promtool >/dev/null && command -v prometheus-alertmanager >/dev/null || { echo 'installing prometheus and prometheus-alertmanager'; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus prometheus-alertmanager; }

bench: $(CACHE)/bin/gotest ## the benchmarks, on the same PostgreSQL 18; BENCH= picks some
	$(CACHE)/bin/gotest -run '^$$' -bench '$(BENCH)' -benchtime 1x -count=1 -p 1 -timeout 60m $(ARGS) $(PKG)

fuzz: ## each fuzz target for FUZZTIME (10m), one after the other; FUZZ= picks some by name
	@grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z]*' . | grep '$(FUZZ)' | sort | while IFS=: read -r file name; do \
	  echo "$${name#func } in $$(dirname "$$file")"; \
	  $(GO) test -run '^$$' -fuzz "^$${name#func }$$" -fuzztime $(FUZZTIME) -parallel 1 "$$(dirname "$$file")" </dev/null || exit 1; done

soak: $(CACHE)/bin/gotest ## the long form of the tests that make test only samples; hours; PKG= and ARGS= narrow it
	@PGTENDER_SOAK=1 $(if $(RACE),CGO_ENABLED=1 )$(CACHE)/bin/gotest $(RACE) -tags soak -count=1 -p 1 -timeout 6h $(ARGS) $(PKG)

dump: $(CACHE)/bin/gotest ## the schema engine's cases, compared by PostgreSQL 18's pg_dump too; PG_DUMP= names it
	$(CACHE)/bin/gotest -tags dump -count=1 -timeout 60m $(ARGS) -run TestDumps ./schema/plan

browser: $(CACHE)/bin/gotest ## the status page in headless Chromium (Debian's is installed if there is none); SHOTS=folder keeps the pictures
	@command -v $${CHROMIUM:-chromium} >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; }
	$(CACHE)/bin/gotest -tags browser -count=1 -timeout 10m $(ARGS) ./internal/web -run $(or $(RUN),Browser) $(if $(SHOTS),-shots $(abspath $(SHOTS)))

screenshot: ## docs/images/status.png, of a daemon that runs: make run in another terminal first; PAGE= another address
	$(GO) test -tags browser -count=1 -run Screenshot ./internal/web -page $(or $(PAGE),http://127.0.0.1:9818/status?still) -out $(CURDIR)/docs/images/status.png

release: ## dist/: static binaries for Linux and macOS, archives, SBOMs, SHA256SUMS
	@GO=$(GO) deploy/release.sh $(VERSION)

postgres: ## get PostgreSQL 18's programs and say where they are
	@$(GO) run -buildvcs=false ./internal/devpg/postgres

clean: ## remove what was built and downloaded; the data in .pgtender/ stay
	rm -rf bin dist .cache

$(CACHE)/bin/gotest: FORCE
	@$(GO) build -buildvcs=false -o $@ ./internal/pgtest/gotest

# Through the module proxy, as the binaries of the release page may be out of reach.
$(LINT):
	@mkdir -p $(CACHE)/bin/new
	GOBIN="$(CURDIR)/$(CACHE)/bin/new" GOFLAGS= $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINTER)
	@mv $(CACHE)/bin/new/golangci-lint $@ && rmdir $(CACHE)/bin/new
