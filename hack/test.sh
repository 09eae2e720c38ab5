#!/usr/bin/env bash
# Runs go test with the given arguments, and ends with a summary that names what failed:
# in a long log a failure is easily scrolled away.
set -uo pipefail

log=$(mktemp)
trap 'rm -f "$log"' EXIT

go test "$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}

# Modules of their own, when everything is tested. They start no goroutines of ours, so
# they go without the race detector, which would compile Helm and Kubernetes once more.
if [ "${*: -1}" = ./... ]; then
	arguments=()
	for argument; do
		[ "$argument" = -race ] || arguments+=("$argument")
	done
	for module in hack/charttest hack/images; do
		(cd "$module" && CGO_ENABLED=0 go test -trimpath "${arguments[@]}") 2>&1 | tee -a "$log"
		[ "${PIPESTATUS[0]}" = 0 ] || status=1
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
