#!/usr/bin/env bash
# Runs go test, and ends with a summary that names what failed: in a long log a failure is
# easily scrolled away.
#
#   test.sh FLAGS… -- PACKAGES…
#
# Packages whose tests play media run one at a time: they play in real time, and would starve
# each other. All other packages run first, two at a time.
set -uo pipefail

log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0

flags=()
while [ "${1:?no -- before the packages}" != -- ]; do
	flags+=("$1")
	shift
done
shift

# try runs a command, shows and keeps its output, and remembers its failure.
try() {
	"$@" 2>&1 | tee -a "$log"
	[ "${PIPESTATUS[0]}" = 0 ] || status=1
}

# playing prints those of the packages whose tests play media: they use mediatest.
playing() {
	go list -test -f '{{.ImportPath}} {{join .Deps " "}}' "$@" |
		awk '$1 ~ /\.test$/ && / [^ ]*\/mediaserver\/mediatest( |$)/ { print substr($1, 1, length($1) - 5) }'
}

if packages=$(go list "$@") && one_by_one=$(playing "$@"); then
	together=$(grep -vxF "$one_by_one" <<<"$packages")
	# Not quoted, because each word is a package.
	[ -z "$together" ] || try go test -p 2 "${flags[@]}" $together
	[ -z "$one_by_one" ] || try go test -p 1 "${flags[@]}" $one_by_one
else
	try go test -p 1 "${flags[@]}" "$@" # which says what is wrong with them
	status=1
fi

# Modules of their own, when everything is tested. They start no goroutines of ours, so
# they go without the race detector, which would compile Helm and Kubernetes once more.
# A kept result of theirs is not used again: they read charts and run programs outside of
# their modules, and go test does not notice a change there.
if [ "$*" = ./... ]; then
	plain=()
	for flag in "${flags[@]}"; do
		[ "$flag" = -race ] || plain+=("$flag")
	done
	for module in hack/charttest hack/images hack/oldestkube; do
		try env CGO_ENABLED=0 go test -C "$module" -trimpath -count=1 "${plain[@]}" ./...
	done
fi

awk '
	$1 == "ok"                         { passed++ }
	$1 == "FAIL" && NF > 1             { failed++; packages = packages "\n  " $2 }
	$1 == "?" || /\[no test files\]/   { untested++ }
	/^ *--- FAIL: /                    { tests = tests "\n    " $3 }
	/^ *--- SKIP: /                    { skipped++ }
	END {
		printf "\ntest summary: %d packages passed, %d failed, %d without tests", passed, failed, untested
		if (skipped) printf ", %d tests skipped", skipped
		if (failed) printf "\nfailed packages:%s", packages
		if (tests) printf "\nfailed tests:%s", tests
		print ""
	}' "$log"
exit "$status"
