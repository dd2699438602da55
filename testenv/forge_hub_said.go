package testenv

import (
	"slices"
	"strings"
)

// comments answers what is said of a proposal without judging it.
func (h *pulls) comments() {
	show := func(p *ForgeProposal, c ForgeComment) map[string]any {
		return map[string]any{"id": c.ID, "body": c.Body, "user": h.person(c.By), "created_at": stamp(c.Created), "updated_at": stamp(c.Updated),
			"html_url": h.page(p) + "#issuecomment", "issue_url": h.page(p)}
	}
	h.on("GET "+repo+"/issues/{n}/comments", "read:issue", func(a *asked) (any, error) {
		p, err := a.this()
		if err != nil {
			return nil, err
		}
		if h.kind == "gitea" { // it gives all at once
			all := []any{}
			for _, c := range p.Comments {
				all = append(all, show(p, c))
			}
			return all, nil
		}
		return paged(a, p.Comments, h.size(), func(c ForgeComment) any { return show(p, c) }), nil
	})
	h.on("POST "+repo+"/issues/{n}/comments", "read:issue", func(a *asked) (any, error) {
		p, err := a.this()
		if err == nil {
			err = a.bounded(a.field("body"))
		}
		if err != nil {
			return nil, err
		}
		return created{show(p, a.comment(p, a.user.name, a.field("body")))}, nil
	})
	h.on("PATCH "+repo+"/issues/comments/{id}", "read:issue", func(a *asked) (any, error) {
		p, i, err := a.commented()
		if err == nil {
			err = a.bounded(a.field("body"))
		}
		if err != nil {
			return nil, err
		}
		c := &p.Comments[i]
		c.Body, c.Updated = a.field("body"), a.now()
		a.tellComment("edited", p, *c)
		return show(p, *c), nil
	})
	h.on("DELETE "+repo+"/issues/comments/{id}", "read:issue", func(a *asked) (any, error) {
		p, i, err := a.commented()
		if err != nil {
			return nil, err
		}
		p.Comments = slices.Delete(p.Comments, i, i+1)
		return map[string]any{}, nil
	})
}

// commented finds the comment that the path names, which the user may change.
func (a *asked) commented() (*ForgeProposal, int, error) {
	id := int64(a.number("id"))
	for _, p := range a.proposals {
		for i, c := range p.Comments {
			if c.ID != id {
				continue
			}
			if c.By != a.user.name && a.user.role != "admin" {
				return nil, 0, &refusal{status: 403, message: "only who wrote it may change it"}
			}
			return p, i, nil
		}
	}
	return nil, 0, ErrForgeMissing
}

// maxForgeComment is how many characters a comment may have, by kind of forge; Gitea's own limit is far off.
var maxForgeComment = map[string]int{"github": 65536, "gitlab": 1_000_000}

func (f *Forge) bounded(body string) error {
	switch limit := maxForgeComment[f.kind]; {
	case limit > 0 && len([]rune(body)) > limit:
		return &refusal{status: 422, message: "Body is too long"}
	case strings.TrimSpace(body) == "":
		return &refusal{status: 422, message: "Body cannot be empty"}
	}
	return nil
}

// checks answers about the statuses of commits.
func (h *pulls) checks() {
	h.on("POST "+repo+"/statuses/{sha}", "write:repository", func(a *asked) (any, error) {
		if !a.known(a.r.PathValue("sha")) {
			return nil, &refusal{status: map[bool]int{true: 500, false: 422}[h.kind == "gitea"], message: "No commit found for SHA: " + a.r.PathValue("sha")}
		}
		if h.kind == "github" && len([]rune(a.field("description"))) > 140 {
			return nil, &refusal{status: 422, message: "Validation Failed", errors: []any{map[string]any{"resource": "Status", "code": "custom",
				"field": "description", "message": "description is too long (maximum is 140 characters)"}}}
		}
		s := a.addStatus(a.r.PathValue("sha"), ForgeStatus{Context: a.field("context"), State: a.field("state"), Text: a.field("description"),
			URL: a.field("target_url"), By: a.user.name})
		return created{h.status(s)}, nil
	})
	list := func(a *asked) (any, error) {
		if !a.known(a.r.PathValue("sha")) {
			return nil, &refusal{status: map[bool]int{true: 404, false: 422}[h.kind == "gitea"], message: "not found"}
		}
		all := slices.Clone(a.statuses[a.r.PathValue("sha")])
		slices.Reverse(all)
		return paged(a, all, h.size(), func(s ForgeStatus) any { return h.status(s) }), nil
	}
	h.on("GET "+repo+"/commits/{sha}/statuses", "read:repository", list)
	h.on("GET "+repo+"/statuses/{sha}", "read:repository", list)
	h.on("GET "+repo+"/commits/{sha}/status", "read:repository", func(a *asked) (any, error) {
		sha, state := a.r.PathValue("sha"), "success"
		all := a.newestStatuses(sha)
		for _, s := range all {
			if s.State != "success" {
				state = s.State
			}
		}
		if len(all) == 0 {
			state = "pending"
		}
		return map[string]any{"sha": sha, "state": state, "total_count": len(all), "statuses": paged(a, all, h.size(), func(s ForgeStatus) any { return h.status(s) })}, nil
	})
}

// newestStatuses gives the newest status of each context, newest first.
func (f *Forge) newestStatuses(commit string) []ForgeStatus {
	var all []ForgeStatus
	for _, s := range slices.Backward(f.statuses[commit]) {
		if !slices.ContainsFunc(all, func(o ForgeStatus) bool { return o.Context == s.Context }) {
			all = append(all, s)
		}
	}
	return all
}
