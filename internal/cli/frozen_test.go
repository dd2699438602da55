package cli

import (
	"testing"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
)

func TestFrozen_IsAChannelOfItsOwn(t *testing.T) {
	at := func(text string) mirror.Reference {
		r, err := mirror.ParseReference(text)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	old, now := at("epr.elastic.co/nginx:1.0.0"), at("epr.elastic.co/nginx:1.1.0")
	sets := []daemon.SetLook{
		{Set: "elastic", Packages: true, Stages: []daemon.StageLook{{Stage: "staging"}, {Stage: "production"}},
			Frozen: []daemon.FrozenLook{{Name: "9.3.0", From: "production", Packages: 1, Lines: []mirror.Wanted{{Entry: "nginx-1.0.0", Image: old}}}},
			Lines: []daemon.EntryLook{
				{Set: "elastic", Entry: "nginx-1.0.0", Stages: []daemon.Stand{{Stage: "production", Image: old}}},
				{Set: "elastic", Entry: "nginx-1.1.0", Stages: []daemon.Stand{{Stage: "staging", Image: now}}},
			}},
		{Set: "web", Stages: []daemon.StageLook{{Stage: "production"}}, Lines: []daemon.EntryLook{{Set: "web", Entry: "app", Stages: []daemon.Stand{{Stage: "production", Image: now}}}}},
	}
	if lines := channelLines(sets[0], "9.3.0", false); len(lines) != 1 || lines[0].Channel != "9.3.0" || lines[0].Stage != "production" || lines[0].Image != old {
		t.Errorf("listed %+v", lines)
	}
	if lines := channelLines(sets[0], "9.3.0", true); len(lines) != 0 {
		t.Errorf("nothing of it is in it alone: %+v", lines)
	}
	for name, known := range map[string]bool{"": true, "9.3.0": true, "staging": true, "9.3.1": false} {
		if err := knownChannel(sets, name); (err == nil) != known {
			t.Errorf("%q: %v", name, err)
		}
	}
	if d := diffOf(sets, "9.3.0", "production"); len(d.Entries) != 0 || d.Same != 1 {
		t.Errorf("alike: %+v", d)
	}
	if d := diffOf(sets, "9.3.0", "staging"); len(d.Entries) != 1 || d.Entries[0].Entry != "nginx-1.1.0" || d.Entries[0].To != now || d.Same != 1 {
		t.Errorf("the channel of staging has more: %+v", d)
	}
}
