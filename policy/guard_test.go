package policy

import (
	"strings"
	"testing"
)

func TestLimits_AreWhatTheDocumentationSays(t *testing.T) {
	if maxPayload != 64<<10 || maxBundle != 1<<20 || maxManifest != 4<<20 || maxSignatures != 50 || maxReferrers != 50 || maxTime.Seconds() != 30 {
		t.Error("a limit changed: change docs and this test together")
	}
	if bundleType != "application/vnd.dev.sigstore.bundle.v0.3+json" || payloadType != "application/vnd.dev.cosign.simplesigning.v1+json" {
		t.Error("a media type changed")
	}
}

func TestPrintable_MakesRegistryTextSafe(t *testing.T) {
	got := printable("a\x1b[31m\nb\u202e" + strings.Repeat("x", 1000))
	if strings.ContainsAny(got, "\x1b\n\u202e") || len([]rune(got)) > shownRunes+1 {
		t.Errorf("got %q", got)
	}
}
