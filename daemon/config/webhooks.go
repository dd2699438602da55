package config

import (
	"net"
	"regexp"
	"slices"
	"strings"
	"time"
)

// hookName is what the end of an address of a webhook may be.
var hookName = regexp.MustCompile(`^[a-z0-9]+(?:-[a-z0-9]+)*$`)

// hookKinds are whose deliveries are taken.
var hookKinds = []string{"github", "gitlab", "gitea", "distribution", "zot", "harbor", "generic"}

// Bounds of a receiver.
const (
	leastAge, mostAge = time.Second, 24 * time.Hour
	mostRate          = 6000
)

// webhooks checks who may tell the daemon to look.
func (k *checker) webhooks(w Webhooks, listen string) {
	at := keyPath{"webhooks"}
	if w.Listen != "" {
		k.listen(w.Listen, at.to("listen"), "write host:port, such as 0.0.0.0:8687, or delete the key to answer them beside health and metrics")
		_, port, _ := net.SplitHostPort(w.Listen)
		if _, other, _ := net.SplitHostPort(listen); port == other && port != "0" && port != "" {
			k.add(at.to("listen"), "CFG091", "choose another port, or delete the key to answer them there", "webhooks.listen has the port of listen, %s", port)
		}
	}
	for _, name := range sortedKeys(w.Receivers) {
		k.receiver(w.Receivers[name], name, at.to("receivers", name))
	}
}

func (k *checker) receiver(r Receiver, name string, at keyPath) {
	if !hookName.MatchString(name) {
		k.add(at, "CFG088", "use lower-case letters and digits, joined by single dashes, such as fleet", "the name of a receiver is the end of its address: %q cannot be", name)
	}
	if r.Kind == "" {
		k.missing(at.to("kind"), "add kind: and one of "+strings.Join(hookKinds, ", "))
	} else if !slices.Contains(hookKinds, r.Kind) {
		k.add(at.to("kind"), "CFG089", oneOf(r.Kind, hookKinds), "%s: unknown kind %q", at.to("kind"), r.Kind)
	}
	if r.Secret.IsZero() {
		k.missing(at.to("secret"), "add secret: and one of "+Secret{}.SecretForm()+"; without one anybody could tell anything")
	}
	k.secret(r.Secret, at.to("secret"))
	if r.Age != 0 && (r.Age < leastAge || r.Age > mostAge) {
		k.add(at.to("age"), "CFG090", "write a duration between 1s and 24h, or delete the key for 5m", "%s is out of range, have %s", at.to("age"), r.Age)
	}
	if r.Rate < 0 || r.Rate > mostRate {
		k.add(at.to("rate"), "CFG090", "write a number between 1 and 6000, or delete the key for 60", "%s is out of range, have %d", at.to("rate"), r.Rate)
	}
}
