package policy

import (
	"strings"
	"testing"
	"time"
)

func TestLimits_AreWhatTheDocumentationSays(t *testing.T) {
	want := Limits{Manifest: 4 << 20, Payload: 64 << 10, Bundle: 1 << 20, Attestation: 16 << 20, Signatures: 50, Referrers: 50, Time: 30 * time.Second}
	if got := (Limits{}).withDefaults(); got != want {
		t.Errorf("got %+v, want %+v: change docs and this test together", got, want)
	}
	mine := Limits{Manifest: 1, Payload: 2, Bundle: 3, Attestation: 4, Signatures: 5, Referrers: 6, Time: 7}
	if got := mine.withDefaults(); got != mine {
		t.Errorf("got %+v, want what was asked for", got)
	}
	if got := (Limits{Manifest: 1 << 40}).withDefaults(); got != want {
		t.Errorf("got %+v: a manifest above what is read at all", got)
	}
}

func TestPrintable_MakesRegistryTextSafe(t *testing.T) {
	got := printable("a\x1b[31m\nb\u202e" + strings.Repeat("x", 1000))
	if strings.ContainsAny(got, "\x1b\n\u202e") || len([]rune(got)) > shownRunes+1 {
		t.Errorf("got %q", got)
	}
}
