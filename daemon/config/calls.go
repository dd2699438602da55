package config

import (
	"regexp"
	"time"
)

// callName is how those are called who are asked about promotions: a gate of the policy has the same word.
var callName = regexp.MustCompile(`^[a-z0-9]+(?:-[a-z0-9]+)*$`)

// maxCallTime is the longest that an answer may take: a set is not stepped meanwhile.
const maxCallTime = time.Minute

func (k *checker) calls(all map[string]Call) {
	for _, name := range sortedKeys(all) {
		c, at := all[name], keyPath{"calls", name}
		if !callName.MatchString(name) {
			k.add(at, "CFG086", "use lower-case letters and digits, joined by single dashes, such as smoke", "calls: %q is no name that a gate can use", name)
		}
		if c.URL.IsZero() {
			k.missing(at.to("url"), "name who is asked: url: {file: /run/secrets/smoke-url}")
		}
		k.secret(c.URL, at.to("url"))
		k.secret(c.Secret, at.to("secret"))
		k.tls(c.TLS, at.to("tls"))
		if c.Time < 0 || c.Time > maxCallTime {
			k.add(at.to("time"), "CFG087", "write a duration such as 10s", "%s must be above zero and at most %s, have %s", at.to("time"), maxCallTime, c.Time)
		}
	}
}
