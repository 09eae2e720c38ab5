#!/usr/bin/env bash
# Makes sure that the programs are there which a make target needs: build, demo, test,
# bench, cluster or e2e.
# As root with apt-get it installs what is missing; otherwise it ends with one line that
# says what to install. Go and Node are never installed: which version is a choice.
set -euo pipefail

purpose=${1:?usage: deps.sh build|demo|test|bench|cluster|e2e}

have() { command -v "$1" >/dev/null 2>&1; }

stop() {
	echo "make $purpose: $1" >&2
	exit 1
}

have go || stop "install Go 1.26 or later (https://go.dev/dl)"
have node && have npm || stop "install Node.js 20 or later with npm (https://nodejs.org)"
node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' ||
	stop "Node.js $(node --version) is too old; install 20 or later (https://nodejs.org)"

missing=()
if [ "$purpose" != build ] && [ "$purpose" != cluster ]; then
	have ffmpeg || missing+=(ffmpeg)
	# The font of the text that demo and tests burn into their pictures.
	[ -e /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf ] || missing+=(fonts-dejavu-core)
fi
if [ "$purpose" = test ] || [ "$purpose" = bench ] || [ "$purpose" = e2e ]; then
	have chromium || have chromium-browser || have google-chrome || missing+=(chromium)
fi
if [ "$purpose" = test ]; then
	# The race detector links with C.
	have "${CC:-gcc}" || missing+=(gcc libc6-dev)
	# For the tests with network namespaces, which root alone can make.
	if [ "$(uname)" = Linux ] && [ "$(id -u)" = 0 ]; then
		have ip || missing+=(iproute2)
		have nft || missing+=(nftables)
	fi
fi
if [ "$purpose" = cluster ]; then
	have ip || missing+=(iproute2)
	have nft || missing+=(nftables)
	# runc is built here, with C.
	have "${CC:-gcc}" || missing+=(gcc libc6-dev)
	have pkg-config || missing+=(pkg-config)
	if ! have pkg-config || ! pkg-config --exists libseccomp; then missing+=(libseccomp-dev); fi
fi
[ "${#missing[@]}" -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ] || ! have apt-get; then
	stop "install ${missing[*]} (Debian: sudo apt-get install ${missing[*]})"
fi
echo "make $purpose: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || stop "apt-get update failed; install ${missing[*]} by hand"
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
	stop "apt-get could not install ${missing[*]}; install them by hand"
