package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/sync/plan"
)

// Explained is a verdict with everything that leads to it.
type Explained struct {
	Image   mirror.Reference     `json:"image"` // upstream reference with the digest that is judged
	Stage   mirror.Stage         `json:"stage"`
	Set     string               `json:"set,omitempty"` // the entry that it belongs to, where one is known
	Entry   string               `json:"entry,omitempty"`
	Stands  time.Time            `json:"stands,omitzero"`   // since when it stands at the stage; the zero time: it does not
	Beside  mirror.Reference     `json:"beside"`            // the repository in which signatures were looked for
	Commit  string               `json:"commit"`            // of the policy
	Newer   string               `json:"newer,omitempty"`   // a newer commit that is known here and not in force: refused, or with mistakes
	Fetched bool                 `json:"fetched,omitempty"` // Git was not asked: a commit that is newer than what was fetched last does not count
	Source  VerdictSource        `json:"source"`
	Verdict mirror.Verdict       `json:"verdict"`
	Policy  []policy.Explanation `json:"policy"` // what each policy document says
	Fix     string               `json:"fix,omitempty"`
}

// VerdictSource says in one word where a verdict comes from.
type VerdictSource string

// The sources of a verdict.
const (
	VerdictRemembered VerdictSource = "remembered" // by the state of this site
	VerdictAttested   VerdictSource = "attested"   // by a statement of this site in the local registry
	VerdictAsked      VerdictSource = "asked"      // judged just now
)

// Explain gives the verdict of an image at a stage with everything that leads to it; at the first stage where none is
// named. The image is named as Trace takes it, or is any upstream reference. What is remembered or attested is taken
// as it is unless fresh. Where that needs the network and the line is offline, the error has mirror.ErrOffline in it.
func (l *Line) Explain(ctx context.Context, query string, stage mirror.Stage, fresh bool) (Explained, error) {
	g, err := l.glance(ctx)
	if err != nil {
		return Explained{}, err
	}
	f := g.fleet
	if stage, err = f.stage(stage); err != nil {
		return Explained{}, err
	}
	a, since, err := g.about(ctx, query, stage)
	if errors.Is(err, mirror.ErrNotFetched) {
		verdict := notFetchedYet(l.now())
		return Explained{Image: a.Image, Stage: stage, Commit: f.desired.Commit, Source: VerdictAsked, Verdict: verdict, Policy: []policy.Explanation{}, Fix: verdict.Reason.Fix}, nil
	}
	if err != nil {
		return Explained{}, err
	}
	at := l.now()
	e := Explained{Image: a.Image, Stage: stage, Set: a.Key.Set, Entry: a.Key.Entry, Stands: since, Beside: a.From.AtDigest(mirror.Digest{}), Commit: f.desired.Commit}
	e.Newer, e.Fetched = l.newer(f), l.offline
	if err := l.judgeAgain(ctx, f, a, &e, fresh, at); err != nil {
		return e, err
	}
	e.Policy = f.policy.Explain(e.Image, stage, e.Verdict, at)
	if !e.Verdict.Outcome.Admits() {
		a.Kind, a.Reason, a.Outcome = mirror.Refuse, e.Verdict.Reason, e.Verdict.Outcome
		e.Fix = plan.Mend(a)
	}
	return e, nil
}

// newer gives the commit that is known here and should be in force instead of the one that is; "" where there is none.
func (l *Line) newer(f *fleet) string {
	head, err := l.git.Head()
	if err != nil || head == f.head {
		head = f.head
	}
	if inputs, err := l.git.Inputs(head); f.trouble() == nil && (err != nil || inputs == f.inputs) || head == f.desired.Commit {
		return ""
	}
	return head
}

// judgeAgain gives the verdict as it is remembered, or asks.
func (l *Line) judgeAgain(ctx context.Context, f *fleet, a mirror.Action, e *Explained, fresh bool, at time.Time) error {
	options := l.judging(f, at)
	heard := &heard{Known: options.Known}
	options.Known = heard
	if fresh {
		options.Known, options.Attested = nil, nil
	} else if v, ok := l.refusal(f, a); ok {
		e.Verdict, e.Source = v, VerdictRemembered
		return nil
	}
	var place mirror.Reference
	e.Verdict, place, _ = l.consult(ctx, f, f.policy.Verifier(options), a, l.content())
	e.Beside, e.Source = place.AtDigest(mirror.Digest{}), VerdictAsked
	switch {
	case e.Verdict.Attested:
		e.Source = VerdictAttested
	case heard.hit.Load():
		e.Source = VerdictRemembered
	case l.offline && e.Verdict.Outcome == mirror.OutcomeUnknown:
		return fmt.Errorf("%w: no verdict is remembered of %s", mirror.ErrOffline, e.Image)
	}
	return ctx.Err()
}

// heard notes whether a remembered verdict was taken.
type heard struct {
	policy.Known
	hit atomic.Bool
}

// Verdict gives what is remembered.
func (h *heard) Verdict(key string) (mirror.Verdict, bool) {
	v, ok := h.Known.Verdict(key)
	if ok && v.RuleHash != (mirror.Digest{}) { // without one it is no verdict, only what an index does not hold
		h.hit.Store(true)
	}
	return v, ok
}

// refusal gives what the last run was told of an image at a stage, where policy refused it and is still the same.
func (l *Line) refusal(f *fleet, a mirror.Action) (mirror.Verdict, bool) {
	known := l.state.trouble(a.Key.Set)
	if a.Key.Set == "" || known.Policy != f.policy.Hash() {
		return mirror.Verdict{}, false
	}
	begins := fmt.Sprintf("%s %s %s ", a.Stage, a.Key.Entry, a.Image)
	for key, v := range known.Verdicts {
		if strings.HasPrefix(key, begins) {
			return v, true
		}
	}
	return mirror.Verdict{}, false
}

// about gives the action about what a query names at a stage: what is in the way there, what stands there, what is
// wanted there, or what stands at another stage; else about the upstream reference that it is. since is when it began to stand at the stage; the zero
// time where it does not.
func (g *glance) about(ctx context.Context, query string, stage mirror.Stage) (a mirror.Action, since time.Time, err error) {
	asked, best := parseQuery(query), noMatch
	var image mirror.Reference
	var in mirror.Set
	var look EntryLook
	var record mirror.Record
	var known []string
	for _, set := range g.fleet.desired.Sets {
		stands, err := g.stands(set)
		if err != nil {
			return a, since, err
		}
		for _, e := range g.entries(set, stands) {
			known = append(known, set.Name+"/"+e.Entry)
			if rank, _ := asked.matches(g.line.local, set, stands, e); rank < best {
				best, in, look, record, image = rank, set, e, stands, asked.imageAt(e, stage, g.line.local.Host)
			}
		}
	}
	entry := look.Entry
	for _, s := range slices.Backward(in.Stages) { // what may come to the stage next
		if image.IsZero() {
			image = asked.imageAt(look, s, g.line.local.Host)
		}
	}
	switch {
	case best == noMatch && (asked.ref.Tag == "" && !asked.ref.HasDigest() || onlyDigest(query)):
		return a, since, g.unknown(query, known)
	case image.IsZero() && (asked.ref.IsZero() || asked.ref.Host == g.line.local.Host):
		return a, since, mirror.Problem{Code: "TRC001", What: mirror.Clean(fmt.Sprintf("nothing of %s stands or is wanted at any stage", query)),
			Fix: "name an image by its tag or digest; `poundlock get entries` tells what stands where"}
	case image.IsZero() && g.isPackage(asked.ref):
		return a, since, mirror.Problem{Code: "TRC001", What: mirror.Clean(fmt.Sprintf("no package %s stands or is wanted at any stage", query)), Fix: "`poundlock get packages` lists what stands where"}
	case image.IsZero():
		image = asked.ref
	}
	if line := record.At(stage)[entry]; best != noMatch && line.Image == image {
		return g.line.standing(g.fleet, in, record, stage, entry), line.Since, nil
	}
	if !image.HasDigest() {
		d, err := g.digestOf(ctx, in, entry, image)
		if err != nil {
			a.Image = image
			return a, since, err
		}
		image = image.WithDigest(d)
	}
	a = coming(g.fleet, image, stage)
	if best == noMatch {
		return a, since, nil
	}
	a.Key, a.Vouch = mirror.Key{Set: in.Name, Entry: entry}, vouchOf(g.fleet, in, record, stage, entry, image)
	for _, s := range in.Stages { // as a promotion does, which reads what stands here
		if record.At(s)[entry].Image == image {
			a.From = g.line.local.Pointer(in, s, entry, image).AtDigest(image.Digest)
		}
	}
	return a, since, nil
}

// onlyDigest says whether a query is a digest or the beginning of one, which names nothing upstream.
func onlyDigest(text string) bool { return strings.HasPrefix(strings.ToLower(text), "sha256:") }

// imageAt gives the image of an entry at a stage that a query means: what is in the way there, what stands there, or
// what is wanted there, as far as it is what the query names.
func (q query) imageAt(e EntryLook, stage mirror.Stage, local string) mirror.Reference {
	means := func(image mirror.Reference) bool {
		if image.IsZero() || q.digest != "" {
			return !image.IsZero() && strings.HasPrefix(image.Digest.Hex, q.digest)
		}
		named := q.ref.Tag == "" || q.ref.Tag == image.Tag || q.ref.Host == local || q.text == e.Entry
		return named && (!q.ref.HasDigest() || q.ref.Digest == image.Digest)
	}
	for _, s := range e.Stages {
		if s.Stage != stage {
			continue
		}
		if s.Trouble != nil && means(s.Trouble.Image) {
			return s.Trouble.Image
		}
		for _, image := range []mirror.Reference{s.Image, s.Wanted} {
			if means(image) {
				return image
			}
		}
	}
	return mirror.Reference{}
}

// NeedsNetwork says whether an error means that an answer needs the network, or that nothing was fetched yet.
func NeedsNetwork(err error) bool {
	var p mirror.Problem
	return errors.Is(err, mirror.ErrOffline) || errors.As(err, &p) && p.Code == notRead().Code
}
