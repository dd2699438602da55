package mirror

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// says is a verifier that always says the same.
type says struct {
	verdict Verdict
	err     error
}

func (s says) Verify(context.Context, Action, Content) (Verdict, error) { return s.verdict, s.err }

func TestVerify_OnlyAnAdmittingVerdictOnADigestMakesAVerified(t *testing.T) {
	d := DigestOf([]byte("x"))
	whole := Action{Kind: Copy, New: d, Image: Reference{Host: "h.example", Repository: "r", Digest: d}}
	open, other := whole, whole
	open.New, open.Image.Digest = Digest{}, Digest{}
	other.New = DigestOf([]byte("y"))
	broken := errors.New("no route")
	tests := []struct {
		name     string
		verifier Verifier
		action   Action
		want     error // nil: admitted
	}{
		{"signed", says{verdict: Verdict{Outcome: OutcomeSigned}}, whole, nil},
		{"pinned", says{verdict: Verdict{Outcome: OutcomePinned}}, whole, nil},
		{"exception", says{verdict: Verdict{Outcome: OutcomeException}}, whole, nil},
		{"warn", says{verdict: Verdict{Outcome: OutcomeWarn}}, whole, nil},
		{"no verifier", nil, whole, ErrRefused},
		{"zero verdict", says{}, whole, ErrRefused},
		{"rejected", says{verdict: Verdict{Outcome: OutcomeRejected}}, whole, ErrRefused},
		{"unknown", says{verdict: Verdict{Outcome: OutcomeUnknown}}, whole, ErrRefused},
		{"a word nobody knows", says{verdict: Verdict{Outcome: "Signed"}}, whole, ErrRefused},
		{"admitted and an error", says{verdict: Verdict{Outcome: OutcomeSigned}, err: broken}, whole, broken},
		{"no digest", says{verdict: Verdict{Outcome: OutcomeSigned}}, open, ErrRefused},
		{"another digest", says{verdict: Verdict{Outcome: OutcomeSigned}}, other, ErrRefused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, _, err := Verify(t.Context(), tt.verifier, tt.action, nil)
			if !errors.Is(err, tt.want) || v.Admits() != (tt.want == nil) {
				t.Errorf("got %v, admits %v, want %v", err, v.Admits(), tt.want)
			}
			if tt.want == nil && !reflect.DeepEqual(v.Action(), tt.action) {
				t.Errorf("got %+v", v.Action())
			}
		})
	}
	if (Verified{}).Admits() {
		t.Error("a zero value admits")
	}
}

func TestParts_ReadsManifestsAndRefusesWhatNamesNoContent(t *testing.T) {
	d := DigestOf([]byte("x")).String()
	layer := `{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"` + d + `","size":3}`
	m := NewManifest("application/vnd.oci.image.manifest.v1+json", []byte(`{"schemaVersion":2,"config":`+layer+`,"layers":[`+layer+`,`+layer+`]}`))
	parts, err := m.Parts()
	if err != nil || len(parts.Blobs()) != 1 || len(parts.Layers) != 2 || parts.MediaType != "application/vnd.oci.image.manifest.v1+json" {
		t.Errorf("got %+v, %v", parts, err)
	}
	for name, body := range map[string]string{
		"schema 1":      `{"schemaVersion":1}`,
		"no JSON":       `<html>`,
		"sha512":        `{"schemaVersion":2,"layers":[` + strings.ReplaceAll(layer, "sha256:", "sha512:") + `]}`,
		"no digest":     `{"schemaVersion":2,"manifests":[{"mediaType":"x","size":3}]}`,
		"negative size": `{"schemaVersion":2,"layers":[` + strings.ReplaceAll(layer, ":3}", ":-3}") + `]}`,
	} {
		if parts, err := NewManifest("", []byte(body)).Parts(); err == nil {
			t.Errorf("%s: got %+v", name, parts)
		}
	}
}
