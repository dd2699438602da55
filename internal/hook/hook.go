// Package hook reads webhooks that come in: it tells the genuine from the forged and gives what they are about.
//
// It promises constant-time checks, bounded memory whatever comes, and that a delivery counts once. A hook only says
// where to look: nothing of its body is believed beyond that.
package hook

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// Kind is whose deliveries a receiver takes.
type Kind string

// The kinds.
const (
	GitHub       Kind = "github"
	GitLab       Kind = "gitlab"
	Gitea        Kind = "gitea" // and Forgejo
	Distribution Kind = "distribution"
	Zot          Kind = "zot"
	Harbor       Kind = "harbor"
	Generic      Kind = "generic"
)

// Kinds lists every kind.
func Kinds() []Kind { return []Kind{GitHub, GitLab, Gitea, Distribution, Zot, Harbor, Generic} }

// Forge says whether deliveries of this kind are about the fleet repository and its proposals.
func (k Kind) Forge() bool { return k == GitHub || k == GitLab || k == Gitea }

// Registry says whether deliveries of this kind are about images.
func (k Kind) Registry() bool { return k == Distribution || k == Zot || k == Harbor }

// Defaults of Settings.
const (
	DefaultAge       = 5 * time.Minute
	DefaultPerMinute = 60
)

// ahead is how far the clock of a sender may go before ours.
const ahead = time.Minute

// Settings are the rules of one receiver.
type Settings struct {
	Kind   Kind
	Secret func(context.Context) (string, error) // read for each delivery, so that a changed one counts at once
	Age    time.Duration                         // how old a delivery that says when it was made may be; 0 is DefaultAge
	// PerMinute is how many genuine deliveries are taken, all at once or one by one; 0 is DefaultPerMinute.
	PerMinute int
	Now       func() time.Time
	Limits    *Limits // of all receivers together
}

// Receiver takes the deliveries of one address. It is safe for concurrent use.
type Receiver struct {
	settings Settings
	memory   memory
	rate     *rate.Limiter
}

// New gives a receiver.
func New(s Settings) *Receiver {
	s.Age, s.PerMinute = cmp.Or(s.Age, DefaultAge), cmp.Or(s.PerMinute, DefaultPerMinute)
	r := &Receiver{settings: s, rate: rate.NewLimiter(rate.Limit(float64(s.PerMinute)/60), s.PerMinute)}
	r.memory.keep = s.Age
	if s.Kind.Forge() {
		r.memory.keep = forgeMemory // they sign no time, so that what was recorded once stays genuine
	}
	return r
}

// Receive reads a delivery and gives what it is about. The error is a *Refusal for everything that does not count;
// what it says may be told to whoever sent it.
func (r *Receiver) Receive(req *http.Request) (News, error) {
	leave, err := r.settings.Limits.enter()
	if err != nil {
		return News{}, err
	}
	defer leave()
	if req.ContentLength > MaxBody {
		return News{}, refuse(TooLarge, nil)
	}
	claimed, err := claimOf(r.settings.Kind, req.Header)
	if err != nil {
		return News{}, err
	}
	secret, err := r.settings.Secret(req.Context())
	if err != nil {
		return News{}, refuse(NoSecret, err)
	}
	p, err := claimed.begin(secret)
	if err != nil {
		return News{}, err
	}
	content, err := r.settings.Limits.read(req.Body, p)
	if err != nil {
		return News{}, err
	}
	defer content.free()
	if err := p.end(); err != nil {
		return News{}, err
	}
	return r.accept(req.Header, claimed, p, content)
}

// accept takes in a delivery that is genuine.
func (r *Receiver) accept(header http.Header, c claim, p *proof, content *content) (News, error) {
	now := r.settings.Now()
	if !c.at.IsZero() && r.stale(c.at, now) {
		return News{}, refuse(TooOld, nil)
	}
	news := read(r.settings.Kind, header, content)
	keys := [][sha256.Size]byte{p.identity()}
	if news.ID != "" {
		keys = append(keys, sha256.Sum256([]byte("id "+news.ID)))
	}
	if slices.ContainsFunc(keys, func(k [sha256.Size]byte) bool { return r.memory.knows(k, now) }) {
		news.Repeated = true
		return news, nil
	}
	// A registry repeats an event until it is taken: one that lay there for long is taken, and counts for nothing.
	news.Stale = !news.At.IsZero() && r.stale(news.At, now)
	if !news.Idle && !news.Stale && !r.rate.AllowN(now, 1) {
		refused := refuse(TooMany, nil)
		refused.After = time.Minute / time.Duration(r.settings.PerMinute)
		return news, refused
	}
	for _, k := range keys { // only what was taken: who was told to come later may come again
		r.memory.add(k, now)
	}
	return news, nil
}

func (r *Receiver) stale(at, now time.Time) bool {
	return at.Before(now.Add(-r.settings.Age)) || at.After(now.Add(ahead))
}

// Reason is why a delivery does not count, in one stable word.
type Reason string

// The reasons.
const (
	Unsigned Reason = "unsigned"  // it carries no signature or token of the form that its kind has
	Forged   Reason = "forged"    // its signature or token is not right
	TooOld   Reason = "old"       // it was made too long ago, or in the future
	TooLarge Reason = "large"     // its body is larger than MaxBody
	Broken   Reason = "broken"    // its body did not come whole
	TooMany  Reason = "too-many"  // it is genuine, and there were too many before it
	Busy     Reason = "busy"      // too many are being read
	NoSecret Reason = "no-secret" // our own secret is not to be had
)

var refusals = map[Reason]struct {
	status int
	text   string
}{
	Unsigned: {http.StatusUnauthorized, "it carries no signature or token"},
	Forged:   {http.StatusUnauthorized, "its signature or token is not right"},
	TooOld:   {http.StatusBadRequest, "the time that it names is too far from now"},
	TooLarge: {http.StatusRequestEntityTooLarge, fmt.Sprintf("its body has more than %d MiB", MaxBody>>20)},
	Broken:   {http.StatusBadRequest, "its body did not come whole"},
	TooMany:  {http.StatusTooManyRequests, "there were too many before it"},
	Busy:     {http.StatusServiceUnavailable, "too many are being read"},
	NoSecret: {http.StatusServiceUnavailable, "it cannot be checked now"},
}

// Refusal is a delivery that does not count. Its text holds nothing of the delivery and no secret.
type Refusal struct {
	Reason Reason
	After  time.Duration // when to come again; 0: that helps nothing, or nobody knows
	err    error
}

func refuse(why Reason, err error) *Refusal { return &Refusal{Reason: why, err: err} }

// Error says why.
func (e *Refusal) Error() string { return "delivery refused: " + refusals[e.Reason].text }

// Unwrap gives what went wrong on our side, where something did.
func (e *Refusal) Unwrap() error { return e.err }

// Status is the HTTP status that says so.
func (e *Refusal) Status() int { return refusals[e.Reason].status }

// NotGenuine says whether the sender is not who he should be, or repeats what he heard.
func (e *Refusal) NotGenuine() bool {
	return e.Reason == Unsigned || e.Reason == Forged || e.Reason == TooOld || e.Reason == TooLarge
}
