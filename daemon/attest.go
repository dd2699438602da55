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

// attester is what a line needs to make and to read the statements of this site. A line without a site key has none.
type attester struct {
	key      func() (*attest.Key, error) // opened once: an encrypted one takes a while
	verifier string                      // how statements name this site
	signs    []mirror.Stage              // what rises to them is signed before it does
	each     bool                        // of an index each manifest, too

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

// newAttester reads what the configuration says of this site's key; nil where it has none.
func newAttester(c config.Config) *attester {
	site := c.Trust.Site
	if site.Key.IsZero() {
		return nil
	}
	t := &attester{each: site.Platforms == config.PlatformsEach, verifier: cmp.Or(site.Verifier, "https://poundlock.dev/site/"+url.PathEscape(c.Site)), keys: map[string]keyed{}, read: map[string]string{}}
	for _, stage := range site.Sign {
		t.signs = append(t.signs, mirror.Stage(stage))
	}
	t.key = sync.OnceValues(func() (*attest.Key, error) { return siteKey(c) })
	return t
}

// siteKey opens the site's key. What is wrong with it is told at the line that refers to it, without what it holds.
func siteKey(c config.Config) (*attest.Key, error) {
	data, err := c.Trust.Site.Key.Read()
	if err != nil {
		return nil, err
	}
	password, err := c.Trust.Site.Password.Read()
	if err != nil {
		return nil, err
	}
	key, err := attest.LoadKey([]byte(data.Reveal()), []byte(password.Reveal()))
	if err == nil {
		return key, nil
	}
	var ps mirror.Problems
	at, fix := "trust.site.key", "name a key made by `cosign generate-key-pair`, or by `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`"
	switch {
	case errors.Is(err, attest.ErrPassword):
		at, fix = "trust.site.password", "correct the password, or name the key that it belongs to"
	case errors.Is(err, attest.ErrNoPassword):
		fix = "add trust.site.password and one of " + config.Secret{}.SecretForm()
	case errors.Is(err, attest.ErrNotNeeded):
		at, fix = "trust.site.password", "delete it, or name the encrypted key"
	}
	ps.AddAt(at, "CFG064", c.PlaceOf(at), fix, "trust.site.key: %v", err)
	return nil, ps.Err()
}

// checkSite opens the site's key, where there is one, so that a wrong one is told at the start.
func checkSite(c config.Config) error {
	if t := newAttester(c); t != nil {
		_, err := t.key()
		return err
	}
	return nil
}

// signsAt says whether what rises to a stage is signed by this site.
func (t *attester) signsAt(stage mirror.Stage) bool { return slices.Contains(t.signs, stage) }

// attests makes a verifier of an action read what this site attested, and learns under which key its verdict is
// remembered. Where remembered verdicts do not count, attested ones do not either.
func (l *Line) attests(o *policy.Options, a mirror.Action) {
	if l.attester == nil || o.Known == nil {
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
	opened, err := l.attester.key()
	if err != nil {
		l.log.Debug("attested verdicts are not read", keyError, err)
		return mirror.Verdict{}, false
	}
	v, err := opened.ReadVerdict(ctx, c, a.From, a.New, key)
	if err != nil {
		if !errors.Is(err, mirror.ErrNotFound) {
			l.log.Debug("attested verdict does not count", keyRef, a.From.String(), keyError, err)
		}
		return mirror.Verdict{}, false
	}
	l.state.Saw(a.New, v.Seen)
	l.attester.mu.Lock()
	defer l.attester.mu.Unlock()
	l.attester.read[attachedKey(a.From.AtDigest(a.New), opened.Identity(), attest.VerdictMark(key))] = ""
	return v, true
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
