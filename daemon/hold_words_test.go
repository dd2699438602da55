package daemon

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Time alone opens nothing while somebody else keeps a gate closed: then no moment is told.
func TestWaits_TellNoMomentWhileOthersAreAsked(t *testing.T) {
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	soak := mirror.Gate{Name: "soak", Code: mirror.Soaking, Why: "soaks", Until: at.Add(time.Hour)}
	for _, tt := range []struct {
		name  string
		gates []mirror.Gate
		want  time.Time
	}{
		{"time alone", []mirror.Gate{soak}, at.Add(2 * time.Hour)},
		{"approvals, too", []mirror.Gate{soak, {Name: "approvals", Code: mirror.NotApproved, Why: "0 of 2"}}, time.Time{}},
		{"approvals are there", []mirror.Gate{soak, {Name: "approvals", Open: true, Why: "2 of 2"}}, at.Add(2 * time.Hour)},
	} {
		a := mirror.Action{Kind: mirror.Refuse, Stage: "production", Reason: mirror.Because(mirror.Soaking, "waits"), Gates: tt.gates, Until: at.Add(2 * time.Hour)}
		if got := waits(mirror.Plan{Actions: []mirror.Action{a}}, nil, at); len(got) != 1 || !got[0].Until.Equal(tt.want) {
			t.Errorf("%s: got %+v, want until %s", tt.name, got, tt.want)
		}
	}
}

// The command that lets a hold go can be typed as it is.
func TestHold_NamesTheWholeCommand(t *testing.T) {
	for _, tt := range []struct {
		place mirror.Place
		want  string
	}{
		{mirror.Place{Set: "ess", Stage: "production"}, "poundlock release ess --stage production"},
		{mirror.Place{Set: "list", Stage: "staging", Entry: "quay.io/x/y:1.0"}, "poundlock release list quay.io/x/y:1.0 --stage staging"},
		{mirror.Place{Set: "ess", Stage: "staging", Entry: "it's $HOME"}, `poundlock release ess 'it'\''s $HOME' --stage staging`},
	} {
		if got := releasing(tt.place); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

// A line of the file of holds that is odd holds all the same, and is warned of once.
func TestHold_OddLinesAreWarnedOfOnce(t *testing.T) {
	t.Parallel()
	s, _, _ := promoteSite(t, "")
	s.commit("odd holds", map[string]string{"rendered/demo/holds.yaml": "version: 1\nholds:\n  tools/staging: {reason: x, colour: red}\n  gone/staging: {reason: x}\n  tools/nowhere: {reason: x}\n"})
	s.sync()
	s.open()
	f := must(s.line.refresh(t.Context()))(t)
	var log bytes.Buffer
	s.line.log = slog.New(slog.NewTextHandler(&log, nil))
	s.line.oddHolds.Store(nil)
	for range 2 {
		if held, err := s.line.holds(f); err != nil || len(held) != 3 {
			t.Fatalf("held %v, %v", held, err)
		}
	}
	for _, want := range []string{"colour", "there is no set gone", "stage nowhere of this set"} {
		if n := strings.Count(log.String(), want); n != 1 {
			t.Errorf("%q is told %d times:\n%s", want, n, log.String())
		}
	}
}
