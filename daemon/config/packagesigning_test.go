package config

import (
	"errors"
	"slices"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestLoad_ChecksTheKeyForPackages(t *testing.T) {
	for name, tt := range map[string]struct {
		signing string
		want    []string // codes and paths
	}{
		"nothing":               {signing: ""},
		"whole":                 {signing: "key: {file: /run/k}, passphrase: {env: PASSPHRASE}"},
		"without a passphrase":  {signing: "key: {file: /run/k}"},
		"passphrase alone":      {signing: "passphrase: {file: /run/p}", want: []string{"CFG130 packages.signing.passphrase"}},
		"passphrase in clear":   {signing: "key: {file: /run/k}, passphrase: hunter2", want: []string{"DOC012 packages.signing.passphrase"}},
		"key at several places": {signing: "key: {file: /run/k, env: KEY}", want: []string{"CFG019 packages.signing.key"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loaded(t, minimal+"packages: {signing: {"+tt.signing+"}}\n", nil, nil)
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
