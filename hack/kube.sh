#!/usr/bin/env bash
# Builds etcd, Kubernetes and kubectl for the tests and the test cluster, from the Go
# modules pinned in hack/kube, and prints the folder they are in: it is what
# KUBEBUILDER_ASSETS should name. That takes minutes the first time and nothing after it.
# If KUBEBUILDER_ASSETS names a folder that has those for the tests, that folder is printed
# instead.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. hack/built.sh

programs=(etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)
tested=(etcd kube-apiserver kube-controller-manager kubectl)
out=$PWD/.cache/kube

say() { echo "kube.sh: $1" >&2; }

if [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ "$KUBEBUILDER_ASSETS" != "$out" ]; then
	missing=()
	for program in "${tested[@]}"; do
		[ -x "$KUBEBUILDER_ASSETS/$program" ] || missing+=("$program")
	done
	if [ "${#missing[@]}" -eq 0 ]; then
		echo "$KUBEBUILDER_ASSETS"
		exit 0
	fi
	say "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS lacks ${missing[*]}; using .cache/kube"
fi

# Without -X the programs call themselves v0.0.0-master, and clients refuse that version.
version=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' hack/kube/go.mod)
minor=${version#v1.}
ldflags="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
	ldflags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
	ldflags+=" -X $package.gitTreeState=clean -X $package.buildDate=1970-01-01T00:00:00Z"
done

stamp=$({ cat hack/kube/{go.mod,go.sum,main.go}; go version; echo "$ldflags ${programs[*]}"; } | sha256sum)

build() {
	local start=$SECONDS total program
	say "building Kubernetes $version for the tests: 4 to 15 minutes the first time, and 5 GB of build cache"

	# Lists the packages to know how many there are, and downloads their modules by it.
	total=$(cd hack/kube && CGO_ENABLED=0 go list -deps . 2> >(downloaded kube.sh) | wc -l)
	(cd hack/kube && CGO_ENABLED=0 nice -n 10 go build -v -trimpath -buildvcs=false -ldflags "$ldflags" -o "$1/kube" .) \
		2> >(progress kube.sh "$total")
	for program in "${programs[@]}"; do
		ln -s kube "$1/$program"
	done
	say "Kubernetes $version is built, after $((SECONDS - start)) s"
}
built kube "$stamp" build
echo "$out"
