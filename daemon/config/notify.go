package config

import (
	"fmt"
	"net/mail"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/poundlock/poundlock/internal/mirror"
)

// notifyKinds are the ways in which somebody is told, with the keys that each needs.
var notifyKinds = map[string][]string{
	"webhook": {"url"},
	"slack":   {"url"},
	"matrix":  {"url", "token", "room"},
	"email":   {"url", "from", "to"},
}

// matrixRoom is the id of a room of Matrix, as opposed to one of its aliases.
var matrixRoom = regexp.MustCompile(`^![^:\s]+(?::[^\s]+)?$`)

// leastRemind is the shortest time after which trouble is told again.
const leastRemind = time.Second

// notifiers checks whom to tell what happened; whether the events exist is asked elsewhere.
func (k *checker) notifiers(all map[string]Notifier) {
	for _, name := range sortedKeys(all) {
		k.notifier(all[name], keyPath{"notify", name})
	}
}

func (k *checker) notifier(n Notifier, at keyPath) {
	needs, known := notifyKinds[n.Kind]
	kinds := sortedKeys(notifyKinds)
	switch {
	case n.Kind == "":
		k.missing(at.to("kind"), "add kind: and one of "+strings.Join(kinds, ", "))
	case !known:
		k.add(at.to("kind"), "CFG092", oneOf(n.Kind, kinds), "%s: unknown kind %q", at.to("kind"), n.Kind)
	default:
		k.notifierKeys(n, needs, at)
	}
	for key, s := range map[string]Secret{"url": n.URL, "secret": n.Secret, "token": n.Token, "password": n.Password} {
		k.secret(s, at.to(key))
	}
	for _, name := range sortedKeys(n.Headers) {
		k.secret(n.Headers[name], at.to("headers", name))
		if !isHeader(name) {
			k.add(at.to("headers", name), "CFG097", "write the name of a header, such as X-Api-Key", "%s: a key is no name of a header of yours", at.to("headers"))
		}
	}
	for i, glob := range n.Sets {
		if !doublestar.ValidatePattern(glob) || glob == "" {
			k.add(at.to("sets", strconv.Itoa(i)), "CFG093", "write the name of a set, or a glob such as elastic-*", "%s: %q is no glob", at.to("sets"), glob)
		}
	}
	for i, stage := range n.Stages {
		if _, err := mirror.ParseStage(stage); err != nil {
			k.add(at.to("stages", strconv.Itoa(i)), "CFG093", "write the name of a stage, such as production", "%s: %q is no name of a stage", at.to("stages"), stage)
		}
	}
	if n.Remind != 0 && n.Remind < leastRemind {
		k.add(at.to("remind"), "CFG098", "write a duration such as 24h, or delete the key to tell it once", "%s must be at least %s, have %s", at.to("remind"), leastRemind, n.Remind)
	}
	k.tls(n.TLS, at.to("tls"))
}

// notifierKeys checks the keys that belong to the kind of a notifier.
func (k *checker) notifierKeys(n Notifier, needs []string, at keyPath) {
	has := map[string]bool{"url": !n.URL.IsZero(), "token": !n.Token.IsZero(), "room": n.Room != "", "from": n.From != "", "to": len(n.To) > 0}
	for _, key := range needs {
		if !has[key] {
			k.missing(at.to(key), fmt.Sprintf("add %s: a notifier of kind %s needs it", key, n.Kind))
		}
	}
	if n.Room != "" && n.Kind == "matrix" && !matrixRoom.MatchString(n.Room) {
		k.add(at.to("room"), "CFG095", "write the id of the room, as its settings show it under Advanced: it begins with !", "%s is no id of a room", at.to("room"))
	}
	if n.Kind != "email" {
		return
	}
	for i, text := range append([]string{n.From}, n.To...) {
		key := at.to("from")
		if i > 0 {
			key = at.to("to", strconv.Itoa(i-1))
		}
		if _, err := mail.ParseAddress(text); err != nil && text != "" {
			k.add(key, "CFG096", "write an address such as poundlock@example.org", "%s is no mail address", key)
		}
	}
	if (n.Username == "") != n.Password.IsZero() {
		key := map[bool]string{true: "username", false: "password"}[n.Username == ""]
		k.missing(at.to(key), "add "+key+": an account needs both username and password")
	}
}

var headerName = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

// isHeader says whether a name is one of a header that a notifier may add.
func isHeader(name string) bool {
	for _, ours := range []string{"Content-Type", "Content-Length", "Host", "Transfer-Encoding", "Connection", "X-Signature"} {
		if strings.EqualFold(name, ours) {
			return false
		}
	}
	return headerName.MatchString(name)
}

// oneOf says what may stand in the place of a word that is none of some.
func oneOf(word string, known []string) string {
	if near := mirror.Nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "write one of " + strings.Join(known, ", ")
}
