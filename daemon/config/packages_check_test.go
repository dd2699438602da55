package config

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestLoad_ChecksHowPackagesAreFetched(t *testing.T) {
	for name, tt := range map[string]struct {
		packages string
		want     []string // codes and paths
	}{
		"nothing":         {packages: ""},
		"whole":           {packages: "spoolLimit: 8192, atOnce: 8, drop: {team: /srv/drop, other.2: /srv/other}"},
		"no room":         {packages: "spoolLimit: 0", want: []string{"CFG145 packages.spoolLimit"}},
		"far too much":    {packages: "spoolLimit: 100000000", want: []string{"CFG145 packages.spoolLimit"}},
		"nobody fetches":  {packages: "atOnce: 0", want: []string{"CFG145 packages.atOnce"}},
		"too many":        {packages: "atOnce: 100", want: []string{"CFG145 packages.atOnce"}},
		"no name":         {packages: "drop: {a/b: /srv/drop}", want: []string{"CFG146 packages.drop.a/b"}},
		"no whole path":   {packages: "drop: {team: drop}", want: []string{"CFG146 packages.drop.team"}},
		"the whole disk":  {packages: "drop: {team: /}", want: []string{"CFG146 packages.drop.team"}},
		"one folder, two": {packages: "drop: {a: /srv/drop, b: /srv/drop/}", want: []string{"CFG146 packages.drop.b"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loaded(t, minimal+"packages: {"+tt.packages+"}\n", nil, nil)
			var problems mirror.Problems
			errors.As(err, &problems)
			var got []string
			for _, p := range problems {
				got = append(got, p.Code+" "+p.Path)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v: %v", got, tt.want, err)
			}
		})
	}
}

func TestLoad_ADropFolderIsNotTheState(t *testing.T) {
	for dir, want := range map[string]bool{"/var/lib/poundlock": true, "/var/lib/poundlock/spool": true, "/var/lib": true, "/var/lib/poundlock-drop": false} {
		_, err := loaded(t, strings.Replace(minimal, "stateDir: state", "stateDir: /var/lib/poundlock", 1)+"packages: {drop: {team: "+dir+"}}\n", nil, nil)
		var problems mirror.Problems
		errors.As(err, &problems)
		if got := len(problems) == 1 && problems[0].Code == "CFG147"; got != want || !want && err != nil {
			t.Errorf("%s: %v", dir, err)
		}
	}
}
