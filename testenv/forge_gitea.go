package testenv

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// giteaFace speaks the API of Gitea and Forgejo, version 1.
func giteaFace(f *Forge) http.Handler {
	c := &face{Forge: f, mux: http.NewServeMux(), prefix: "/api/v1", token: giteaToken, allowed: giteaAllowed,
		refuse: func(w http.ResponseWriter, r *refusal) {
			if r.status == http.StatusUnauthorized {
				r.message = "invalid username, password or token"
			}
			writeJSON(w, r.status, map[string]any{"message": r.message, "url": f.URL() + "/api/swagger"})
		}}
	h := &pulls{face: c, proposal: f.giteaProposal, review: f.giteaReview, verdicts: map[string]string{"APPROVED": "approved",
		"REQUEST_CHANGES": "changes-requested", "COMMENT": "commented"},
		status: func(s ForgeStatus) map[string]any {
			return map[string]any{"id": s.id, "status": s.State, "context": s.Context, "description": s.Text, "target_url": s.URL,
				"creator": map[string]any{"login": s.By}, "created_at": stamp(s.At), "updated_at": stamp(s.At)}
		}}
	h.serve()
	c.on("GET /version", "public", func(*asked) (any, error) { return map[string]any{"version": "1.26.0"}, nil })
	c.on("GET /settings/api", "public", func(*asked) (any, error) {
		return map[string]any{"max_response_items": 50, "default_paging_num": 30}, nil
	})
	c.on("GET "+repo+"/commits/{sha}/pull", "read:repository", func(a *asked) (any, error) {
		all := a.newest(func(p *ForgeProposal) bool { return p.MergeCommit == a.r.PathValue("sha") })
		if len(all) == 0 {
			return nil, ErrForgeMissing
		}
		return f.giteaProposal(all[0]), nil
	})
	c.on("GET "+repo+"/pulls/{n}/{head...}", "read:repository", func(a *asked) (any, error) {
		all := a.newest(func(p *ForgeProposal) bool { return p.Base == a.r.PathValue("n") && p.Head == a.r.PathValue("head") })
		if len(all) == 0 {
			return nil, ErrForgeMissing
		}
		return f.giteaProposal(all[0]), nil
	})
	c.giteaTeams()
	return c.mux
}

func (c *face) giteaTeams() {
	names := func(a *asked) []string {
		return slices.DeleteFunc(slices.Sorted(maps.Keys(a.teams)), func(n string) bool { return !strings.Contains(n, a.query("q")) })
	}
	id := func(name string) int { return slices.Index(slices.Sorted(maps.Keys(c.teams)), name) + 1 }
	show := func(n string) any { return map[string]any{"id": id(n), "name": n} }
	c.on("GET /orgs/{org}/teams/search", "read:organization", func(a *asked) (any, error) {
		if a.r.PathValue("org") != "platform" {
			return nil, ErrForgeMissing
		}
		return map[string]any{"ok": true, "data": paged(a, names(a), "limit", show)}, nil
	})
	c.on("GET /orgs/{org}/teams", "read:organization", func(a *asked) (any, error) {
		if a.r.PathValue("org") != "platform" {
			return nil, ErrForgeMissing
		}
		return paged(a, names(a), "limit", show), nil
	})
	c.on("GET /teams/{id}/members", "read:organization", func(a *asked) (any, error) {
		all := slices.Sorted(maps.Keys(a.teams))
		if n := a.number("id"); n > 0 && n <= len(all) {
			return paged(a, a.teams[all[n-1]], "limit", func(m string) any { return map[string]any{"login": m, "username": m} }), nil
		}
		return nil, ErrForgeMissing
	})
}

func giteaToken(r *http.Request) string {
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch strings.ToLower(kind) {
	case "token", "bearer":
		return token
	case "basic":
		_, password, _ := r.BasicAuth()
		return password
	}
	return r.URL.Query().Get("token")
}

// giteaAllowed holds a request against the scopes of a token, such as write:issue.
func giteaAllowed(a *asked, need string) *refusal {
	level, what, _ := strings.Cut(need, ":")
	if a.user.scopes == nil || slices.Contains(a.user.scopes, "all") || slices.Contains(a.user.scopes, "write:"+what) {
		return nil
	}
	if a.r.Method != http.MethodGet {
		level = "write"
	}
	if level == "read" && slices.Contains(a.user.scopes, need) {
		return nil
	}
	return &refusal{status: http.StatusForbidden, message: "token does not have at least one of required scope(s), required=[" + level + ":" + what +
		"], token scope=" + strings.Join(a.user.scopes, ",")}
}

func (f *Forge) giteaProposal(p *ForgeProposal) map[string]any {
	h := &pulls{face: &face{Forge: f}}
	m := map[string]any{"id": p.id, "number": p.Number, "url": f.page(p), "html_url": f.page(p), "title": p.Title, "body": p.Body,
		"user": h.person(p.Author), "labels": h.tags(p.Labels), "state": openOrClosed(p), "draft": p.Draft, "comments": len(p.Comments),
		"mergeable": p.Open && f.mergeable(p), "merged": p.Merged, "merged_at": nil, "merge_commit_sha": nil, "merged_by": nil,
		"base": h.branchInfo(p, p.Base, f.baseOf(p)), "head": h.branchInfo(p, p.Head, p.HeadCommit), "created_at": stamp(p.Created),
		"updated_at": stamp(p.Updated), "closed_at": stamp(p.Ended)}
	if p.Merged {
		m["merged_at"], m["merge_commit_sha"], m["merged_by"] = stamp(p.Ended), p.MergeCommit, h.person(p.EndedBy)
	}
	if from, err := f.mergeBase(f.baseOf(p), p.HeadCommit); err == nil {
		m["merge_base"] = from
	}
	return m
}

func (f *Forge) giteaReview(r ForgeReview) map[string]any {
	state := map[string]string{"approved": "APPROVED", "changes-requested": "REQUEST_CHANGES", "commented": "COMMENT", "dismissed": "APPROVED"}[r.Verdict]
	return map[string]any{"id": r.id, "user": map[string]any{"login": r.By, "username": r.By}, "state": state, "body": r.Body, "commit_id": r.Commit,
		"dismissed": r.Verdict == "dismissed", "official": f.mayWrite(r.By), "submitted_at": stamp(r.At), "updated_at": stamp(r.At)}
}

func openOrClosed(p *ForgeProposal) string {
	if p.Open {
		return "open"
	}
	return "closed"
}

// baseOf gives the commit that the base of a proposal is at, or was at when it ended.
func (f *Forge) baseOf(p *ForgeProposal) string {
	if p.Open || p.baseAt == "" {
		return f.branch(p.Base)
	}
	return p.baseAt
}

func (f *Forge) mergeable(p *ForgeProposal) bool {
	_, err := f.mergedTree(f.baseOf(p), p.HeadCommit)
	return err == nil
}
