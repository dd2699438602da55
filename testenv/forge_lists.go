package testenv

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// since says whether a time is not before the one that a parameter names.
func (a *asked) since(name string, at time.Time) bool {
	t, err := time.Parse(time.RFC3339, a.query(name))
	return err != nil || !at.Before(t)
}

// paged gives the part of a list that was asked for, and says in headers where the rest is.
func paged[T any](a *asked, all []T, size string, show func(T) any) []any {
	page, each := 1, 30
	if n, err := strconv.Atoi(a.query("page")); err == nil && n > 0 {
		page = n
	}
	if n, err := strconv.Atoi(a.query(size)); err == nil && n > 0 {
		each = min(n, 100)
	}
	if a.kind == "gitea" {
		each = min(each, 50)
	}
	from, to := min((page-1)*each, len(all)), min(page*each, len(all))
	last := max((len(all)+each-1)/each, 1)
	var links []string
	link := func(rel string, n int) {
		q := a.r.URL.Query()
		q.Set("page", strconv.Itoa(n))
		links = append(links, fmt.Sprintf(`<%s%s?%s>; rel="%s"`, a.URL(), a.r.URL.EscapedPath(), q.Encode(), rel))
	}
	h := a.w.Header()
	h.Set("X-Page", strconv.Itoa(page))
	h.Set("X-Per-Page", strconv.Itoa(each))
	h.Set("X-Total", strconv.Itoa(len(all)))
	h.Set("X-Total-Pages", strconv.Itoa(last))
	h.Set("X-Total-Count", strconv.Itoa(len(all)))
	h.Set("X-Next-Page", "")
	if page < last {
		h.Set("X-Next-Page", strconv.Itoa(page+1))
		link("next", page+1)
		link("last", last)
	}
	if page > 1 {
		link("first", 1)
		link("prev", page-1)
	}
	if len(links) > 0 {
		h.Set("Link", strings.Join(links, ","))
	}
	list := []any{}
	for _, x := range all[from:to] {
		list = append(list, show(x))
	}
	return list
}

// newest gives proposals, newest first, that want says yes to.
func (a *asked) newest(want func(*ForgeProposal) bool) []*ForgeProposal {
	var all []*ForgeProposal
	for _, p := range slices.Backward(a.proposals) {
		if want(p) {
			all = append(all, p)
		}
	}
	return all
}

// bringing gives the merged proposals that brought a commit: what the merge put onto the base, or what they had; and
// open ones that have it.
func (a *asked) bringing(commit string) []*ForgeProposal {
	return a.newest(func(p *ForgeProposal) bool {
		if p.MergeCommit == commit || slices.Contains(p.brought, commit) {
			return true
		}
		if !a.contains(p.HeadCommit, commit) {
			return false
		}
		base := p.baseAt
		if base == "" {
			base = a.branch(p.Base)
		}
		return !a.contains(base, commit)
	})
}

// known says whether the repository has a commit.
func (f *Forge) known(commit string) bool {
	return f.git.store().HasEncodedObject(plumbing.NewHash(commit)) == nil
}

// sorted puts proposals in the order that was asked for; they are newest first.
func sorted(a *asked, all []*ForgeProposal) []*ForgeProposal {
	by := func(p *ForgeProposal) time.Time { return p.Created }
	switch sort := a.query("sort") + a.query("order_by"); {
	case sort == "updated" || sort == "updated_at" || sort == "recentupdate":
		by = func(p *ForgeProposal) time.Time { return p.Updated }
	case sort == "leastupdate":
		slices.Reverse(all)
		slices.SortStableFunc(all, func(x, y *ForgeProposal) int { return x.Updated.Compare(y.Updated) })
		return all
	case sort == "oldest":
		slices.Reverse(all)
		return all
	}
	slices.SortStableFunc(all, func(x, y *ForgeProposal) int { return by(y).Compare(by(x)) })
	if a.query("direction") == "asc" || a.query("sort") == "asc" {
		slices.Reverse(all)
	}
	return all
}
