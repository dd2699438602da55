#!/bin/sh
# Builds a real Gitea for tests of the forge, into the user's cache, and says where it lies.
#
#   testenv/gitea.sh         build it where it lacks, and print the command
#   testenv/gitea.sh have    only say whether it is built (exit code 0) or not (1)
#
# It lies in $POUNDLOCK_TOOLS, or else in the user's cache, with its templates beside it. The build needs cgo, the module
# proxy and up to 11 minutes, once. Gitea is a tool dependency of a module of its own: nothing of it is in ours.
set -eu

tools=${POUNDLOCK_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/poundlock/interop}
version=v1.26.0

have() {
	[ -d "$tools/gitea-static/templates" ] && [ -x "$tools/gitea" ] && go version -m "$tools/gitea" | grep -q "^	mod	code.gitea.io/gitea	$version"
}

case "${1:-}" in
have)
	have || { echo "gitea $version is not built in $tools" >&2; exit 1; }
	;;
'')
	if ! have; then
		echo "building gitea $version" >&2
		mkdir -p "$tools"
		new=$(mktemp -d "$tools/new.XXXXXX")
		cd "$new"
		# The replacements are those of Gitea's own go.mod, which do not reach us by themselves.
		cat > go.mod <<-'X'
			module gitea

			go 1.26.2

			replace github.com/jaytaylor/html2text => github.com/Necoro/html2text v0.0.0-20250804200300-7bf1ce1c7347
			replace github.com/nektos/act => gitea.com/gitea/act v0.261.10
			replace github.com/urfave/cli/v3 => github.com/urfave/cli/v3 v3.4.1
			replace go.yaml.in/yaml/v4 => go.yaml.in/yaml/v4 v4.0.0-rc.3
		X
		go get -tool "code.gitea.io/gitea@$version"
		CGO_ENABLED=1 go build -tags 'sqlite sqlite_unlock_notify' -ldflags "-s -w -X main.Version=${version#v}" -o gitea code.gitea.io/gitea
		source=$(go list -m -f '{{.Dir}}' code.gitea.io/gitea)
		mkdir static
		cp -R "$source/templates" "$source/options" "$source/public" static/
		chmod -R u+w static
		rm -rf "$tools/gitea-static"
		mv static "$tools/gitea-static"
		mv gitea "$tools/gitea" # last: a build that breaks off leaves no half Gitea
		cd "$tools"
		chmod -R u+w "$new"
		rm -rf "$new"
	fi
	echo "$tools/gitea"
	;;
*)
	echo "usage: $0 [have]" >&2
	exit 2
	;;
esac
