#!/bin/sh
# Makes policy/testdata/cosign anew: tiny images, signed by the cosign commands of version 2 and 3 in every form that
# these commands write, with keys that are thrown away afterwards (only their public halves are kept) and keyless, by
# servers that are thrown away too (only their trusted_root.json is kept).
#
# interop.sh builds the commands first (slow: minutes of CPU). What comes out differs in each run, since keys and
# signatures are random.
set -eu
cd "$(dirname "$0")/.."

tools=$(testenv/interop.sh tools)
go test ./policy/ -count=1 -run '^TestFixture_MakeAnew$' -args -tools "$tools" -anew
go test ./policy/ -count=1 -run '^TestFixture_'
