#!/bin/sh
# Holds Poundlock against the real things: the cosign commands of version 2 and 3 sign in all their forms, keyless ones
# by Fulcio, Rekor v2 and the timestamp authority; then every server is killed, and policy judges what is left. What our
# site key signs is verified by the same commands, and the sops command opens what we encrypt. Elastic's package registry
# serves the same packages as we do, and both are asked the same. Where a real Gitea is built (testenv/gitea.sh), the
# forge and a promotion from the proposal to the check on its merge are held against that, too.
#
#   testenv/interop.sh            build what lacks, then run the test
#   testenv/interop.sh tools      only build what lacks, and print the folder
#   testenv/interop.sh have       only say whether all is built (exit code 0) or not (1)
#
# The commands lie in $POUNDLOCK_TOOLS, or else in the user's cache. Building them needs the module proxy, 2 GB of
# memory, 1.5 GB of disk and about 7 minutes of CPU, once; the test takes less than a minute and no network but loopback.
set -eu
cd "$(dirname "$0")/.."

tools=${POUNDLOCK_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/poundlock/interop}

each() { # each FUNCTION: calls it with name, module, version and the package inside the module
	"$1" cosign2 github.com/sigstore/cosign/v2 v2.6.5 /cmd/cosign
	"$1" cosign3 github.com/sigstore/cosign/v3 v3.1.3 /cmd/cosign
	"$1" fulcio github.com/sigstore/fulcio v1.8.8 ''
	"$1" rekor-server github.com/sigstore/rekor-tiles/v2 v2.3.0 /cmd/rekor-server/posix
	"$1" timestamp-server github.com/sigstore/timestamp-authority/v2 v2.1.3 /cmd/timestamp-server
	"$1" sops github.com/getsops/sops/v3 v3.13.3 /cmd/sops
	"$1" package-registry github.com/elastic/package-registry v1.39.0 ''
}

have() { # have NAME MODULE VERSION ...
	[ -x "$tools/$1" ] && go version -m "$tools/$1" | grep -qE "^	(mod|dep)	$2	$3"
}

lacks() {
	have "$@" || lacking="$lacking $1"
}

build() {
	have "$@" && return
	echo "building $1 $3" >&2
	new=$(mktemp -d "$tools/new.XXXXXX")
	# A proxy that has a module may lack the list of its versions, which only "install" asks for.
	CGO_ENABLED=0 GOBIN="$new" go install "$2$4@$3" || (
		cd "$new" && go mod init tools 2>/dev/null && go get "$2@$3" && CGO_ENABLED=0 go build -mod=mod -o . "$2$4" && rm go.mod go.sum
	)
	mv "$new"/* "$tools/$1" # a build that breaks off leaves no half command
	rmdir "$new"
}

case "${1:-}" in
have)
	lacking=
	each lacks
	[ -z "$lacking" ] || { echo "not built in $tools:$lacking" >&2; exit 1; }
	;;
tools)
	mkdir -p "$tools"
	each build
	echo "$tools"
	;;
'')
	testenv/interop.sh tools >/dev/null
	go test ./policy/ ./daemon/ ./internal/sops/ -count=1 -v -run '^TestInterop_' -args -tools "$tools"
	POUNDLOCK_TOOLS=$tools go test ./internal/epr/ ./testenv/ ./daemon/ -count=1 -v -run 'TestPackageRegistry_|TestHandler_AnswersAsElasticsRegistry|TestExport_KeepsFolders'
	if testenv/gitea.sh have 2>/dev/null; then
		POUNDLOCK_GITEA=$(testenv/gitea.sh) go test ./testenv/ ./internal/forge/ ./internal/cli/ -count=1 -v -run 'TestGitea_|TestForge_/real'
	else
		echo "left out: the tests against a real Gitea, which testenv/gitea.sh builds in 11 minutes" >&2
	fi
	;;
*)
	echo "usage: $0 [tools | have]" >&2
	exit 2
	;;
esac
