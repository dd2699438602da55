package testenv

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// githubFace speaks the API of GitHub, version 3, under the path that GitHub Enterprise Server has it.
func githubFace(f *Forge) http.Handler {
	c := &face{Forge: f, mux: http.NewServeMux(), prefix: "/api/v3", token: giteaToken, allowed: githubAllowed,
		refuse: func(w http.ResponseWriter, r *refusal) {
			body := map[string]any{"message": r.message, "documentation_url": "https://docs.github.com/rest"}
			if len(r.errors) > 0 {
				body["errors"] = r.errors
			}
			writeJSON(w, r.status, body)
		}}
	h := &pulls{face: c, proposal: f.githubProposal, review: f.githubReview, verdicts: map[string]string{"APPROVE": "approved",
		"REQUEST_CHANGES": "changes-requested", "COMMENT": "commented"},
		status: func(s ForgeStatus) map[string]any {
			return map[string]any{"id": s.id, "state": s.State, "context": s.Context, "description": s.Text, "target_url": s.URL,
				"creator": map[string]any{"login": s.By}, "created_at": stamp(s.At), "updated_at": stamp(s.At)}
		}}
	h.serve()
	c.on("GET "+repo+"/commits/{sha}/pulls", "read:repository", func(a *asked) (any, error) {
		if !a.known(a.r.PathValue("sha")) {
			return nil, &refusal{status: 422, message: "No commit found for SHA: " + a.r.PathValue("sha")}
		}
		return paged(a, a.bringing(a.r.PathValue("sha")), "per_page", func(p *ForgeProposal) any { return f.githubProposal(p) }), nil
	})
	c.on("GET "+repo+"/commits/{sha}/check-runs", "read:repository", func(*asked) (any, error) {
		return map[string]any{"total_count": 0, "check_runs": []any{}}, nil
	})
	c.on("GET "+repo+"/collaborators/{user}/permission", "read:repository", func(a *asked) (any, error) {
		u := f.user(a.r.PathValue("user"))
		if u == nil {
			return nil, ErrForgeMissing
		}
		return map[string]any{"permission": u.role, "role_name": u.role, "user": h.person(u.name)}, nil
	})
	c.on("GET /orgs/{org}/teams/{team}/members", "read:organization", func(a *asked) (any, error) {
		members, ok := a.teams[a.r.PathValue("team")]
		if !ok || a.r.PathValue("org") != "platform" {
			return nil, ErrForgeMissing
		}
		return paged(a, members, "per_page", func(m string) any { return h.person(m) }), nil
	})
	c.on("GET /rate_limit", "", func(a *asked) (any, error) {
		core := map[string]any{"limit": 5000, "remaining": 4999, "reset": a.now().Add(time.Hour).Unix()}
		return map[string]any{"resources": map[string]any{"core": core}}, nil
	})
	c.serveApps()
	return c.mux
}

// githubAllowed says in headers what the token may do, and holds the request against that.
func githubAllowed(a *asked, need string) *refusal {
	head := a.w.Header()
	if a.user.scopes != nil {
		head.Set("X-OAuth-Scopes", strings.Join(a.user.scopes, ", "))
	} else {
		head.Set("X-OAuth-Scopes", "repo, read:org")
	}
	if !a.user.expires.IsZero() {
		head.Set("GitHub-Authentication-Token-Expiration", a.user.expires.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	if a.user.scopes == nil || slices.Contains(a.user.scopes, "repo") && need != "read:organization" {
		return nil
	}
	if need == "read:organization" && slices.Contains(a.user.scopes, "read:org") ||
		need == "write:repository" && strings.Contains(a.r.URL.Path, "/statuses/") && slices.Contains(a.user.scopes, "repo:status") {
		return nil
	}
	if strings.HasPrefix(need, "read:repository") && a.r.Method == http.MethodGet { // as for a public repository
		return nil
	}
	head.Set("X-Accepted-OAuth-Scopes", "repo")
	return &refusal{status: http.StatusForbidden, message: "Resource not accessible by personal access token"}
}

func (f *Forge) githubProposal(p *ForgeProposal) map[string]any {
	h := &pulls{face: &face{Forge: f}}
	m := map[string]any{"id": p.id, "number": p.Number, "url": f.page(p), "html_url": f.page(p), "title": p.Title, "body": p.Body,
		"user": h.person(p.Author), "labels": h.tags(p.Labels), "state": openOrClosed(p), "draft": p.Draft, "merged": p.Merged,
		"merged_at": nil, "merge_commit_sha": nil, "merged_by": nil, "base": h.branchInfo(p, p.Base, f.baseOf(p)),
		"head": h.branchInfo(p, p.Head, p.HeadCommit), "created_at": stamp(p.Created), "updated_at": stamp(p.Updated), "closed_at": stamp(p.Ended)}
	switch {
	case p.Merged:
		m["merged_at"], m["merge_commit_sha"], m["merged_by"] = stamp(p.Ended), p.MergeCommit, h.person(p.EndedBy)
	case p.Open: // a commit that GitHub makes to try the merge, which is on no branch
		m["merge_commit_sha"], m["mergeable"] = strings.Repeat("0", 39)+"1", f.mergeable(p)
	}
	return m
}

func (f *Forge) githubReview(r ForgeReview) map[string]any {
	state := map[string]string{"approved": "APPROVED", "changes-requested": "CHANGES_REQUESTED", "commented": "COMMENTED", "dismissed": "DISMISSED"}[r.Verdict]
	return map[string]any{"id": r.id, "user": map[string]any{"login": r.By, "type": kindOfUser(r.By)}, "state": state, "body": r.Body, "commit_id": r.Commit, "submitted_at": stamp(r.At)}
}

func kindOfUser(login string) string {
	if strings.HasSuffix(login, "[bot]") {
		return "Bot"
	}
	return "User"
}
