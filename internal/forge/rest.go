package forge

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxPages bounds every list: with a hundred a page it is longer than what people read.
const maxPages = 50

// maxLabels is how many labels a proposal of ours gets at most.
const maxLabels = 20

// rest is what the kinds have in common: one repository behind an API of HTTP and JSON.
type rest struct {
	host        string
	owner, name string // of the repository
	branch      string
	client      *http.Client
	guard       *guard

	mu   sync.Mutex
	self string // login of the credential, once it was asked for
}

// API gives the address of the API of a forge of a kind, whose pages are at the given address, with a slash at its
// end.
func API(kind, address string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(address, "/"))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the address of the forge cannot be parsed")
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !slices.Contains([]string{"http", "https"}, u.Scheme):
		return nil, fmt.Errorf("the address of the forge is not of the form https://host")
	}
	switch {
	case kind == "github" && (u.Hostname() == "github.com" || u.Hostname() == "www.github.com"):
		u.Host, u.Path = "api.github.com", "/"
	case kind == "github" && strings.HasSuffix(u.Hostname(), ".ghe.com"):
		u.Host, u.Path = "api."+u.Host, "/"
	case kind == "github":
		u.Path += "/api/v3/"
	case kind == "gitlab":
		u.Path += "/api/v4/"
	case kind == "gitea":
		u.Path += "/api/v1/"
	default:
		return nil, fmt.Errorf("unknown kind of forge %q", kind)
	}
	return u, nil
}

// newRest reads the options of a kind. Token gives what is sent; refuse is told where it was not let in.
func newRest(o Options, token func(context.Context) (string, error), refuse func()) (*rest, error) {
	api, err := API(o.Kind, o.URL)
	if err != nil {
		return nil, err
	}
	if token == nil {
		return nil, fmt.Errorf("no token for the forge")
	}
	owner, name, ok := cutLast(o.Repository, "/")
	if !ok || owner == "" || name == "" {
		return nil, fmt.Errorf("%q is not owner/name of a repository", o.Repository)
	}
	g := &guard{next: o.HTTP, api: api, now: o.Now, token: token, refuse: refuse}
	return &rest{host: api.Host, owner: owner, name: name, branch: o.Branch, client: &http.Client{Transport: g}, guard: g}, nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// me gives the login of the credential; it is asked for once.
func (r *rest) me(ctx context.Context, ask func(context.Context) (string, error)) (string, error) {
	r.mu.Lock()
	self := r.self
	r.mu.Unlock()
	if self != "" {
		return self, nil
	}
	self, err := ask(ctx)
	if err != nil || self == "" {
		return "", cmp.Or(err, error(&Error{Host: r.host, Step: "ask whose credential this is", Err: ErrAnswer}))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.self = self
	return self, nil
}

// whole gives a proposal that an answer told of, if it is the one that was asked for; 0 for any. The libraries take an
// answer without a word for one.
func (r *rest) whole(p Proposal, number int) (Proposal, error) {
	if p.Number <= 0 || number != 0 && p.Number != number {
		return Proposal{}, r.fail(ErrAnswer, "read proposal %d", number)
	}
	return p, nil
}

// each gives what a forge lists, page by page from the first: list gives a page and the number of the next one, 0
// after the last.
func each[T any](list func(page int) ([]T, int, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		for page, n := 1, 0; page > 0; n++ {
			if n == maxPages {
				yield(none, ErrTooMany)
				return
			}
			items, next, err := list(page)
			if err != nil {
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			page = next
		}
	}
}

// chosen says whether a query asks for a proposal.
func (q Query) chosen(p Proposal) bool {
	switch {
	case q.Base != "" && p.Base != q.Base, q.Head != "" && (p.Head != q.Head || p.Foreign):
		return false
	case p.State == Open:
		return true
	}
	return !q.Since.IsZero() && !p.Ended.Before(q.Since)
}

// gather lists what a query asks for: open ones of the first list and, where it wants them, those that are over of
// the others, which come with the one first that changed last.
func (q Query) gather(open iter.Seq2[Proposal, error], ended ...iter.Seq2[Proposal, error]) ([]Proposal, error) {
	var all []Proposal
	seen := map[int]bool{}
	take := func(p Proposal) {
		if q.chosen(p) && !seen[p.Number] {
			seen[p.Number] = true
			all = append(all, p)
		}
	}
	for p, err := range open {
		if err != nil {
			return nil, err
		}
		take(p)
	}
	if q.Since.IsZero() {
		ended = nil
	}
	for _, list := range ended {
		looked := 0
		for p, err := range list {
			if err != nil {
				return nil, err
			}
			if p.Updated.Before(q.Since) {
				break
			}
			take(p)
			if looked++; looked == q.Most {
				break
			}
		}
	}
	slices.SortFunc(all, func(a, b Proposal) int { return cmp.Compare(b.Number, a.Number) })
	return all, nil
}

// brought chooses of proposals that have a commit the one that brought it onto the branch: the one whose merge it
// is, else the one that was merged first.
func (r *rest) brought(all []Proposal, commit string) (Proposal, bool) {
	var found Proposal
	for _, p := range all {
		switch {
		case p.State != Merged || r.branch != "" && p.Base != r.branch:
		case p.MergeCommit == commit:
			return p, true
		case found.Number == 0 || p.Ended.Before(found.Ended):
			found = p
		}
	}
	return found, found.Number != 0
}

// worst keeps one check for each context: later ones are newer, or of another kind of check.
func worst(byContext map[string]Status, s Status) {
	rank := map[Result]int{Success: 0, Pending: 1, Failure: 2}
	if old, ok := byContext[s.Context]; !ok || rank[s.Result] > rank[old.Result] {
		byContext[s.Context] = s
	}
}

// sorted gives checks in the order of their contexts.
func sorted(byContext map[string]Status) []Status {
	all := make([]Status, 0, len(byContext))
	for _, s := range byContext {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Status) int { return strings.Compare(a.Context, b.Context) })
	return all
}

// byTime puts reviews into the order in which they were given; those of one moment keep theirs.
func byTime(all []Review) []Review {
	slices.SortStableFunc(all, func(a, b Review) int { return a.At.Compare(b.At) })
	return all
}

func at(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

func labelsOf(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}

func bounded(labels []string) []string {
	labels = labelsOf(labels)
	return labels[:min(len(labels), maxLabels)]
}
