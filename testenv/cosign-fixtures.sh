#!/bin/sh
# Makes policy/testdata/cosign anew: tiny images, signed by the cosign commands of version 2 and 3 with keys
# that are thrown away afterwards (only their public halves are kept), in every form these commands write.
#
#   testenv/cosign-fixtures.sh                  build both commands first (slow: minutes of CPU, 2 GB of memory)
#   COSIGN2=... COSIGN3=... testenv/cosign-fixtures.sh   use commands that are there
#
# Building needs the module proxy; signing needs no network: no transparency log, no timestamp, no signing
# configuration is asked. What comes out differs in each run, since keys and signatures are random.
set -eu
cd "$(dirname "$0")/.."

COSIGN2_VERSION=v2.6.5
COSIGN3_VERSION=v3.1.3

built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT

if [ -z "${COSIGN2:-}" ]; then
	GOBIN="$built/v2" go install "github.com/sigstore/cosign/v2/cmd/cosign@$COSIGN2_VERSION"
	COSIGN2="$built/v2/cosign"
fi
if [ -z "${COSIGN3:-}" ]; then
	GOBIN="$built/v3" go install "github.com/sigstore/cosign/v3/cmd/cosign@$COSIGN3_VERSION"
	COSIGN3="$built/v3/cosign"
fi

go test ./policy/ -count=1 -run '^TestFixture_MakeAnew$' -cosign2 "$COSIGN2" -cosign3 "$COSIGN3"
go test ./policy/ -count=1 -run '^TestFixture_'
