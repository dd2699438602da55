package daemon

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
)

// checkTelling finds mistakes of notifiers that the form of the configuration leaves open: events that there are not,
// and addresses, which are read for it, that cannot be. Addresses are secrets and not repeated.
func checkTelling(c config.Config) mirror.Problems {
	all := checkEvents(c)
	for _, name := range sortedKeys(c.Notify) {
		n, path := c.Notify[name], "notify."+name+".url"
		address, err := n.URL.Read()
		if err != nil || n.URL.IsZero() {
			continue // told of all secrets
		}
		if why, fix := badAddress(n, address.Reveal()); why != "" {
			all.AddAt(path, "CFG099", c.PlaceOf(path), fix, "what %s refers to %s", path, why)
		}
	}
	return all
}

// checkEvents finds events that notifiers are to tell and that there are not.
func checkEvents(c config.Config) mirror.Problems {
	var all mirror.Problems
	for _, name := range sortedKeys(c.Notify) {
		for i, event := range c.Notify[name].Events {
			path := fmt.Sprintf("notify.%s.events.%d", name, i)
			if !slices.Contains(EventTypes(), EventType(event)) {
				all.AddAt(path, "CFG093", c.PlaceOf(path), eventMeant(event), "notify.%s.events: there is no event %q", name, event)
			}
		}
	}
	return all
}

func eventMeant(event string) string {
	var known []string
	for _, e := range EventTypes() {
		known = append(known, string(e))
	}
	return meant(event, known, "there are ")
}

// badAddress says what is wrong with the address of a notifier.
func badAddress(n config.Notifier, text string) (why, fix string) {
	u, err := url.Parse(text)
	schemes := []string{"https", "http"}
	if n.Kind == notifyEmail {
		schemes = []string{"smtps", "smtp"}
	}
	switch {
	case err != nil || u.Hostname() == "" || !slices.Contains(schemes, u.Scheme):
		return "is no address of the form " + schemes[0] + "://host", "write the whole address, beginning with " + strings.Join(schemes, ":// or ") + "://"
	case u.User != nil:
		return "carries a user or a password", "take it out; a header goes to headers, an account to username and password"
	case u.Scheme == "http" && !n.Insecure:
		return "is plain http", "use https, or set insecure: true beside it"
	case n.Kind == notifyEmail && strings.Trim(u.Path, "/") != "":
		return "has a path", "write only host and port"
	}
	return "", ""
}
