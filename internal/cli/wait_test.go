package cli

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/daemon/config"
)

// scripted is a line of which each look at the heads is given; the last one stays.
type scripted struct {
	heads []string // "away" fails, "wrong" fails for good
	waits int      // reads of the history that find the promotion waiting
	looks int
	reads int
}

func (s *scripted) Heads(context.Context) (string, error) {
	head := s.heads[min(s.looks, len(s.heads)-1)]
	s.looks++
	switch head {
	case "away":
		return "", errors.New("connection refused")
	case "wrong":
		return "", config.ErrConfiguration
	}
	return head, nil
}

func (s *scripted) Promotions(context.Context, int) ([]daemon.Promotion, error) {
	s.reads++
	p := daemon.Promotion{ID: "7", Proposal: 7, State: daemon.PromotionApplied}
	if s.reads <= s.waits {
		p.State = daemon.PromotionWaiting
	}
	return []daemon.Promotion{{ID: "8", Proposal: 8, State: daemon.PromotionWaiting}, p}, nil
}

func TestWait_GoesOnWhileGitIsAwayAndReadsOnlyWhatMoved(t *testing.T) {
	for _, tt := range []struct {
		name         string
		line         scripted
		state        daemon.PromotionState
		fails        bool
		looks, reads int
	}{
		{"it stands", scripted{heads: []string{"a"}}, daemon.PromotionApplied, false, 1, 1},
		{"Git is away at first", scripted{heads: []string{"away", "away", "a"}}, daemon.PromotionApplied, false, 3, 1},
		{"Git is away in between", scripted{heads: []string{"a", "away", "b"}, waits: 1}, daemon.PromotionApplied, false, 3, 2},
		{"nothing moves for a while", scripted{heads: []string{"a", "a", "a", "a", "b"}, waits: 1}, daemon.PromotionApplied, false, 5, 2},
		{"nothing ever moves", scripted{heads: []string{"a"}, waits: 100}, daemon.PromotionWaiting, false, 31, 1},
		{"Git stays away", scripted{heads: []string{"a", "away"}, waits: 100}, daemon.PromotionWaiting, true, 31, 1},
		{"the configuration is wrong", scripted{heads: []string{"wrong"}}, "", true, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Second)
				defer cancel()
				found, err := awaitPromotion(ctx, &tt.line, "7")
				state := daemon.PromotionState("")
				if len(found) == 1 {
					state = found[0].State
				}
				if state != tt.state || (err != nil) != tt.fails || errors.Is(err, context.DeadlineExceeded) || tt.line.looks != tt.looks || tt.line.reads != tt.reads {
					t.Errorf("got %v, %v after %d looks and %d reads; want %q, error: %t, after %d and %d", found, err, tt.line.looks, tt.line.reads, tt.state, tt.fails, tt.looks, tt.reads)
				}
			})
		})
	}
}

func TestWait_AnInterruptionIsNoAnswer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := awaitPromotion(ctx, &scripted{heads: []string{"a"}, waits: 100}, "7"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
