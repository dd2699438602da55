package cli

import (
	"testing"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
)

func TestCodeOfReports_WhatOnlyWaitsIsNoRefusal(t *testing.T) {
	refused := func(code mirror.ReasonCode) mirror.Action {
		return mirror.Action{Kind: mirror.Refuse, Key: mirror.Key{Set: "web", Entry: string(code)}, Reason: mirror.Because(code, "")}
	}
	stands := mirror.Action{Kind: mirror.Unchanged, Key: mirror.Key{Set: "web", Entry: "app"}}
	failed := mirror.Action{Kind: mirror.Failed, Key: mirror.Key{Set: "web", Entry: "app"}, Reason: mirror.Because(mirror.LocalFailed, "")}
	for _, c := range []struct {
		name    string
		actions []mirror.Action
		want    int
	}{
		{"it soaks", []mirror.Action{stands, refused(mirror.Soaking)}, exitWaiting},
		{"everything waits", []mirror.Action{refused(mirror.NotApproved), refused(mirror.Frozen)}, exitWaiting},
		{"others are held by it", []mirror.Action{stands, refused(mirror.NotKnown), refused(mirror.Held)}, exitWaiting},
		{"it is too late", []mirror.Action{stands, refused(mirror.TooLate)}, exitPartial},
		{"one waits and one is refused", []mirror.Action{stands, refused(mirror.Soaking), refused(mirror.Downgrade)}, exitPartial},
		{"nothing but that", []mirror.Action{refused(mirror.Soaking), refused(mirror.NoRule)}, exitRefused},
		{"held without anything that waits", []mirror.Action{stands, refused(mirror.Held)}, exitPartial},
		{"one waits and one failed", []mirror.Action{failed, refused(mirror.Soaking)}, exitRetry},
		{"it stands", []mirror.Action{stands}, exitOK},
	} {
		if got := codeOfReports([]daemon.Report{{Plan: mirror.Plan{Set: "web", Actions: c.actions}}}); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

func TestCodeOfRest_WhatOnlyWaitsIsNoRefusal(t *testing.T) {
	for _, c := range []struct {
		run  daemon.Run
		want int
	}{
		{daemon.Run{Outcome: daemon.OutcomePartial, Waiting: 2}, exitWaiting},
		{daemon.Run{Outcome: daemon.OutcomePartial, Waiting: 2, Refused: 1, Unchanged: 1}, exitPartial},
		{daemon.Run{Outcome: daemon.OutcomePartial, Refused: 1}, exitRefused},
	} {
		if got := codeOfRest(triggerDocument{Run: &c.run}); got != c.want {
			t.Errorf("%+v: got %d, want %d", c.run, got, c.want)
		}
	}
}
