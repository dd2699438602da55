package sources

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// eprQuestion is what a source of kind epr asks.
type eprQuestion struct {
	eprSource
	own      []ownPackage
	ownNames []string // entries of own packages in the fleet repository
	question mirror.Digest
}

// maxSearches is how many searches one question may need: one for each range of the package format, which no answer tells.
const maxSearches = 32

// ask asks the package registry by as few searches as there are ranges of the package format, most often one, and asks for
// own packages.
func (q eprQuestion) ask(ctx context.Context, up Upstream, past Past, at time.Time) (listing, error) {
	l := listing{origin: mirror.DigestOf(append([]byte("epr 1\n"), q.given...)), packages: true}
	if q.base != nil {
		if err := q.askRegistry(ctx, up, past, &l); err != nil {
			return listing{}, err
		}
	}
	if err := q.askOwn(ctx, up, &l); err != nil {
		return listing{}, err
	}
	slices.SortFunc(l.left, func(a, b Left) int { return cmp.Or(cmp.Compare(a.Entry, b.Entry), cmp.Compare(a.Why, b.Why)) })
	return l, nil
}

// askRegistry searches, or takes what stood in the answer before where the package registry says that nothing changed.
func (q eprQuestion) askRegistry(ctx context.Context, up Upstream, past Past, l *listing) error {
	searches := q.searches()
	if len(searches) > maxSearches {
		return mirror.Problem{Code: "SRC114", Where: q.node.Key("distribution").Where(), What: fmt.Sprintf("%d ranges of the package format are asked for, more than %d", len(searches), maxSearches),
			Fix: "split the file into several sets"}
	}
	before := past.Before()
	if before.Question != q.question {
		before = Listing{}
	}
	answers, err := q.search(ctx, up, searches, before.Versions, l)
	if errors.Is(err, ErrUnchanged) && len(answers) == 0 {
		q.asBefore(before, l)
		return nil
	}
	if errors.Is(err, ErrUnchanged) { // some changed: what the others said is not kept in a form that it could be chosen from
		l.versions = nil
		answers, err = q.search(ctx, up, searches, nil, l)
	}
	if err != nil {
		return err
	}
	chosen, err := q.choose(searches, answers, l)
	for _, item := range chosen {
		l.entries = append(l.entries, mirror.Entry{Name: item.String(), Image: item.image, Package: item.at})
	}
	return err
}

// asBefore takes what an answer said before, but for own packages, which are asked for each time.
func (q eprQuestion) asBefore(before Listing, l *listing) {
	l.versions = before.Versions
	for _, e := range before.Entries {
		if e.Image.Name() == q.at+"/"+e.Package.Name {
			l.entries = append(l.entries, mirror.Entry{Name: e.Name, Image: e.Image, Package: e.Package})
		}
	}
	for _, left := range before.Left {
		if !left.Own {
			l.left = append(l.left, left)
		}
	}
}

// eprSearch is one search and the queries that its answer is for.
type eprSearch struct {
	address string
	queries []eprQuery
}

// searches groups the queries: those of one range of the package format share one search, and what all of them ask for is
// left to the package registry. The rest is chosen here, by the same rules.
func (q eprQuestion) searches() []eprSearch {
	groups := map[specRange][]eprQuery{}
	for _, query := range q.queries {
		groups[query.spec] = append(groups[query.spec], query)
	}
	if len(q.pinned) > 0 && len(groups) == 0 {
		groups[specRange{}] = nil
	}
	var all []eprSearch
	for spec, queries := range groups {
		all = append(all, eprSearch{q.searchAddress(spec, queries), queries})
	}
	slices.SortFunc(all, func(a, b eprSearch) int { return cmp.Compare(a.address, b.address) })
	return all
}

func (q eprQuestion) searchAddress(spec specRange, queries []eprQuery) string {
	ask := url.Values{}
	set := func(key, value string) {
		if value != "" {
			ask.Set(key, value)
		}
	}
	set("spec.min", spec.Min)
	set("spec.max", spec.Max)
	set("package", q.onlyName(queries))
	all, prereleases := len(q.pinned) > 0, len(q.pinned) > 0
	if len(q.pinned) == 0 {
		set("type", same(queries, func(e eprQuery) string {
			if len(e.types) == 1 {
				return e.types[0]
			}
			return ""
		}))
		set("kibana.version", same(queries, func(e eprQuery) string {
			if e.kibana != nil {
				return e.kibana.String()
			}
			return ""
		}))
	}
	for _, e := range queries {
		prereleases = prereleases || e.prereleases
		// The newest of several questions, or of what is excluded here, is not the newest of what upstream knows.
		all = all || e.newest != 1 || len(queries) > 1 || len(q.exclude) > 0 || len(e.types) > 1
	}
	if all {
		ask.Set("all", "true")
	}
	if prereleases {
		ask.Set("prerelease", "true")
	}
	address := *q.base
	address.Path += "/search"
	address.RawQuery = ask.Encode()
	return address.String()
}

// onlyName gives the one package that is asked for; "" where there are several.
func (q eprQuestion) onlyName(queries []eprQuery) string {
	names := map[string]bool{}
	for _, p := range q.pinned {
		names[p.Name] = true
	}
	for _, e := range queries {
		if len(e.names) != 1 || !exact(e.names[0]) {
			return ""
		}
		names[e.names[0]] = true
	}
	if len(names) != 1 {
		return ""
	}
	return slices.Collect(maps.Keys(names))[0]
}

// same gives what a function says of all queries; "" where it says two things.
func same(queries []eprQuery, of func(eprQuery) string) (all string) {
	for i, e := range queries {
		if text := of(e); i == 0 {
			all = text
		} else if text != all {
			return ""
		}
	}
	return all
}

// search makes the searches. Where all answers are as before it gives ErrUnchanged and no answer, where some are ErrUnchanged
// and the others.
func (q eprQuestion) search(ctx context.Context, up Upstream, searches []eprSearch, before map[string]Version, l *listing) (answers []*eprAnswer, err error) {
	l.versions = map[string]Version{}
	unchanged := 0
	for _, s := range searches {
		answer, version, err := q.searchOnce(ctx, up, s.address, before[s.address])
		if errors.Is(err, ErrUnchanged) {
			unchanged++
			continue
		}
		if err != nil {
			return nil, err
		}
		answers = append(answers, answer)
		if version != (Version{}) {
			l.versions[s.address] = version
		}
	}
	if unchanged > 0 {
		return answers, ErrUnchanged
	}
	return answers, nil
}

// searchOnce makes one search. An answer of which more is damaged than good is refused whole.
func (q eprQuestion) searchOnce(ctx context.Context, up Upstream, address string, before Version) (*eprAnswer, Version, error) {
	body, version, err := up.Since(ctx, address, maxSearch, before)
	if err != nil {
		return nil, Version{}, fmt.Errorf("search packages: %w", err)
	}
	defer body.Close()
	answer := newEPRAnswer()
	err = readSearch(body, answer.add, answer.leave, q.base, q.at)
	shown := q.base.JoinPath("search").String()
	problem := mirror.Problem{Code: "SRC115", Where: q.where(), Fix: "see what the address answers, or whether the filters match nothing; what stands stays meanwhile"}
	switch {
	case errors.Is(err, mirror.ErrTooLarge):
		problem.What, problem.Fix = fmt.Sprintf("the answer of %s is too large: %v", shown, err), "narrow what is asked for"
		return nil, Version{}, problem
	case errors.Is(err, errSearch):
		problem.What = fmt.Sprintf("%s: %v", shown, err)
		return nil, Version{}, problem
	case err != nil:
		return nil, Version{}, fmt.Errorf("search packages: get %s: %w", shown, err)
	case len(answer.items)+answer.bad == 0:
		problem.Code, problem.What = "SRC006", "upstream answers that there is nothing"
		return nil, Version{}, problem
	case answer.bad > len(answer.items):
		problem.What = fmt.Sprintf("of %d packages that %s names %d cannot be read", answer.bad+len(answer.items), shown, answer.bad)
		problem.Why = "more is damaged than good, so nothing of it is taken"
		return nil, Version{}, problem
	}
	return answer, version, nil
}

// where is the place that names the package registry.
func (q eprQuestion) where() mirror.Position {
	for _, key := range []string{"url", "distribution"} {
		if n := q.node.Key(key); !n.IsZero() {
			return n.Where()
		}
	}
	return q.node.Where()
}
