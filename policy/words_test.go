package policy

import "testing"

func TestWords_ReadAsSentences(t *testing.T) {
	of := []string{"alice", "bob", "carol"}
	for got, want := range map[string]string{
		howMany(1, "attestation", of[:1]):            "an attestation of alice",
		howMany(1, "signature", of[:1]):              "a signature of alice",
		howMany(1, "signature", of[:2]):              "a signature of one of alice, bob",
		howMany(2, "attestation", of):                "attestations of 2 of alice, bob, carol",
		lacking(1, nil, of[:1]):                      "alice is missing",
		lacking(1, nil, of):                          "1 of alice, bob, carol is missing",
		lacking(2, nil, of[:2]):                      "alice, bob are missing",
		lacking(1, of[2:], of):                       "1 more of alice, bob is missing",
		lacking(2, of[2:], of):                       "alice, bob are missing",
		lacking(2, of[3:], of):                       "2 of alice, bob, carol are missing",
		lacking(2, []string{"dev"}, []string{"dev"}): "2 more of dev are missing",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
