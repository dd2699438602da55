package daemon

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/poundlock/poundlock/testenv"
)

// refusing has the forge answer one kind of request with a status, as a forge in trouble does.
func (s *forgeSite) refusing(method, end string, status int) {
	s.forge.Fail(func(r *http.Request) *testenv.Fault {
		if testenv.OfPath(method, end)(r) {
			return &testenv.Fault{Status: status}
		}
		return nil
	})
}

// Whatever request of it is refused, the next turn ends with one open proposal that says the newest, and no litter.
func TestProposals_AForgeInTroubleIsHealedByTheNextTurn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, method, end string
		status            int
		opens             bool // while the first proposal is opened; else while it is superseded
	}{
		{"while it is opened", http.MethodPost, "/pulls", http.StatusBadGateway, true},
		{"without the right to open one", http.MethodPost, "/pulls", http.StatusForbidden, true},
		{"while it is superseded, before the new one", http.MethodPost, "/pulls", http.StatusServiceUnavailable, false},
		{"while it is superseded, at the comment", http.MethodPost, "/comments", http.StatusServiceUnavailable, false},
		{"while it is superseded, at the edit", http.MethodPatch, "/pulls/1", http.StatusServiceUnavailable, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, web, tool := proposingSite(t, "gitea", "")
			ask := PromoteOrder{Set: "tools", Stage: "staging", By: "alice"}
			if !tt.opens {
				s.promotes(PromotedOpened, ask)
				if err := s.forge.Review(1, "bob", "approved"); err != nil {
					t.Fatal(err)
				}
				web = s.moves("next")
			}
			s.refusing(tt.method, tt.end, tt.status)
			if p, err := s.line.Promote(t.Context(), ask); err == nil {
				t.Fatalf("it went well: %+v", p)
			} else if strings.Contains(err.Error(), s.forge.Token("poundlock")) {
				t.Errorf("the token stands in %v", err)
			}
			s.forge.Fail(nil)
			p, err := s.line.Promote(t.Context(), ask)
			if err != nil {
				t.Fatal(err)
			}
			var open []*testenv.ForgeProposal
			for _, one := range s.forge.Proposals() {
				if one.Open {
					open = append(open, one)
				}
			}
			if len(open) != 1 || open[0].Number != p.Proposal {
				t.Fatalf("%d proposals are open: %+v", len(open), p)
			}
			s.lists(s.at(open[0].Head), "staging", web, tool)
			if want := map[bool]string{true: "/all", false: "/all-2"}[tt.opens]; !strings.HasSuffix(open[0].Head, want) {
				t.Errorf("its branch is %s, want one that ends in %s", open[0].Head, want)
			}
		})
	}
}

func TestAutomatic_WithoutAForgeADeletedBranchIsDeclined(t *testing.T) {
	t.Parallel()
	s, web, tool := promoteSite(t, "auto: {staging: propose}\n")
	s.sync()
	if err := s.line.serve(t.Context(), errand{all: true}); err != nil {
		t.Fatal(err)
	}
	const branch = "poundlock/demo/tools/staging/all"
	s.lists(must(s.git.Files(branch))(t), "staging", web, tool)
	if err := s.git.Point(branch, ""); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.line.serve(t.Context(), errand{all: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.git.Files(branch); err == nil {
			t.Fatal("it was pushed again")
		}
	}
	next := s.pushSigned(webImage, "next")
	s.sync()
	s.lists(must(s.git.Files(branch))(t), "staging", next, tool)
}

// The desk may look between a merge and the cycle that reads it: what was merged is not proposed once more.
func TestAutomatic_WhatWasMergedAMomentAgoIsNotProposedAgain(t *testing.T) {
	t.Parallel()
	s, web, tool := proposingSite(t, "gitea", "auto: {staging: propose}\n")
	s.attends()
	if _, err := s.forge.Merge(1, "bob", "merge"); err != nil {
		t.Fatal(err)
	}
	s.attends() // at the head that it knows, which is older
	if n := len(s.forge.Proposals()); n != 1 {
		t.Fatalf("%d proposals", n)
	}
	s.sync()
	s.attends()
	if n := len(s.forge.Proposals()); n != 1 {
		t.Errorf("%d proposals after it was read", n)
	}
	s.lists(s.main(), "staging", web, tool)
	s.moves("next")
	s.attends()
	if n := len(s.forge.Proposals()); n != 2 {
		t.Errorf("%d proposals after something new came", n)
	}
}

// Whoever asks while somebody else merges gets the answer of the head after it.
func TestPromote_DecidesAnewWhereTheBranchMovedMeanwhile(t *testing.T) {
	t.Parallel()
	s, _, _ := proposingSite(t, "gitea", "")
	s.promotes(PromotedOpened, PromoteOrder{Stage: "staging", By: "alice"})
	var once sync.Once
	s.forge.Fail(func(r *http.Request) *testenv.Fault {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/pulls") {
			once.Do(func() {
				if _, err := s.forge.Merge(1, "bob", "merge"); err != nil {
					t.Error(err)
				}
			})
		}
		return nil
	})
	s.promotes(PromotedNothing, PromoteOrder{Stage: "staging", By: "alice"})
	if n := len(s.forge.Proposals()); n != 1 {
		t.Errorf("%d proposals", n)
	}
}
