#!/usr/bin/env bash
# Builds the version that upgrades begin with, from git history, and prints its folder:
#
#   previous.sh images    both container images (*.tar, with the tag "previous"), and the
#                         chart with its CRD (charts/streampair): for the upgrade tests of
#                         hack/e2e
#   previous.sh decider   the program "decider", which answers the questions of
#                         mediaserver/failover/question_test.go by that version's rules
#
# It does so once, and again only when the version or the way to build it changes. A clone
# without that commit, or sources that are no clone, end it with one line.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. hack/built.sh

# The version is one that was deployed: pods of it and of the present one play a pair
# together while it is upgraded.
commit=897bbf39656eb0ceb2f94429f991e318f6895637
tag=previous

say() { echo "previous.sh: $1" >&2; }

# git refuses folders of other users, which a checkout in a container often is.
history() { git -c safe.directory="$PWD" "$@"; }

require_commit() {
	if ! history rev-parse --git-dir >/dev/null 2>&1; then
		say "the version before is built from git history, and this is no git clone: git clone the repository"
		exit 1
	fi
	if ! history cat-file -e "$commit^{commit}" 2>/dev/null; then
		say "this clone lacks commit ${commit:0:7}, which upgrades are tested from: run git fetch --unshallow"
		exit 1
	fi
}

# sources FOLDER PATHS… writes the version's files of these paths (default: all) there.
sources() {
	mkdir -p "$1"
	history archive "$commit" -- "${@:2}" | tar -x -C "$1"
}

export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -buildvcs=false -trimpath"

build_images() {
	local start=$SECONDS arch source
	require_commit
	arch=$(go env GOARCH)
	source=$(mktemp -d "$1/source.XXXXXX")
	say "building the version before, ${commit:0:7}: about a minute"
	sources "$source"
	(
		cd "$source"
		make .cache/player.built >&2
		go build -ldflags "-s -w -X main.version=$tag" -o "binaries/linux-$arch/" \
			./controllers/cmd/streampair-operator ./mediaserver/cmd/streampair-mediaserver
		go build -C hack/images -o ../../build-images .
		./build-images -platforms "$arch" -version "$tag" -binaries binaries -out images
	) >&2
	mv "$source"/images/*.tar "$source/charts" "$1/"
	rm -rf "$source"
	say "the version before is built, after $((SECONDS - start)) s"
}

build_decider() {
	local source
	require_commit
	source=$(mktemp -d "$1/source.XXXXXX")
	sources "$source" go.mod go.sum api mediaserver
	cp mediaserver/failover/question_test.go "$source/mediaserver/failover/question.go"
	cp mediaserver/failover/testdata/decider/names/names.go "$source/mediaserver/failover/"
	mkdir "$source/mediaserver/cmd/decider"
	cp mediaserver/failover/testdata/decider/main.go "$source/mediaserver/cmd/decider/"
	(cd "$source" && go build -ldflags "-s -w" -o "$1/decider" ./mediaserver/cmd/decider) >&2
	rm -rf "$source"
}

stamp() { { echo "$commit"; cat hack/previous.sh "$@"; go version; } | sha256sum; }

case "${1:-}" in
images)
	name=previous
	built "$name" "$(stamp)" build_images
	;;
decider)
	name=previous-decider
	built "$name" "$(stamp mediaserver/failover/question_test.go mediaserver/failover/testdata/decider/{main,names/names}.go)" build_decider
	;;
*)
	echo "usage: previous.sh images|decider" >&2
	exit 2
	;;
esac
echo "$PWD/.cache/$name"
