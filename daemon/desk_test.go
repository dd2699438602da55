package daemon

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// gated is the policy of the vendor with gates before staging.
func gated(gates string) string {
	return vendorPolicy + "gates: [{stages: [staging], " + gates + "}]\n"
}

func TestDesk_AProposalShowsWhatItsGatesMiss(t *testing.T) {
	t.Parallel()
	s, web, tool := reviewSite(t)
	s.forge.AddUser("bob", false)
	s.commit("gates", map[string]string{"desired/policy.yaml": gated("approvals: {count: 1}, soak: 24h")})
	s.sync()
	n, head := s.proposes("rise", map[string]string{"stages/tools/staging.yaml": stageOf(web, tool)})
	s.attends()
	s.is(head, checkPlan, "success", "to copy")
	s.is(head, checkPolicy, "pending", "approvals")
	text := s.told(n)
	for _, want := range []string{"✘ **approvals** closed", "✘ **soak** closed", "until 2026-11-22T09:00:00Z", "✔ **previous** open", "signed by vendor"} {
		if !strings.Contains(text, want) {
			t.Errorf("the comment lacks %q:\n%s", want, text)
		}
	}
	if err := s.forge.Review(n, "bob", "approved"); err != nil {
		t.Fatal(err)
	}
	s.attends()
	s.is(head, checkPolicy, "success", "after the merge it waits for soak")
	if text := s.told(n); !strings.Contains(text, "✔ **approvals** open") {
		t.Errorf("the comment does not show the approval:\n%s", text)
	}
	commit := must(s.forge.Merge(n, "bob", "merge"))(t)
	s.sync()
	s.is(commit, checkSync, "pending", "waits: tools/")
	s.now = s.now.Add(25 * time.Hour)
	s.sync()
	s.is(commit, checkSync, "success", "2 entries stand")
}

// TestDesk_ADaemonTellsWithoutBeingAsked has no webhook and asks the forge by itself once an hour: what Git lists is
// enough.
func TestDesk_ADaemonTellsWithoutBeingAsked(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"github", "gitlab", "gitea"} {
		t.Run(kind, func(t *testing.T) {
			s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy,
				"desired/tools.yaml": "version: 1\nsource: {kind: list, file: tools.txt}\n", "desired/tools.txt": "docker.io/library/web:1\n"}).reviewedAt(kind)
			s.config = strings.Replace(s.config, "forge: {", "forge: {poll: 1h, ", 1)
			s.forge.AddUser("alice", false)
			web := s.pushSigned("docker.io/library/web:1", "web")
			s.sync()
			s.runs()
			n, head := s.proposes("rise", map[string]string{"stages/tools/staging.yaml": stageOf(web)})
			until(t, "the proposal has its checks", func() bool { return s.forge.Statuses(head)[checkPolicy].State == "success" })
			if text := s.told(n); !strings.Contains(text, mirror.Short(web.Digest)) {
				t.Errorf("the comment says nothing of the image: %s", text)
			}
			commit := must(s.forge.Merge(n, "alice", "merge"))(t)
			until(t, "the merge has its check", func() bool { return s.forge.Statuses(commit)[checkSync].State == "success" })
		})
	}
}

func TestDesk_CallsBeforeATurnAreOne(t *testing.T) {
	d := newDesk()
	for n := range 1000 {
		d.call(errand{numbers: []int{n % 3}})
	}
	if e, ok := d.take(); !ok || e.all || len(e.numbers) != 3 {
		t.Errorf("got %+v (%t), want the numbers 0, 1 and 2", e, ok)
	}
	d.call(errand{numbers: []int{7}})
	d.call(errand{all: true})
	if e, ok := d.take(); !ok || !e.all {
		t.Errorf("got %+v (%t), want all", e, ok)
	}
	if e, ok := d.take(); ok {
		t.Errorf("got %+v, want nothing", e)
	}
}

func TestDesk_LeavesTheForgeAloneForAsLongAsItSays(t *testing.T) {
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	l := &Line{now: func() time.Time { return now }}
	for _, tt := range []struct {
		name string
		err  error
		want time.Duration
	}{
		{"it says when", fmt.Errorf("list proposals: %w", &forge.LimitedError{Until: now.Add(time.Hour)}), time.Hour},
		{"it says a moment that is over", &forge.LimitedError{Until: now.Add(-time.Hour)}, firstAgain},
		{"it says nothing", errors.New("500"), time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := l.until(tt.err, time.Minute); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// TestDesk_WhatBreaksInTheMiddleIsToldByTheNextTurn has the forge answer 500 to one kind of request after the other.
func TestDesk_WhatBreaksInTheMiddleIsToldByTheNextTurn(t *testing.T) {
	t.Parallel()
	s, web, tool := reviewSite(t)
	n, head := s.proposes("rise", map[string]string{"stages/tools/staging.yaml": stageOf(web, tool)})
	for _, broken := range []string{"/comments", "/statuses/" + head, "/status"} {
		s.forge.Fail(func(r *http.Request) *testenv.Fault {
			if strings.Contains(r.URL.Path, broken) {
				return &testenv.Fault{Status: 403}
			}
			return nil
		})
		if err := s.line.serve(t.Context(), errand{all: true}); err == nil && broken != "/status" {
			t.Errorf("%s: no error", broken)
		} else if err != nil && strings.Contains(err.Error(), s.forge.Token("poundlock")) {
			t.Errorf("the token stands in the error: %v", err)
		}
	}
	s.forge.Fail(nil)
	s.attends()
	if s.told(n) == "" {
		t.Error("no comment")
	}
	s.is(head, checkPlan, "success", "to copy")
	s.is(head, checkPolicy, "success", "")
}
