package config

import (
	"slices"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestCheck_FoldersForPackagesAreApart(t *testing.T) {
	tests := []struct {
		name string
		all  []Export
		want []string
	}{
		{"none", nil, nil},
		{"two", []Export{{Set: "a", Dir: "/srv/a"}, {Set: "b", Dir: "/srv/b"}}, nil},
		{"no whole path", []Export{{Set: "a", Dir: "srv"}}, []string{"CFG150"}},
		{"the root", []Export{{Set: "a", Dir: "/"}}, []string{"CFG150"}},
		{"in the state", []Export{{Set: "a", Dir: "/var/lib/poundlock/x/.."}}, []string{"CFG150"}},
		{"around the state", []Export{{Set: "a", Dir: "/var/lib"}}, []string{"CFG150"}},
		{"twice", []Export{{Set: "a", Dir: "/srv/a"}, {Set: "b", Dir: "/srv/a/b"}}, []string{"CFG151"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := &checker{where: func(...string) mirror.Position { return mirror.Position{} }}
			k.packagesExport(tt.all, "/var/lib/poundlock")
			var got []string
			for _, p := range k.ps {
				got = append(got, p.Code)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
