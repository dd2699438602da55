package daemon

import (
	"errors"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/sops"
	"github.com/poundlock/poundlock/sync/render"
)

// checkSealing reads what Secrets are encrypted with and finds all mistakes in it. A secret that cannot be read at all
// is told with all others.
func checkSealing(c config.Config) (all mirror.Problems) {
	const identity = "secrets.age.identity"
	if text, err := c.Sealing.Age.Identity.Read(); err == nil && text != "" {
		if _, err := sops.ParseIdentity(text.Reveal()); err != nil {
			all.AddAt(identity, "CFG124", c.PlaceOf(identity), "make one with `age-keygen -o FILE`", "what %s refers to is no private key of age", identity)
		}
	}
	for _, name := range sortedKeys(c.Sealing.Credentials) {
		at := "secrets.credentials." + name + ".password"
		if _, _, err := consumerLogin(c, name); errors.Is(err, errOurLogin) {
			all.AddAt(at, "CFG121", c.PlaceOf(at), "make an account of its own that may pull and nothing else",
				"%s is the password with which Poundlock writes to registries.local: every cluster could change what the others run", at)
		}
	}
	return all
}

// checkSecrets tells for whom Secrets are encrypted, and which logins the fleet asks for that are not there.
func (d *doctor) checkSecrets(desired mirror.Desired) (checks []Check) {
	s := d.config.Sealing
	if keys, err := sealingKeys(d.config); err == nil {
		checks = append(checks, ok("config", "secrets", "%s for consumers, encrypted for %s, ours %s", count(len(s.Credentials), "login"), count(len(keys.to), "key"), keys.own.Recipient()))
	}
	for _, asked := range credentialsOf(desired) {
		if _, known := s.Credentials[asked.Name]; known {
			continue
		}
		p := mirror.Problem{Code: "RND046", Where: asked.Where, What: words("a Secret is asked for with the login %q, which config.yaml does not have", asked.Name),
			Why: "its folder stays as it is until then", Fix: "add it below secrets.credentials"}
		if near := mirror.Nearest(asked.Name, sortedKeys(s.Credentials)); near != "" {
			p.Fix = words("did you mean %q? rename it, or add it below secrets.credentials", near)
		}
		checks = append(checks, Check{Group: "fleet", Name: "secrets.credentials." + mirror.OneLine(asked.Name), State: CheckFailed, Detail: p.What, Problem: &p})
	}
	return checks
}

// credentialsOf lists the logins that the sets and consumers of a fleet ask for, each where it is asked for.
func credentialsOf(desired mirror.Desired) (all []render.Asked) {
	for _, set := range desired.Sets {
		all = append(all, render.Credentials(set.Render)...)
	}
	for _, consumer := range desired.Consumers {
		all = append(all, render.Credentials(consumer.Render)...)
	}
	return all
}
