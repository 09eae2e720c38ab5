# Streampair. A bare `make` lists the targets.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
TOOL := go tool -modfile=hack/tools/go.mod

# The version is given by -ldflags; stamping by Go fails where git distrusts the folder.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

# Arguments for the e2e test binary, such as E2EFLAGS='-test.run TestRelay -test.v -runs 5'.
E2EFLAGS ?=
# A kubeconfig of a cluster to use in place of one of our own, without the faults that only
# ours can have.
KUBECONFIG_E2E ?=
# Arguments for bin/cluster, such as CLUSTERFLAGS='-name other -nodes 1'.
CLUSTERFLAGS ?=

# Arguments for go test, such as TESTFLAGS='-run TestAttack -v'.
TESTFLAGS ?=
PACKAGES ?= ./...

PLAYER := mediaserver/player
FFMPEG8 := mediaserver/mediatest/testdata/ffmpeg8
SHAKA := mediaserver/mediatest/testdata/shaka
CLIENTS := mediaserver/mediatest/testdata/clients
ANTMEDIA := mediaserver/mediatest/testdata/antmedia
ROOM := api/controlroom
PLAYER_SOURCES := $(wildcard $(PLAYER)/src/* $(PLAYER)/npm/* $(ROOM)/src/*) $(PLAYER)/build.mjs $(PLAYER)/tsconfig.json

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Build, start the server and two encoders, and print the URL to watch
	@hack/deps.sh demo
	@$(MAKE) build
	@go build -o bin/demo ./hack/demo
	@exec bin/demo

.PHONY: test
test: ## Run all tests with the race detector; as root, install ffmpeg and Chromium first
	@hack/deps.sh test
	@$(MAKE) build commands .cache/ffmpeg8.installed .cache/shaka.installed .cache/clients.built .cache/antmedia.installed
	cd $(PLAYER) && npm run --silent typecheck && npm test --silent
	hack/test.sh -race -timeout 30m $(TESTFLAGS) -- $(PACKAGES)

.PHONY: unit
unit: ## Run the tests that need nothing but Go, in less than a minute once they are compiled
	@hack/unit.sh $(TESTFLAGS)

.PHONY: build
build: .cache/player.built ## Build bin/streampair-mediaserver, with its pages inside
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' \
		-o bin/ ./mediaserver/cmd/streampair-mediaserver

.PHONY: player-package
player-package: .cache/player.installed ## Pack the npm package of the custom element <stream-pair> into bin, and publish nothing
	@rm -f bin/streampair-player-*.tgz
	@cd $(PLAYER) && node build.mjs --package ../../bin/player-package '$(VERSION)' \
		&& npm pack --silent --pack-destination ../../bin ../../bin/player-package

.PHONY: commands
commands: .cache/player.built ## Build bin/streampair-operator and bin/kubectl-streampair
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/ ./controllers/cmd/...

.PHONY: lint
lint: .cache/player.built ## Check format, go vet and golangci-lint (its first build takes minutes)
	@unformatted=$$(git ls-files -co --exclude-standard '*.go' | xargs -r gofmt -l); \
		[ -z "$$unformatted" ] || { echo "gofmt would change:" $$unformatted; exit 1; }
	go vet $(PACKAGES)
	$(TOOL) golangci-lint run $(PACKAGES)
	for module in hack/charttest hack/images hack/oldestkube; do \
		(cd "$$module" && go tool -modfile=../tools/go.mod golangci-lint run ./...); \
	done

# Arguments for hack/vulncheck: VULNFLAGS=-live asks the database of today.
VULNFLAGS ?=

.PHONY: vuln
vuln: .cache/player.built ## Look for known vulnerabilities that our code calls (the database has a pinned version)
	@go run ./hack/vulncheck $(VULNFLAGS)

.PHONY: generate
generate: ## Generate code, the CRD and the API reference from api/
	$(TOOL) controller-gen paths=./api/... \
		object:headerFile=hack/boilerplate.go.txt \
		applyconfiguration:headerFile=hack/boilerplate.go.txt \
		crd output:crd:artifacts:config=config/crd/bases
	go run ./hack/explain config/crd/bases/media.streampair.dev_streampairs.yaml
	$(TOOL) crd-ref-docs --log-level ERROR --config hack/reference/config.yaml \
		--templates-dir hack/reference/templates --source-path api/v1alpha1 \
		--renderer markdown --output-path api/REFERENCE.md
	go run ./hack/reference api/v1alpha1/conditions.go api/v1alpha1/metadata.go >> api/REFERENCE.md
	@# Not ./controllers/...: only the controller has markers.
	$(TOOL) controller-gen paths=./controllers \
		rbac:roleName=streampair-operator output:rbac:artifacts:config=config/rbac
	go run ./hack/dashboard > config/grafana/streampair.json
	hack/generate-chart.sh

.PHONY: images
images: .cache/player.built ## Build the container images, for amd64 and arm64, into bin/images (no Docker needed)
	@for arch in amd64 arm64; do \
		echo "compiling for linux/$$arch"; \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' \
			-o bin/images/linux-$$arch/ ./controllers/cmd/streampair-operator ./mediaserver/cmd/streampair-mediaserver; \
	done
	@go build -C hack/images -o ../../bin/images/build .
	@# The one with ffmpeg needs Debian's packages, and so apt.
	@export SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || echo 0); for set in product ffmpeg; do \
		bin/images/build -set $$set -binaries bin/images -out bin/images \
			-version '$(VERSION)' -revision "$$(git rev-parse HEAD 2>/dev/null || true)"; \
	done

.PHONY: release
release: .cache/player.built ## Build all that a release publishes into bin/release, and publish nothing: make release VERSION=1.2.3
	@hack/release.sh '$(VERSION)'

.PHONY: recording
recording: ## Record a switch as the player shows it, for the README
	@hack/deps.sh bench
	@$(MAKE) build
	@go build -o bin/demo ./hack/demo
	@bin/demo -record docs/switch.gif

.PHONY: bench
bench: ## Measure failover, joining, viewers, publishers, HLS and many pairs, and print the tables
	@hack/deps.sh bench
	@$(MAKE) build commands
	@go build -o bin/bench ./hack/bench
	@KUBEBUILDER_ASSETS=$$(hack/kube.sh); export KUBEBUILDER_ASSETS; exec bin/bench $(BENCHFLAGS)

# Arguments for bin/attack, such as ATTACKFLAGS='-soak 10m'.
ATTACKFLAGS ?=

.PHONY: attack
attack: ## Send the media server what strangers may send, and print the outcome
	@hack/deps.sh demo
	@$(MAKE) build
	@go build -o bin/attack ./hack/attack
	@exec bin/attack $(ATTACKFLAGS)

# Of one version always, so that nothing is linked anew after a commit that changes none of it.
CLUSTER_IMAGES := bin/cluster-images

.PHONY: cluster-host
cluster-host:
	@if [ "$$(uname)" != Linux ] || [ "$$(id -u)" != 0 ]; then \
		echo "make cluster and make e2e run a Kubernetes of their own: they need root on Linux" >&2; exit 1; \
	fi

.PHONY: cluster-binaries
cluster-binaries: cluster-host .cache/player.built
	@hack/deps.sh cluster
	@env -u KUBEBUILDER_ASSETS hack/kube.sh >/dev/null && hack/node.sh >/dev/null
	@arch=$$(go env GOARCH); export CGO_ENABLED=0; \
	go build -trimpath -ldflags '-s -w -X main.version=cluster' -o $(CLUSTER_IMAGES)/linux-$$arch/ \
		./controllers/cmd/streampair-operator ./mediaserver/cmd/streampair-mediaserver; \
	go build -trimpath -ldflags '-s -w -X main.version=cluster' -o bin/ ./controllers/cmd/kubectl-streampair; \
	go build -trimpath -o bin/cluster ./hack/cluster; \
	go build -C hack/charttest -trimpath -o ../../bin/render ./render; \
	go build -C hack/images -o ../../bin/images/build .; \
	bin/images/build -platforms $$arch -set cluster -version 1 -binaries .cache/node -out $(CLUSTER_IMAGES) >/dev/null; \
	bin/images/build -platforms $$arch -version cluster -binaries $(CLUSTER_IMAGES) -out $(CLUSTER_IMAGES) >/dev/null; \
	bin/images/build -platforms $$arch -version cluster-next -only streampair-mediaserver \
		-binaries $(CLUSTER_IMAGES) -out $(CLUSTER_IMAGES)/next >/dev/null

.PHONY: cluster
cluster: cluster-binaries ## Run a Kubernetes of two nodes with the chart installed, until Ctrl-C (root on Linux)
	@exec bin/cluster $(CLUSTERFLAGS) up

.PHONY: cluster-demo
cluster-demo: cluster-binaries ## Run such a cluster with a demo pair and two encoders, and print the URL to watch
	@hack/deps.sh demo
	@exec bin/cluster $(CLUSTERFLAGS) demo

.PHONY: e2e-binaries
e2e-binaries: .cache/player.built
	@hack/deps.sh e2e
	@export CGO_ENABLED=0; \
	go build -trimpath -ldflags '-s -w -X main.version=cluster' -o bin/ ./controllers/cmd/kubectl-streampair; \
	go build -C hack/charttest -trimpath -o ../../bin/render ./render; \
	go test -c -trimpath -race=false -o bin/e2e.test ./hack/e2e

.PHONY: e2e
e2e: $(if $(KUBECONFIG_E2E),,cluster-host) e2e-binaries ## Take away pods, nodes and links of such a cluster while viewers watch (KUBECONFIG_E2E=FILE: of another cluster)
	@if [ -n "$(KUBECONFIG_E2E)" ]; then \
		E2E_KUBECONFIG='$(KUBECONFIG_E2E)' exec bin/e2e.test -test.timeout 60m $(E2EFLAGS); \
	fi; \
	hack/previous.sh images >/dev/null; \
	$(MAKE) cluster-binaries; \
	bin/images/build -platforms $$(go env GOARCH) -set ffmpeg -version cluster -binaries $(CLUSTER_IMAGES) -out $(CLUSTER_IMAGES); \
	exec bin/cluster $(CLUSTERFLAGS) run -- bin/e2e.test -test.timeout 60m $(E2EFLAGS)

.PHONY: e2e-soak
e2e-soak: ## Make random faults in such a cluster for ten minutes
	@$(MAKE) e2e E2EFLAGS='-test.run TestSoak -soak 10m $(E2EFLAGS)'

.PHONY: clean
clean: ## Remove everything that was built
	rm -rf bin .cache $(PLAYER)/node_modules $(PLAYER)/.test $(FFMPEG8)/node_modules $(SHAKA)/node_modules $(CLIENTS)/node_modules $(CLIENTS)/dist
	find $(PLAYER)/dist $(ROOM)/dist -mindepth 1 ! -name .gitkeep -delete

# npm ci is slow, so it runs only when the lock file has changed.
.cache/player.installed: $(PLAYER)/package-lock.json
	@hack/deps.sh build
	cd $(PLAYER) && npm ci --silent
	@mkdir -p .cache && touch $@

# An encoder of today for tests: FFmpeg 8 as a package of Node.js. Debian's is older.
.cache/ffmpeg8.installed: $(FFMPEG8)/package-lock.json
	@hack/deps.sh build
	cd $(FFMPEG8) && npm ci --silent
	@mkdir -p .cache && touch $@

# Another player of HLS for tests.
.cache/shaka.installed: $(SHAKA)/package-lock.json
	@hack/deps.sh build
	cd $(SHAKA) && npm ci --silent
	@mkdir -p .cache && touch $@

# Clients of WHEP and WHIP of others for tests.
.cache/clients.built: $(CLIENTS)/package-lock.json $(CLIENTS)/clients.js
	@hack/deps.sh build
	cd $(CLIENTS) && npm ci --silent && npm run --silent build
	@mkdir -p .cache && touch $@

# The players of Ant Media Server for tests. npm cannot install them, but their packages are whole.
.cache/antmedia.installed: Makefile
	@hack/deps.sh build
	cd $(ANTMEDIA) && rm -rf packages && mkdir packages && for package in web_player@2.13.2 webrtc_adaptor@2.16.2; do \
		name=packages/$${package%@*} && mkdir $$name && file=$$(npm pack --silent --pack-destination packages @antmedia/$$package) && \
		tar -xzf packages/$$file -C $$name --strip-components 1 && rm packages/$$file || exit 1; done
	@mkdir -p .cache && touch $@

.cache/player.built: .cache/player.installed $(PLAYER_SOURCES)
	cd $(PLAYER) && npm run --silent build
	@mkdir -p .cache && touch $@
