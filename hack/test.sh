#!/usr/bin/env bash
# Runs go test, and ends with a summary that names what failed: in a long log a failure is
# easily scrolled away.
#
#   test.sh FLAGS… -- PACKAGES…
#
# Two packages are tested at a time: most tests wait. Packages whose tests play media come after
# the others, which compute more, and would starve what plays in real time. Packages that need
# Kubernetes come last. Kubernetes is compiled beside the others, which takes minutes the first time.
#
# A test that plays media, or that waits for Kubernetes, may fail because the machine was held
# up. Such a test is repeated once, at the end and alone, and the summary names it.
set -uo pipefail

log=$(mktemp)
assets=$(mktemp)
kube=""
trap 'rm -f "$log" "$assets"; [ -z "$kube" ] || kill -- "-$kube" 2>/dev/null' EXIT
status=0
unbuilt=0 # whether Kubernetes was not built

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

# using FOLDER PACKAGES… prints those of the packages whose tests use the package in FOLDER.
using() {
	local folder=${1//\//\\/}
	shift
	go list -test -f '{{.ImportPath}} {{join .Deps " "}} ' "$@" |
		awk '$1 ~ /\.test$/ && / [^ ]*\/'"$folder"'[ _]/ { print substr($1, 1, length($1) - 5) }'
}

# failures prints each package that failed, with a pattern of its failed tests. There is no
# pattern where more than tests failed: a data race, a panic, the time of the package.
failures() {
	awk '
		/^--- FAIL: /                             { tests = tests (tests ? "|" : "") $3 }
		/^(panic|fatal error): |^WARNING: DATA RACE/ { grave = 1 }
		$1 == "FAIL" && NF > 1                    { print $2, (grave ? "" : tests) }
		$1 == "ok" || $1 == "FAIL" && NF > 1      { tests = ""; grave = 0 }' "$log"
}

# repeat runs the failed tests of real time once more. passed gets the packages where they pass.
# More than five failed tests are not the fault of the machine.
passed=""
repeat() {
	local package tests left=0
	[ "$(failures | tr '|' '\n' | wc -l)" -le 5 ] || return
	while read -r package tests; do
		if [ -n "$tests" ] && grep -qxF "$package" <<<"$real_time"; then
			echo "== repeated: $package $tests"
			if go test -count=1 "${flags[@]}" -run "^($tests)\$" "$package" </dev/null; then
				passed+=" $package"
				continue
			fi
		fi
		left=1
	done < <(failures)
	status=$left
}

# begin_kube compiles Kubernetes. await_kube waits for it, and lets the tests know where it is.
begin_kube() {
	set -m # a process group of its own, which can be ended as one
	hack/idle.sh hack/kube.sh >"$assets" </dev/null &
	kube=$!
	set +m
}
await_kube() {
	local built=0
	wait "$kube" || built=1
	kube=""
	KUBEBUILDER_ASSETS=$(cat "$assets")
	export KUBEBUILDER_ASSETS
	return "$built"
}

# run runs the packages of a list: those that do not play media together, then the others.
run() {
	local together plays
	together=$(grep -vxF "$playing" <<<"$1")
	plays=$(grep -xF "$playing" <<<"$1")
	# Not quoted, because each word is a package.
	[ -z "$together" ] || try go test -p 2 -parallel 4 "${flags[@]}" $together
	[ -z "$plays" ] || try go test -p 2 "${flags[@]}" $plays
}

if packages=$(go list "$@") && playing=$(using mediaserver/mediatest "$@") && on_kube=$(using controllers/kubetest "$@"); then
	real_time=$playing$'\n'$on_kube
	[ -z "$on_kube" ] || begin_kube
	run "$(grep -vxF "$on_kube" <<<"$packages")"
	if [ -n "$on_kube" ]; then
		if await_kube; then
			run "$on_kube"
		else
			echo "the tests that need Kubernetes were not run: it was not built, see above" >&2
			unbuilt=1
		fi
	fi
	[ "$status" = 0 ] || [ -z "$(failures)" ] || repeat
	[ "$unbuilt" = 0 ] || status=1
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

awk -v "repeated=$passed " '
	/^ *--- FAIL: /                    { tests = tests "\n    " $3 }
	/^ *--- SKIP: /                    { skipped++ }
	$1 == "?" || /\[no test files\]/   { untested++ }
	$1 == "ok"                         { passed++; tests = "" }
	$1 == "FAIL" && NF > 1 {
		if (index(repeated, " " $2 " ")) { passed++; again = again "\n  " $2 tests }
		else { failed++; packages = packages "\n  " $2 tests }
		tests = ""
	}
	END {
		printf "\ntest summary: %d packages passed, %d failed, %d without tests", passed, failed, untested
		if (skipped) printf ", %d tests skipped", skipped
		if (again) printf "\nfailed once, and passed when they were repeated alone:%s", again
		if (failed) printf "\nfailed:%s", packages
		print ""
	}' "$log"
exit "$status"
