# The targets are part of the command contract: see CONTRIBUTING.md.
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS  = -s -w -X github.com/cloudcoin/cloudcoin/internal/version.Version=$(VERSION)
BUILD    = CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)'
SOAK    ?= 30
FUZZTIME ?= 5s

.PHONY: all build drive test test-race bench bench-local soak lint cross fuzz deps deps-lint clean

all: build

build:
	@mkdir -p bin
	$(BUILD) -o bin/ccdrive ./cmd/ccdrive
	$(BUILD) -o bin/ccprovider ./cmd/ccprovider

deps:
	@scripts/install-deps.sh

drive: build
	@scripts/install-deps.sh mount
	bin/ccdrive local ./CloudDrive

test: deps
	CGO_ENABLED=0 $(GO) test -timeout 10m ./...

# The race detector sees what runs in a test's own process; acceptance and soak run the programs as they are built.
test-race: deps
	$(GO) test -race -short -timeout 15m $$($(GO) list ./... | grep -v -e /internal/acceptance -e /internal/soak -e /internal/bench)

bench: deps build
	$(GO) run ./internal/bench/cmd/bench -bin bin all

bench-local: deps build
	$(GO) run ./internal/bench/cmd/bench -bin bin local

soak: deps build
	SOAK_MINUTES=$(SOAK) $(GO) test -count=1 -timeout $$(( $(SOAK) * 2 + 10 ))m -run 'Soak' -v ./internal/soak/...

lint:
	@scripts/lint.sh

cross:
	@scripts/cross.sh

fuzz:
	@FUZZTIME=$(FUZZTIME) scripts/fuzz.sh

clean:
	rm -rf bin dist
