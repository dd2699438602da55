package daemon

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"sync"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/policy/attest"
)

// attester is what a line needs to make and to read the statements of this site, and to sign what is promoted. A line
// of a site without keys has none.
type attester struct {
	states   opener         // the key of statements; nil: none are made, and none are read
	signs    opener         // the key of signatures; nil: nothing is signed
	verifier string         // how statements name this site
	stages   []mirror.Stage // what rises to them is signed before it does
	each     bool           // of an index each manifest, too

	mu   sync.Mutex
	keys map[string]keyed  // by set, stage and entry
	read map[string]string // attached verdicts that were read, by attachedKey; the state does not know them yet
}

// keyed is the key under which a verdict is remembered, with what tells whether it is that of a given verdict.
type keyed struct {
	image           mirror.Reference
	rules, trusting mirror.Digest
	key             string
}

// newAttester reads what the configuration says of this site's keys; nil where it has none.
func newAttester(c config.Config) *attester {
	site := c.Trust.Site
	t := &attester{states: openerOf(c, "trust.site", site.Key, site.Password), signs: openerOf(c, "trust.site.sign", site.Sign.Key, site.Sign.Password),
		verifier: cmp.Or(site.Verifier, "https://poundlock.dev/site/"+url.PathEscape(c.Site)), each: site.Sign.Platforms == config.PlatformsEach,
		keys: map[string]keyed{}, read: map[string]string{}}
	if t.states == nil && t.signs == nil {
		return nil
	}
	for _, stage := range site.Sign.Stages {
		t.stages = append(t.stages, mirror.Stage(stage))
	}
	return t
}

// by gives the key that makes statements with a mark.
func (t *attester) by(mark attest.Mark) (*attest.Key, error) {
	if mark.Kind() == attest.SignatureMark.Kind() {
		return t.signs()
	}
	return t.states()
}

// identity names the key that makes statements with a mark; "" for one that cannot be opened.
func (t *attester) identity(mark attest.Mark) string {
	key, err := t.by(mark)
	if err != nil {
		return ""
	}
	return key.Identity()
}

// own gives the keys that can be opened. One that cannot is told where it is used.
func (t *attester) own() (all []*attest.Key) {
	for _, open := range []opener{t.states, t.signs} {
		if open == nil {
			continue
		}
		if key, err := open(); err == nil {
			all = append(all, key)
		}
	}
	return all
}

// signsAt says whether what rises to a stage is signed by this site.
func (t *attester) signsAt(stage mirror.Stage) bool { return slices.Contains(t.stages, stage) }

// attests makes a verifier of an action read what this site attested, and learns under which key its verdict is
// remembered. Where remembered verdicts do not count, attested ones do not either.
func (l *Line) attests(o *policy.Options, a mirror.Action) {
	if l.attester == nil || l.attester.states == nil || o.Known == nil {
		return
	}
	o.Known = overheard{o.Known, l.attester, a}
	if !l.offline {
		o.Attested = l.attested
	}
}

// attested reads the verdict that lies beside content in the local registry. One that cannot be read, or that does
// not count, is as good as none: the content is judged.
func (l *Line) attested(ctx context.Context, key string, a mirror.Action, c mirror.Content) (mirror.Verdict, bool) {
	if a.From.Host != l.local.Host {
		return mirror.Verdict{}, false // what an upstream lays beside an image, this site has not made
	}
	opened, err := l.attester.states()
	if err != nil {
		l.log.Debug("attested verdicts are not read", keyError, err)
		return mirror.Verdict{}, false
	}
	var v mirror.Verdict
	others := map[string]mirror.Verdict{}
	if at := a.From.AtDigest(a.New); l.state.attestedAny(at, opened.Identity()) {
		v, err = opened.ReadVerdict(ctx, c, at, a.New, key)
	} else { // a machine that lost its state learns from all of them
		v, others, err = opened.ReadVerdicts(ctx, c, at, a.New, key)
	}
	for other, v := range others {
		l.learn(a, other, v, opened.Identity())
	}
	if err != nil {
		if !errors.Is(err, mirror.ErrNotFound) {
			l.log.Debug("attested verdict does not count", keyRef, a.From.String(), keyError, err)
		}
		return mirror.Verdict{}, false
	}
	l.learn(a, key, v, opened.Identity())
	return v, true
}

// learn takes from a verdict that this site attested when it saw what, and notes that it lies there.
func (l *Line) learn(a mirror.Action, key string, v mirror.Verdict, identity string) {
	l.state.Saw(a.New, v.Seen)
	for _, p := range v.Proofs {
		if p.Source == policy.FirstSeen {
			l.state.Saw(p.Sight, p.Time)
		}
	}
	l.attester.mu.Lock()
	defer l.attester.mu.Unlock()
	l.attester.read[attachedKey(a.From.AtDigest(a.New), identity, attest.VerdictMark(key))] = ""
}

// overheard remembers verdicts as another does, and takes note of the key of the action's own.
type overheard struct {
	policy.Known
	attester *attester
	action   mirror.Action
}

// Verdict gives a remembered verdict.
func (o overheard) Verdict(key string) (mirror.Verdict, bool) {
	v, ok := o.Known.Verdict(key)
	if ok {
		o.note(key, v)
	}
	return v, ok
}

// Remember keeps a verdict.
func (o overheard) Remember(key string, v mirror.Verdict) {
	o.Known.Remember(key, v)
	o.note(key, v)
}

func (o overheard) note(key string, v mirror.Verdict) {
	if v.RuleHash == (mirror.Digest{}) {
		return // no verdict, only what an index does not hold
	}
	o.attester.mu.Lock()
	defer o.attester.mu.Unlock()
	o.attester.keys[entryKey(o.action)] = keyed{image: o.action.Image, rules: v.RuleHash, trusting: v.TrustHash, key: key}
}

// keyOf gives the key under which the verdict of an action is remembered. One that no evidence was read for is not
// remembered; it has a key of its own, which nobody asks for.
func (t *attester) keyOf(a mirror.Action, v mirror.Verdict) (string, bool) {
	t.mu.Lock()
	k, ok := t.keys[entryKey(a)]
	t.mu.Unlock()
	switch {
	case ok && k.image == a.Image && k.rules == v.RuleHash && k.trusting == v.TrustHash:
		return k.key, true
	case v.Outcome == mirror.OutcomePinned:
		return mirror.DigestOf([]byte("pinned " + a.Image.Name() + " " + a.Image.Digest.String() + " " + v.RuleHash.String())).String(), true
	}
	return "", false
}

// entryKey names an action among those of all sets.
func entryKey(a mirror.Action) string { return a.Key.Set + " " + actionKey(a) }
