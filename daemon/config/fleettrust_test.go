package config

import (
	"errors"
	"slices"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// A section that is there and empty would switch signatures off without a word.
func TestFleetTrust_WhatIsThereAndEmptyIsRefused(t *testing.T) {
	const head = "version: 1\nsite: demo\ngit: {url: https://git.example/fleet.git}\nregistries: {local: {host: localhost:5000}}\n"
	for _, tt := range []struct {
		name, text string
		environ    []string
		want       []string // keys
	}{
		{"left out", "", nil, nil},
		{"other parts of trust", "trust: {rejudging: 5}\n", nil, nil},
		{"full", "trust: {fleet: {allowedSigners: /a}}\n", nil, nil},
		{"empty", "trust: {fleet: {}}\n", nil, []string{"trust.fleet"}},
		{"nothing behind it", "trust:\n  fleet:\n", nil, []string{"trust.fleet"}},
		{"an empty name", "trust: {fleet: {allowedSigners: \"\"}}\n", nil, []string{"trust.fleet", "trust.fleet.allowedSigners"}},
		{"nothing behind the key", "trust:\n  fleet:\n    keyring:\n", nil, []string{"trust.fleet.keyring"}},
		{"an empty one beside a full one", "trust: {fleet: {allowedSigners: /a, keyring: \"\", since: \"\"}}\n", nil, []string{"trust.fleet.keyring", "trust.fleet.since"}},
		{"an empty forge", "trust: {fleet: {allowedSigners: /a, forge: {}}}\n", nil, []string{"trust.fleet.forge"}},
		{"an empty forge key", "trust: {fleet: {allowedSigners: /a, forge: {keyring: \"\"}}}\n", nil, []string{"trust.fleet.forge", "trust.fleet.forge.keyring"}},
		{"taken out by the environment", "trust: {fleet: {allowedSigners: /a}}\n", []string{"POUNDLOCK_TRUST__FLEET__ALLOWEDSIGNERS="}, []string{"trust.fleet", "trust.fleet.allowedSigners"}},
		{"filled by the environment", "trust: {fleet: {allowedSigners: \"\"}}\n", []string{"POUNDLOCK_TRUST__FLEET__ALLOWEDSIGNERS=/a"}, nil},
	} {
		_, err := loaded(t, head+tt.text, tt.environ, nil)
		var ps mirror.Problems
		if err != nil && !errors.As(err, &ps) {
			t.Fatal(err)
		}
		var got []string
		for _, p := range ps {
			if got = append(got, p.Path); p.Code != "CFG065" && p.Code != "DOC004" { // which is that of nothing at all behind a key
				t.Errorf("%s: %v", tt.name, p)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
