package config

import (
	"strings"
	"testing"
)

func TestLoad_MistakesOfReceiversAndNotifiers(t *testing.T) {
	receiver := func(text string) string { return "webhooks: {receivers: {" + text + "}}\n" }
	notifier := func(text string) string { return "notify: {x: {" + text + "}}\n" }
	const url = "url: {file: /run/u}"
	for _, tt := range []struct {
		name, text string
		want       []string // "" for none
	}{
		{"a receiver", receiver("fleet: {kind: github, secret: {file: /run/s}, age: 1m, rate: 10, sets: [ess]}"), nil},
		{"without a secret", receiver("fleet: {kind: github}"), []string{"CFG001]: webhooks.receivers.fleet.secret is missing"}},
		{"without a kind", receiver("fleet: {secret: {file: /run/s}}"), []string{"CFG001]: webhooks.receivers.fleet.kind is missing"}},
		{"of an unknown kind", receiver("fleet: {kind: githup, secret: {file: /run/s}}"), []string{"CFG089]", `did you mean "github"?`}},
		{"with a name that is no word", receiver("Fleet_1: {kind: github, secret: {file: /run/s}}"), []string{"CFG088]"}},
		{"an age and a rate that cannot be", receiver("fleet: {kind: github, secret: {file: /run/s}, age: 48h, rate: 100000}"), []string{"CFG090]: webhooks.receivers.fleet.age", "CFG090]: webhooks.receivers.fleet.rate"}},
		{"ages below zero", receiver("fleet: {kind: github, secret: {file: /run/s}, age: -1s, rate: -1}"), []string{"CFG090]: webhooks.receivers.fleet.age", "CFG090]: webhooks.receivers.fleet.rate"}},
		{"an address that is none", "webhooks: {listen: here}\n", []string{"CFG007]: webhooks.listen"}},
		{"the port of the page", "webhooks: {listen: \"0.0.0.0:8686\"}\n", []string{"CFG091]"}},
		{"another port", "webhooks: {listen: \"0.0.0.0:8687\"}\n", nil},
		{"a secret in clear", receiver("fleet: {kind: github, secret: {env: \"not a name\"}}"), []string{"DOC012]: webhooks.receivers.fleet.secret.env"}},
		{"a chat", notifier("kind: slack, " + url + ", remind: 24h, sets: [\"e*\"], stages: [production]"), nil},
		{"no kind", notifier(url), []string{"CFG001]: notify.x.kind is missing"}},
		{"an unknown kind", notifier("kind: teams, " + url), []string{"CFG092]"}},
		{"no address", notifier("kind: webhook"), []string{"CFG001]: notify.x.url is missing"}},
		{"half a room", notifier("kind: matrix, " + url + ", room: \"#alias:example.org\""), []string{"CFG001]: notify.x.token is missing", "CFG095]"}},
		{"a room", notifier("kind: matrix, " + url + ", token: {file: /run/t}, room: \"!abc:example.org\""), nil},
		{"mail to nobody", notifier("kind: email, " + url + ", from: here"), []string{"CFG001]: notify.x.to is missing", "CFG096]: notify.x.from"}},
		{"mail to nonsense", notifier("kind: email, " + url + ", from: a@example.org, to: [b@example.org, c], username: u"), []string{"CFG096]: notify.x.to.1", "CFG001]: notify.x.password is missing"}},
		{"globs", notifier("kind: slack, " + url + ", sets: [\"e[\"], stages: [\"Pro duction\"]"), []string{"CFG093]: notify.x.sets", "CFG093]: notify.x.stages"}},
		{"a header of ours", notifier("kind: webhook, " + url + ", headers: {x-signature: {file: /run/h}}"), []string{"CFG097]"}},
		{"reminders below zero", notifier("kind: slack, " + url + ", remind: -1h"), []string{"CFG098]"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := inLayers(t, minimal+tt.text, nil, nil, nil)
			if err == nil && len(tt.want) > 0 {
				t.Fatalf("it was taken; want %q", tt.want)
			}
			if err != nil && len(tt.want) == 0 {
				t.Fatalf("it was refused: %v", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is missing in:\n%v", want, err)
				}
			}
		})
	}
}

// What a notifier and a receiver know is a secret, wherever it was written.
func TestSecrets_ThoseOfReceiversAndNotifiersCount(t *testing.T) {
	_, c, err := inLayers(t, minimal+"webhooks: {receivers: {fleet: {kind: github, secret: {file: /nowhere/a}}}}\n"+
		"notify: {x: {kind: webhook, url: {file: /nowhere/b}, secret: {file: /nowhere/c}, headers: {X-Key: {file: /nowhere/d}}}, y: {kind: email, url: {file: /nowhere/e}, from: a@b.c, to: [a@b.c], username: u, password: {file: /nowhere/f}}}\n", nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	text := c.CheckSecrets().Error()
	for _, want := range []string{"webhooks.receivers.fleet.secret", "notify.x.url", "notify.x.secret", "notify.x.headers.X-Key", "notify.y.url", "notify.y.password"} {
		if !strings.Contains(text, "CFG017]: "+want+": ") {
			t.Errorf("%s is missing in:\n%s", want, text)
		}
	}
}
