package daemon

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sources"
)

// bucketAsked holds what upstreams answered and what was in the way, by set. What tags name and what was in the way
// serves previews alone: a run asks for itself. What sources named that are asked is there for both.
var bucketAsked = []byte("asked")

// answer is what an upstream said that a tag names, and when.
type answer struct {
	Digest mirror.Digest `json:"digest,omitzero"` // the zero digest: there is no such tag
	At     time.Time     `json:"at"`
	Origin mirror.Digest `json:"origin,omitzero"` // the version of the source file that it was asked for
}

// trouble is what a run found in the way.
type trouble struct {
	Places   map[string]string         `json:"places"`   // by placeKey: kind, reason and digest
	Verdicts map[string]mirror.Verdict `json:"verdicts"` // by the key of a judgement: those that do not admit
	Policy   mirror.Digest             `json:"policy"`   // that they were reached by
}

// asking notes what upstreams answer.
type asking struct {
	sources.Resolver
	mu      sync.Mutex
	answers map[string]answer
	at      time.Time
	origin  mirror.Digest
}

// Resolve asks and notes; what could not be asked is not noted.
func (a *asking) Resolve(ctx context.Context, r mirror.Reference) (mirror.Descriptor, error) {
	d, err := a.Resolver.Resolve(ctx, r)
	if err == nil || errors.Is(err, mirror.ErrNotFound) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.answers[r.String()] = answer{Digest: d.Digest, At: a.at, Origin: a.origin}
	}
	return d, err
}

// asks gives a resolver that notes, and what to call at the end.
func (l *Line) asks(set mirror.Set, at time.Time) (r *asking, done func() error) {
	r = &asking{Resolver: l.registry, answers: map[string]answer{}, at: at, origin: set.Origin}
	return r, func() error {
		if len(r.answers) == 0 {
			return nil
		}
		all := map[string]answer{}
		known := l.state.answers(set.Name)
		for _, e := range set.Entries {
			if a, ok := known[e.Image.String()]; ok && !e.Image.HasDigest() {
				all[e.Image.String()] = a
			}
		}
		for ref, a := range r.answers {
			all[ref] = a
		}
		return l.state.setAsked(set.Name+"/answers", all)
	}
}

// found remembers what is in the way of a set after a step.
func (l *Line) found(f *fleet, v *view) error {
	t := trouble{Places: map[string]string{}, Verdicts: map[string]mirror.Verdict{}, Policy: f.policy.Hash()}
	before := l.state.trouble(v.set.Name)
	if before.Policy == t.Policy && l.limit.active() {
		maps.Copy(t.Verdicts, before.Verdicts)
	}
	for _, a := range v.plan.Actions {
		switch known, ok := before.Places[placeKey(a)]; {
		case a.Kind == mirror.Refuse || a.Kind == mirror.Missing:
			t.Places[placeKey(a)] = placeText(a)
		case a.Kind == mirror.Skip && ok:
			t.Places[placeKey(a)] = known
		}
	}
	p := l.progress(v.set.Name)
	p.mu.Lock()
	for key, j := range p.judged {
		if j.verdict.Outcome == mirror.OutcomeRejected {
			t.Verdicts[key] = j.verdict
		}
	}
	p.mu.Unlock()
	return l.state.setAsked(v.set.Name+"/trouble", t)
}

// placeKey names what an action is about.
func placeKey(a mirror.Action) string {
	return string(a.Stage) + " " + a.Key.Entry + " " + a.Path
}

func placeText(a mirror.Action) string {
	return strings.Join([]string{string(a.Kind), string(a.Reason.Code), a.New.String()}, " ")
}

// recall fills what the process knows of a set with what the last run found out, as far as it is not older than
// maxAge, so that a preview does not ask again. It gives when the oldest answer of a tag that the set follows was
// given; the zero time when there is none. A maxAge below zero takes whatever is known.
func (l *Line) recall(f *fleet, set mirror.Set, at time.Time, maxAge time.Duration) (asOf time.Time) {
	fresh := func(t time.Time) bool { return maxAge < 0 || at.Sub(t) <= maxAge }
	answers := l.state.answers(set.Name)
	var candidates, before []mirror.Candidate
	for _, e := range set.Entries {
		c := mirror.Candidate{Entry: e, Image: e.Image}
		if e.Image.HasDigest() {
			candidates = append(candidates, c)
			continue
		}
		a, known := answers[e.Image.String()]
		switch {
		case known && (set.Follow && fresh(a.At) || !set.Follow && a.Origin == set.Origin && (a.Digest != mirror.Digest{} || fresh(a.At))):
			if c.Image = e.Image.WithDigest(a.Digest); a.Digest == (mirror.Digest{}) {
				c.Err = fmt.Errorf("resolve %s: %w", e.Image, mirror.ErrNotFound)
			}
			candidates, before = append(candidates, c), append(before, c)
			if set.Follow && (asOf.IsZero() || a.At.Before(asOf)) {
				asOf = a.At
			}
		case set.Follow && maxAge >= 0:
			c.Err = errStale // the record must not speak for it
			before = append(before, c)
		}
	}
	p := l.progress(set.Name)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inputs, p.before = f.versionOf(set), before
	if len(candidates) == len(set.Entries) {
		p.candidates = candidates
	}
	t := l.state.trouble(set.Name)
	if t.Policy != f.policy.Hash() {
		return asOf
	}
	for key, v := range t.Verdicts {
		if fresh(v.At) {
			p.judged[key] = judgement{verdict: v, err: fmt.Errorf("%s: %w", v.Reason, mirror.ErrRefused)}
		}
	}
	return asOf
}

var errStale = errors.New("asked too long ago")

// asBefore marks what is in the way as the last run found it.
func (l *Line) asBefore(p mirror.Plan) {
	places := l.state.trouble(p.Set).Places
	remarks, err := l.state.Remarks(p.Set)
	if err != nil {
		l.log.Debug("what is to be known of what stands cannot be read", keySet, p.Set, keyError, err)
	}
	for i, a := range p.Actions {
		if a.Kind == mirror.Unchanged && len(a.Warnings) > 0 {
			p.Actions[i].AsBefore = len(newWarnings(remarks, []Remark{{Stage: a.Stage, Entry: a.Key.Entry, Warnings: a.Warnings}})) == 0
		}
		if a.Kind == mirror.Refuse || a.Kind == mirror.Missing {
			p.Actions[i].AsBefore = places[placeKey(a)] == placeText(a)
		}
	}
}

func (s *State) answers(set string) map[string]answer {
	var all map[string]answer
	s.asked(set+"/answers", &all)
	return all
}

func (s *State) trouble(set string) trouble {
	var t trouble
	s.asked(set+"/trouble", &t)
	return t
}

// asked reads what a preview knows; what cannot be read is as if it were not there.
func (s *State) asked(key string, v any) {
	_ = s.db.View(func(tx *bbolt.Tx) error {
		if bucket := tx.Bucket(bucketAsked); bucket != nil {
			_ = json.Unmarshal(unpacked(bucket.Get([]byte(key))), v)
		}
		return nil
	})
}

// forgetAsked drops what is known of sets that are no more.
func (s *State) forgetAsked(desired mirror.Desired) error {
	var gone [][]byte
	err := s.db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(bucketAsked)
		if bucket == nil {
			return nil
		}
		return bucket.ForEach(func(key, _ []byte) error {
			set, _, _ := strings.Cut(string(key), "/")
			if _, ok := desired.Set(set); !ok {
				gone = append(gone, bytes.Clone(key))
			}
			return nil
		})
	})
	if err != nil || len(gone) == 0 {
		return err
	}
	return s.db.Batch(func(tx *bbolt.Tx) error {
		var errs []error
		for _, key := range gone {
			errs = append(errs, tx.Bucket(bucketAsked).Delete(key))
		}
		return errors.Join(errs...)
	})
}

// setAsked writes it, where it changed.
func (s *State) setAsked(key string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	text = packed(text)
	same := false
	err = s.db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(bucketAsked)
		same = bucket != nil && bytes.Equal(bucket.Get([]byte(key)), text)
		return nil
	})
	if err != nil || same {
		return err
	}
	return s.db.Batch(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists(bucketAsked)
		if err != nil {
			return err
		}
		return bucket.Put([]byte(key), text)
	})
}

// packedFrom is the size in bytes from which what is remembered is packed: a listing of packages has tens of thousands of
// addresses that are almost the same.
const packedFrom = 64 << 10

// packed gives a text in the form in which it is kept: packed where it is large. The same text has the same form.
func packed(text []byte) []byte {
	if len(text) < packedFrom {
		return text
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(text); err != nil || w.Close() != nil {
		return text
	}
	return b.Bytes()
}

// unpacked gives back what was packed; anything else as it is, which no JSON begins with the first byte of what is packed.
func unpacked(kept []byte) []byte {
	if len(kept) < 2 || kept[0] != 0x1f {
		return kept
	}
	r, err := gzip.NewReader(bytes.NewReader(kept))
	if err != nil {
		return nil
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return nil
	}
	return text
}
