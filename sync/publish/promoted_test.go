package publish

import (
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestPromoted_ReadsBackWhatItWrote(t *testing.T) {
	commit := strings.Repeat("0123456789", 4)
	all := []Promoted{
		{"ess", "production", commit, 7, false},
		{"ess", "staging", commit, 0, true},
		{"elastic-8.1", "pre_prod", commit, 12, true},
	}
	message := "ess: 3 at production\n\n" + mirror.Trailer + ": 01ABC\n"
	for _, p := range all {
		message += p.Trailer() + "\n"
	}
	if got := ParsePromoted(message); !slices.Equal(got, all) {
		t.Errorf("got %+v, want %+v", got, all)
	}
	for _, forged := range []string{
		" " + all[0].Trailer(), "see " + all[0].Trailer(), PromotionTrailer + ": ess/production main", PromotionTrailer + ": ess/production " + commit + " #7 x",
	} {
		if got := ParsePromoted("words\n\n" + forged + "\n"); len(got) > 0 {
			t.Errorf("%q is read as %+v", forged, got)
		}
	}
}
