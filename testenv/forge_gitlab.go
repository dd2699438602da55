package testenv

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	project = "/projects/{project}"
	mergeAt = project + "/merge_requests/{n}"
)

// gitlabFace speaks the API of GitLab, version 4. The project is known by its whole path, and by the number 1.
func gitlabFace(f *Forge) http.Handler {
	c := &face{Forge: f, mux: http.NewServeMux(), prefix: "/api/v4", token: gitlabToken, allowed: gitlabAllowed,
		refuse: func(w http.ResponseWriter, r *refusal) {
			switch r.status {
			case http.StatusUnauthorized:
				r.message = "401 Unauthorized"
			case http.StatusConflict:
				writeJSON(w, r.status, map[string]any{"message": []any{"Another open merge request already exists for this source branch: !1"}})
				return
			case http.StatusForbidden:
				if strings.HasPrefix(r.message, "insufficient_scope") {
					writeJSON(w, r.status, map[string]any{"error": "insufficient_scope", "error_description": "The request requires higher privileges than provided by the access token.",
						"scope": strings.TrimPrefix(r.message, "insufficient_scope ")})
					return
				}
				r.message = "403 Forbidden"
			}
			writeJSON(w, r.status, map[string]any{"message": r.message})
		}}
	c.on("GET /version", "", func(*asked) (any, error) { return map[string]any{"version": "18.5.0", "revision": "testenv"}, nil })
	c.on("GET /metadata", "", func(*asked) (any, error) { return map[string]any{"version": "18.5.0", "revision": "testenv"}, nil })
	c.on("GET /user", "", func(a *asked) (any, error) { return a.member(a.user.name), nil })
	c.on("GET /personal_access_tokens/self", "", func(a *asked) (any, error) {
		scopes := a.user.scopes
		if scopes == nil {
			scopes = []string{"api"}
		}
		m := map[string]any{"id": a.user.id, "name": "token", "active": true, "scopes": scopes, "user_id": a.user.id, "expires_at": nil}
		if !a.user.expires.IsZero() {
			m["expires_at"] = a.user.expires.UTC().Format(time.DateOnly)
		}
		return m, nil
	})
	c.on("GET "+project, "read", func(a *asked) (any, error) {
		m := f.project()
		level := map[string]int{"read": 20, "write": 30, "admin": 40}[a.user.role]
		m["permissions"] = map[string]any{"project_access": map[string]any{"access_level": level}, "group_access": nil}
		return m, nil
	})
	c.on("GET "+project+"/labels", "read", func(a *asked) (any, error) {
		return paged(a, a.labels, "per_page", func(l forgeLabel) any { return map[string]any{"id": l.id, "name": l.name} }), nil
	})
	c.on("POST "+project+"/labels", "write", func(a *asked) (any, error) {
		l := a.label(a.field("name"))
		return created{map[string]any{"id": l.id, "name": l.name}}, nil
	})
	members := func(a *asked) (any, error) {
		owner, team, _ := strings.Cut(a.r.PathValue("group"), "/")
		all, ok := a.teams[team]
		if !ok || owner != "platform" {
			return nil, &refusal{status: http.StatusNotFound, message: "404 Group Not Found"}
		}
		return paged(a, all, "per_page", func(m string) any {
			u := a.member(m)
			u["access_level"] = 30
			return u
		}), nil
	}
	c.on("GET /groups/{group}/members", "read", members)
	c.on("GET /groups/{group}/members/all", "read", members)
	c.gitlabProposals()
	c.gitlabReviews()
	c.gitlabNotes()
	c.gitlabStatuses()
	return c.mux
}

func gitlabToken(r *http.Request) string {
	if t := r.Header.Get("PRIVATE-TOKEN"); t != "" {
		return t
	}
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

// gitlabAllowed holds a request against the scopes of a token: api, or read_api for what only reads.
func gitlabAllowed(a *asked, _ string) *refusal {
	s := a.user.scopes
	if s == nil || slices.Contains(s, "api") || a.r.Method == http.MethodGet && slices.Contains(s, "read_api") {
		return nil
	}
	if a.r.Method == http.MethodGet {
		return &refusal{status: http.StatusForbidden, message: "insufficient_scope api read_api"}
	}
	return &refusal{status: http.StatusForbidden, message: "insufficient_scope api"}
}

func (f *Forge) member(name string) map[string]any {
	id := int64(0)
	if u := f.user(name); u != nil {
		id = u.id
	}
	return map[string]any{"id": id, "username": name, "name": name, "state": "active"}
}

func (f *Forge) gitlabProposal(p *ForgeProposal) map[string]any {
	source, branch := 1, p.Head
	if _, name, fork := strings.Cut(p.Head, ":"); fork {
		source, branch = 2, name
	}
	state := "opened"
	switch {
	case p.Merged:
		state = "merged"
	case !p.Open:
		state = "closed"
	}
	labels := p.Labels
	if labels == nil {
		labels = []string{}
	}
	m := map[string]any{"id": p.id, "iid": p.Number, "project_id": 1, "source_project_id": source, "target_project_id": 1, "title": p.Title,
		"description": p.Body, "state": state, "source_branch": branch, "target_branch": p.Base, "author": f.member(p.Author), "labels": labels,
		"draft": p.Draft, "work_in_progress": p.Draft, "sha": p.HeadCommit, "merge_commit_sha": nil, "squash_commit_sha": nil, "merge_user": nil,
		"merged_by": nil, "merged_at": nil, "closed_at": nil, "closed_by": nil, "created_at": stamp(p.Created), "updated_at": stamp(p.Updated),
		"web_url": f.page(p), "has_conflicts": p.Open && !f.mergeable(p), "detailed_merge_status": "mergeable", "squash": p.method == "squash"}
	if !p.Merged {
		if !p.Open {
			m["closed_at"], m["closed_by"] = stamp(p.Ended), f.member(p.EndedBy)
		}
		return m
	}
	m["merged_at"], m["merge_user"], m["merged_by"] = stamp(p.Ended), f.member(p.EndedBy), f.member(p.EndedBy)
	switch p.method { // a project that rebases or fast-forwards makes no merge commit
	case "squash":
		m["squash_commit_sha"] = p.MergeCommit
	case "merge":
		m["merge_commit_sha"] = p.MergeCommit
	}
	return m
}

func (c *face) gitlabProposals() {
	show := func(p *ForgeProposal) any { return c.gitlabProposal(p) }
	one := func(do func(*asked, *ForgeProposal) (any, error)) func(*asked) (any, error) {
		return func(a *asked) (any, error) {
			p, err := a.this()
			if err != nil {
				return nil, err
			}
			return do(a, p)
		}
	}
	c.on("GET "+project+"/merge_requests", "read", func(a *asked) (any, error) {
		all := a.newest(func(p *ForgeProposal) bool {
			state := a.query("state")
			is := map[string]bool{"": true, "all": true, "opened": p.Open, "merged": p.Merged, "closed": !p.Open && !p.Merged}[state]
			return is && (a.query("target_branch") == "" || a.query("target_branch") == p.Base) && a.since("updated_after", p.Updated) &&
				(a.query("source_branch") == "" || a.query("source_branch") == p.Head[strings.Index(p.Head, ":")+1:])
		})
		return paged(a, sorted(a, all), "per_page", show), nil
	})
	c.on("GET "+project+"/repository/commits/{sha}/merge_requests", "read", func(a *asked) (any, error) {
		if !a.known(a.r.PathValue("sha")) {
			return nil, &refusal{status: http.StatusNotFound, message: "404 Commit Not Found"}
		}
		return paged(a, a.bringing(a.r.PathValue("sha")), "per_page", show), nil
	})
	c.on("POST "+project+"/merge_requests", "read", func(a *asked) (any, error) {
		p, err := a.open(Opening{By: a.user.name, Head: a.field("source_branch"), Base: a.field("target_branch"), Title: a.field("title"),
			Body: a.field("description"), Labels: a.texts("labels"), Draft: strings.HasPrefix(a.field("title"), "Draft:")})
		if err != nil {
			return nil, err
		}
		return created{show(p)}, nil
	})
	c.on("GET "+mergeAt, "read", one(func(a *asked, p *ForgeProposal) (any, error) {
		m := c.gitlabProposal(p)
		start := c.baseOf(p)
		base, _ := c.mergeBase(start, p.HeadCommit) // none is shown as none
		m["diff_refs"] = map[string]any{"base_sha": base, "head_sha": p.HeadCommit, "start_sha": start}
		return m, nil
	}))
	c.on("PUT "+mergeAt, "read", one(func(a *asked, p *ForgeProposal) (any, error) {
		if a.user.role == "read" && p.Author != a.user.name {
			return nil, &refusal{status: http.StatusForbidden}
		}
		if t, ok := a.text("title"); ok {
			p.Title = t
		}
		if d, ok := a.text("description"); ok {
			p.Body = d
		}
		if _, ok := a.body["labels"]; ok {
			a.setLabels(p, a.texts("labels"))
		}
		if add := a.texts("add_labels"); len(add) > 0 {
			a.setLabels(p, append(add, p.Labels...))
		}
		p.Updated = a.now()
		switch event := a.field("state_event"); {
		case event == "close" && p.Open:
			if err := a.end(p, a.user.name); err != nil {
				return nil, err
			}
		case event == "reopen" && !p.Open && !p.Merged:
			p.Open, p.EndedBy = true, ""
			a.tellProposal("reopened", p, a.user.name)
		default:
			a.tellProposal("edited", p, a.user.name)
		}
		return show(p), nil
	}))
	c.on("PUT "+mergeAt+"/merge", "write", one(func(a *asked, p *ForgeProposal) (any, error) {
		if sha := a.field("sha"); sha != "" && sha != p.HeadCommit {
			return nil, &refusal{status: http.StatusConflict, message: "SHA does not match HEAD of source branch"}
		}
		method := "merge"
		if squash, _ := a.body["squash"].(bool); squash {
			method = "squash"
		}
		if err := a.merge(p, a.user.name, method, a.field("merge_commit_message")); err != nil {
			return nil, err
		}
		return show(p), nil
	}))
}
