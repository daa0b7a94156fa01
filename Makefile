# Run `make help`.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run build test test-go quick race lint fuzz bench vuln clean

GO ?= go
FUZZTIME ?= 10s
BENCHTIME ?= 1s

# The version-control stamp of a binary needs a checkout that git trusts;
# nothing here needs the stamp.
export GOFLAGS := $(strip $(GOFLAGS) -buildvcs=false)

# Tests on real input find it here, and say so when it is not there.
ifneq ($(wildcard ../shared/data/README.md),)
export ASSENT_SHARED_DATA ?= $(abspath ../shared/data)
endif

help: ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## build and serve a gateway on 127.0.0.1:8080 with data in ./assent-data
	./bin/assent serve

build: ## build ./bin/assent and ./bin/assent-verify
	@./scripts/tools go
	$(GO) build -o bin/ ./cmd/...

test: ## everything that can be tested here: tests, races, the README's walk; ends with what was not run
	@./scripts/tools go
	./scripts/test

test-go: ## the Go tests alone
	$(GO) test -timeout 40m ./...

quick: ## the everyday loop: without the tests that hammer, kill, or wait for servers
	$(GO) test -short -skip 'Hammer|Kill|Restart|Weaviate|Mutations|Fail|Applier|RealInput|Replica|Restored|Builds|Thousand|Erasure|Deploy|Dockerfile|Broker' ./...

race: ## the packages where threads meet, under the race detector
	@./scripts/tools go gcc
	./scripts/test race

lint: ## gofmt, go vet, staticcheck
	@./scripts/tools go
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then \
		echo "not formatted (run gofmt -w on them):"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

fuzz: ## every fuzz test for FUZZTIME (10s)
	./scripts/fuzz $(FUZZTIME)

bench: ## every benchmark for BENCHTIME (1s)
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...

vuln: ## known vulnerabilities in what we depend on; needs the network and vuln.go.dev
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

clean: ## remove what make built; data of a gateway stays
	rm -rf bin
