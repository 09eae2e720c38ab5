#!/usr/bin/env bash
# Builds what a node of the test cluster runs beside Kubernetes: containerd, runc, the CNI
# plugins, and CoreDNS and pause for their images, from the Go modules pinned in hack/node,
# and prints the folder they are in. That takes minutes the first time and nothing after it.
# runc needs a C compiler and libseccomp's headers: see hack/deps.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. hack/built.sh

say() { echo "node.sh: $1" >&2; }

containerd=github.com/containerd/containerd/v2
cni=github.com/containernetworking/plugins/plugins
version=$(awk -v module="$containerd" '$1 == module { print $2; exit }' hack/node/go.mod)

# compile PACKAGES… with the given -tags and -o; static but for runc.
compile() {
	(cd hack/node && nice -n 10 go build -v -trimpath -buildvcs=false \
		-ldflags "-s -w -X $containerd/version.Version=$version" "$@") 2> >(progress node.sh "$total")
}

build() {
	local start=$SECONDS
	say "building containerd $version, runc, CNI plugins and CoreDNS: 2 to 8 minutes the first time"
	export CGO_ENABLED=0
	total=$(cd hack/node && go list -deps tool ./... 2> >(downloaded node.sh) | wc -l)
	compile -tags "no_btrfs no_zfs no_devmapper" -o "$1/" \
		$containerd/cmd/containerd $containerd/cmd/containerd-shim-runc-v2 $containerd/cmd/ctr
	compile -o "$1/cni/" $cni/{ipam/host-local,main/loopback,main/ptp,meta/portmap}
	# In a folder as hack/images takes it.
	compile -o "$1/linux-$(go env GOARCH)/" ./coredns ./pause
	CGO_ENABLED=1 compile -tags seccomp -o "$1/runc" github.com/opencontainers/runc
	say "the node's programs are built, after $((SECONDS - start)) s"
}

built node "$({ cat hack/node.sh hack/node/go.{mod,sum} hack/node/*/*.go; go version; } | sha256sum)" build
echo "$PWD/.cache/node"
