package daemon

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/policy/attest"
)

// opener opens a key of this site, once: an encrypted one takes a while.
type opener func() (*attest.Key, error)

// openerOf gives what opens the key of a section of the configuration; nil where it names none.
func openerOf(c config.Config, at string, key, password config.Secret) opener {
	if key.IsZero() {
		return nil
	}
	return sync.OnceValues(func() (*attest.Key, error) { return siteKey(c, at, key, password) })
}

// siteKey opens a key of this site. What is wrong with it is told at the line that refers to it, without what it holds.
func siteKey(c config.Config, section string, secret, locked config.Secret) (*attest.Key, error) {
	data, err := secret.Read()
	if err != nil {
		return nil, err
	}
	password, err := locked.Read()
	if err != nil {
		return nil, err
	}
	key, err := attest.LoadKey([]byte(data.Reveal()), []byte(password.Reveal()))
	if err == nil {
		return key, nil
	}
	var ps mirror.Problems
	at, fix := section+".key", "name a key made by `cosign generate-key-pair`, or by `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`"
	switch {
	case errors.Is(err, attest.ErrPassword):
		at, fix = section+".password", "correct the password, or name the key that it belongs to"
	case errors.Is(err, attest.ErrNoPassword):
		fix = "add " + section + ".password and one of " + config.Secret{}.SecretForm()
	case errors.Is(err, attest.ErrNotNeeded):
		at, fix = section+".password", "delete it, or name the encrypted key"
	}
	ps.AddAt(at, "CFG064", c.PlaceOf(at), fix, "%s.key: %v", section, err)
	return nil, ps.Err()
}

// checkSite opens the keys of this site, where there are any, so that a wrong one is told at the start: also one that
// makes statements and signatures, which cosign does not tell apart.
func checkSite(c config.Config) error {
	t := newAttester(c)
	if t == nil {
		return nil
	}
	var all mirror.Problems
	var others []error
	var keys []*attest.Key
	for _, open := range []opener{t.states, t.signs} {
		if open == nil {
			continue
		}
		key, err := open()
		var ps mirror.Problems
		switch {
		case err == nil:
			keys = append(keys, key)
		case errors.As(err, &ps):
			all = append(all, ps...)
		default:
			others = append(others, err)
		}
	}
	if len(keys) == 2 && keys[0].Identity() == keys[1].Identity() {
		config.SameKeys(&all, c.PlaceOf("trust.site.sign.key"))
	}
	return errors.Join(append(others, all.Err())...)
}

// StrangeSignStages tells of the stages of trust.site.sign that no set of a fleet has: nothing is ever signed there.
func StrangeSignStages(c config.Config, desired mirror.Desired) (all mirror.Problems) {
	known := stagesOf(desired)
	var names []string
	for _, stage := range known {
		names = append(names, string(stage))
	}
	for i, stage := range c.Trust.Site.Sign.Stages {
		if slices.Contains(known, mirror.Stage(stage)) {
			continue
		}
		path := fmt.Sprintf("trust.site.sign.stages.%d", i)
		all.AddAt(path, "CFG055", c.PlaceOf(path), mirror.Suggest(stage, names), "trust.site.sign.stages: no set has a stage %q", stage)
		all[len(all)-1].Why = "nothing is ever signed there"
	}
	return all
}

// warnSignStages tells, once, of stages at which nothing is ever signed. The set may come with the next commit.
func (l *Line) warnSignStages(desired mirror.Desired) {
	for _, p := range StrangeSignStages(l.config, desired) {
		if _, told := l.shared.strays.LoadOrStore(p.What, true); !told {
			l.log.Warn("a stage of trust.site.sign is none of this fleet", adviceOf(p)...)
		}
	}
}

// holdUnenforced holds what is to rise to a stage whose clusters trust this site's signature, and that is admitted
// only because policy is not enforced: the signature would say that it passed.
func (l *Line) holdUnenforced(v *view) {
	if l.attester == nil {
		return
	}
	for i, a := range v.plan.Actions {
		verdict, judged := v.verdicts[actionKey(a)]
		if !judged || a.Kind != mirror.Tag && a.Kind != mirror.Copy || !l.attester.signsAt(a.Stage) || attest.Attestable(verdict) {
			continue
		}
		a.Kind = mirror.Refuse
		a.Reason = mirror.Because(mirror.Held, "policy is not enforced for it (%s), and this site signs at %s only what policy admits", verdict.Reason.Detail, a.Stage)
		a.Reason.Fix = "mend what the policy would refuse, or add an exception; or take the stage out of trust.site.sign.stages"
		v.plan.Actions[i] = a
	}
}

// checkSiteKeys tells which keys this site has, and what each of them signs.
func (d *doctor) checkSiteKeys() (checks []Check) {
	t := newAttester(d.config)
	if t == nil {
		return []Check{none("trust", "site key", "no site key: verdicts count by the local state alone, and nothing is signed")}
	}
	for _, one := range []struct {
		name, what string
		open       opener
	}{{"site key", "signs verdicts and promotions", t.states}, {"sign key", "signs what rises to " + strings.Join(d.config.Trust.Site.Sign.Stages, ", "), t.signs}} {
		if one.open == nil {
			continue
		}
		key, err := one.open()
		if err != nil {
			checks = append(checks, d.failed("trust", one.name, err))
			continue
		}
		checks = append(checks, ok("trust", one.name, "%s %s %s", one.name, key, one.what))
	}
	if own := t.own(); len(own) == 2 && own[0].Identity() == own[1].Identity() {
		checks = append(checks, d.failed("trust", "sign key", checkSite(d.config)))
	}
	return checks
}

// ownSigners warns of signers of a policy that are this site itself.
func (d *doctor) ownSigners(prefix string, rules policy.Policy) (checks []Check) {
	t := newAttester(d.config)
	if t == nil {
		return nil
	}
	for _, key := range t.own() {
		for _, s := range rules.Signers() {
			if s.Identity != key.Identity() {
				continue
			}
			p := adviser{d.config}.problem("CFG056", "", "%ssigner %q has a key of this site", prefix, s.Name)
			p.Where.File = s.File
			p.Why = "what this site signed once would vouch for itself ever after"
			p.Fix = "take the signer out of the policy, or make another key for this site"
			checks = append(checks, d.warned("trust", s.Name, p))
		}
	}
	return checks
}
