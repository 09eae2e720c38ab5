#!/usr/bin/env bash
# Runs the tests that need nothing but Go: no ffmpeg, browser, Kubernetes, pages of the
# player or other program.
#
#   unit.sh [-sealed] [FLAGS OF go test…]
#
# Left out are the packages whose tests link the player's pages, which npm builds, or
# controllers/kubetest, which starts Kubernetes. In all other packages, -short skips each
# test that starts a program, or that waits for many seconds. Most of the others wait for
# some: four packages at a time keep two cores busy.
#
# -sealed proves that: the kernel then kills tests that start a program, with "bad system
# call". It needs Linux, and Go caches no result of such a run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

exec=()
if [ "${1:-}" = -sealed ]; then
	shift
	sealed=$(mktemp -d)
	trap 'rm -rf "$sealed"' EXIT
	go build -o "$sealed/" ./hack/sealed
	exec=(-exec "$sealed/sealed")
fi

# units prints the packages, one a line.
units() {
	go list -test -f '{{.ImportPath}} {{join .Deps " "}} ' ./... |
		awk '$1 ~ /\.test$/ && !/ [^ ]*\/(mediaserver\/player|controllers\/kubetest)[ _]/ { print substr($1, 1, length($1) - 5) }'
}

packages=$(units)
all=$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./... | grep -c .)
echo "unit tests of $(wc -l <<<"$packages") packages; those of the other $((all - $(wc -l <<<"$packages"))) need more: make test"
# Not quoted, because each word is a package.
go test -short -p 4 -timeout 5m "${exec[@]}" "$@" $packages
