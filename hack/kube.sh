#!/usr/bin/env bash
# Builds etcd, Kubernetes and kubectl for the tests and the test cluster, from the Go
# modules pinned in hack/kube, and prints the folder they are in: it is what
# KUBEBUILDER_ASSETS should name. That takes minutes the first time and nothing after it.
# If KUBEBUILDER_ASSETS names a folder that has them all, that folder is printed instead.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

programs=(etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)
out=$PWD/.cache/kube

say() { echo "kube.sh: $1" >&2; }

if [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ "$KUBEBUILDER_ASSETS" != "$out" ]; then
	missing=()
	for program in "${programs[@]}"; do
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
current() { [ "$(cat "$out/stamp" 2>/dev/null)" = "$stamp" ]; }

if ! current; then
	mkdir -p .cache
	# Two at a time would take twice as long; the second finds the work done.
	if command -v flock >/dev/null 2>&1; then
		exec 9>.cache/kube.lock
		flock 9
	fi
fi
if ! current; then
	start=$SECONDS
	say "building Kubernetes $version for the tests: 4 to 15 minutes the first time, and 5 GB of build cache"
	build=$(mktemp -d "$PWD/.cache/kube.XXXXXX")
	trap 'rm -rf "$build"' EXIT

	# Lists the packages to know how many there are, and downloads their modules by it.
	total=$(cd hack/kube && CGO_ENABLED=0 go list -deps . 2> >(
		awk '/^go: downloading/ { if (++n % 20 == 0) print "kube.sh: downloaded " n " modules"; next } { print }' >&2
	) | wc -l)

	# go build -v names each package as it is compiled. Anything else it says is an error.
	(cd hack/kube && CGO_ENABLED=0 nice -n 10 go build -v -trimpath -buildvcs=false -ldflags "$ldflags" -o "$build/kube" .) \
		2> >(awk -v total="$total" '
			/^[^ :#]+$/ { if (++n % 100 == 0) print "kube.sh: compiled " n " of " total " packages"; fflush(); next }
			/^go: downloading/ { next }
			{ print; fflush() }' >&2)
	for program in "${programs[@]}"; do
		ln -s kube "$build/$program"
	done
	echo "$stamp" >"$build/stamp"

	# Complete or not there at all: other test runs look at this folder.
	chmod 755 "$build"
	rm -rf "$out.old"
	[ ! -e "$out" ] || mv "$out" "$out.old"
	mv "$build" "$out"
	rm -rf "$out.old"
	say "Kubernetes $version is in .cache/kube, after $((SECONDS - start)) s"
fi
echo "$out"
