#!/usr/bin/env bash
# Builds everything that a release publishes into bin/release: the images, the chart, the kubectl
# plugin for each system, the definition of StreamPair, the npm package of the custom element, a bill of
# materials (CycloneDX) of each program, and the checksums. It publishes nothing.
#
#   release.sh VERSION
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=${1:?usage: release.sh VERSION}
if ! [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]]; then
	echo "release: $version is no version such as 1.2.3" >&2
	exit 1
fi
out=bin/release
rm -rf "$out"
mkdir -p "$out"
# The same commit gives the same archives.
export SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)

# archive NAME FOLDER: the folder's files as NAME.tar.gz, with times and owners that do not change.
archive() {
	tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -C "$2" -c . |
		gzip -n >"$out/$1.tar.gz"
}

make images VERSION="$version"
cp bin/images/streampair-operator.tar bin/images/streampair-mediaserver.tar "$out/"
if [[ -f bin/images/streampair-mediaserver-ffmpeg.tar ]]; then
	cp bin/images/streampair-mediaserver-ffmpeg.tar "$out/"
else
	echo "the release is without the image with ffmpeg: make it on Debian, whose packages it is made of" >&2
fi

go run -C hack/charttest ./pack -chart ../../charts/streampair -out "../../$out" -version "$version"
cp config/crd/bases/media.streampair.dev_streampairs.yaml "$out/"

make player-package VERSION="$version"
cp bin/streampair-player-*.tgz "$out/"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for target in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64; do
	folder="$work/${target/\//-}"
	mkdir -p "$folder"
	CGO_ENABLED=0 GOOS=${target%/*} GOARCH=${target#*/} go build -buildvcs=false -trimpath \
		-ldflags "-s -w -X main.version=$version" -o "$folder/" ./controllers/cmd/kubectl-streampair
	cp LICENSE NOTICE "$folder/"
	archive "kubectl-streampair-$version-${target/\//-}" "$folder"
done

bill() { go tool -modfile=hack/release/go.mod cyclonedx-gomod bin -json -noserial -version "$version" -output "$out/$1.cdx.json" "$2"; }
bill streampair-operator bin/images/linux-amd64/streampair-operator
bill streampair-mediaserver bin/images/linux-amd64/streampair-mediaserver
bill kubectl-streampair "$work/linux-amd64/kubectl-streampair"

(cd "$out" && sha256sum -- * >SHA256SUMS)
ls -l "$out"
