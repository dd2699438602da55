package testenv

import (
	"net/http"
	"slices"
	"strings"
)

// pulls is what the faces of GitHub and Gitea have in common: the paths and most verbs, in two dialects.
type pulls struct {
	*face
	proposal func(*ForgeProposal) map[string]any
	review   func(ForgeReview) map[string]any
	verdicts map[string]string // what a review asks for, to what we call it
	status   func(ForgeStatus) map[string]any
}

const repo = "/repos/{owner}/{repo}"

func (h *pulls) serve() {
	h.on("GET /user", map[bool]string{true: "read:user"}[h.kind == "gitea"], func(a *asked) (any, error) { return h.person(a.user.name), nil })
	h.on("GET "+repo, "read:repository", func(a *asked) (any, error) {
		return map[string]any{"id": 1, "name": "fleet", "full_name": forgeRepository, "private": true, "default_branch": gitBranch,
			"owner": h.person("platform"), "html_url": a.URL() + "/" + forgeRepository, "clone_url": a.CloneURL(), "permissions": map[string]any{
				"admin": a.user.role == "admin", "push": a.user.role == "admin" || a.user.role == "write", "pull": true}}, nil
	})
	h.on("GET "+repo+"/labels", "read:issue", func(a *asked) (any, error) { return paged(a, a.labels, h.size(), h.tag), nil })
	h.on("POST "+repo+"/labels", "write:issue", func(a *asked) (any, error) { return created{h.tag(a.label(a.field("name")))}, nil })
	h.proposals()
	h.reviews()
	h.comments()
	h.checks()
}

// size names the parameter that says how long a page is to be.
func (h *pulls) size() string {
	if h.kind == "gitea" {
		return "limit"
	}
	return "per_page"
}

func (h *pulls) person(name string) map[string]any {
	id := int64(0)
	if u := h.Forge.user(name); u != nil {
		id = u.id
	}
	return map[string]any{"id": id, "login": name, "username": name, "type": "User"}
}

func (h *pulls) tag(l forgeLabel) any {
	return map[string]any{"id": l.id, "name": l.name, "color": "ededed"}
}

func (h *pulls) tags(names []string) []any {
	all := []any{}
	for _, n := range names {
		all = append(all, h.tag(h.label(n)))
	}
	return all
}

// branchInfo shows one side of a proposal. Gitea tells the ref of the proposal in place of a branch that is gone.
func (h *pulls) branchInfo(p *ForgeProposal, branch, commit string) map[string]any {
	owner, name, fork := strings.Cut(branch, ":")
	id := 2
	if !fork {
		owner, name, id = "platform", branch, 1
	}
	label, ref := owner+":"+name, name
	if h.kind == "gitea" {
		label = name
		if !fork && h.branch(name) == "" {
			ref = h.HeadRef(p.Number)
		}
	}
	return map[string]any{"label": label, "ref": ref, "sha": commit, "user": h.person(owner), "repo_id": id,
		"repo": map[string]any{"id": id, "name": "fleet", "full_name": owner + "/fleet", "fork": fork, "owner": h.person(owner)}}
}

// wanted reads which proposals a list is to have.
func (h *pulls) wanted(a *asked) func(*ForgeProposal) bool {
	return func(p *ForgeProposal) bool {
		state := a.query("state")
		if state == "" {
			state = "open"
		}
		head := a.query("head")
		if owner, branch, ok := strings.Cut(head, ":"); ok && owner == "platform" {
			head = branch
		}
		return (state == "all" || (state == "open") == p.Open) && (a.query("base") == "" || a.query("base") == p.Base) && (head == "" || head == p.Head)
	}
}

func (h *pulls) proposals() {
	h.on("GET "+repo+"/pulls", "read:repository", func(a *asked) (any, error) {
		all := sorted(a, a.newest(h.wanted(a)))
		return paged(a, all, h.size(), func(p *ForgeProposal) any { return h.proposal(p) }), nil
	})
	h.on("POST "+repo+"/pulls", "read:repository", func(a *asked) (any, error) {
		draft, _ := a.body["draft"].(bool)
		head := strings.TrimPrefix(a.field("head"), "platform:")
		p, err := a.open(Opening{By: a.user.name, Head: head, Base: a.field("base"), Title: a.field("title"), Body: a.field("body"), Labels: a.texts("labels"), Draft: draft})
		if err != nil {
			return nil, h.notOpened(err, head)
		}
		return created{h.proposal(p)}, nil
	})
	h.on("GET "+repo+"/pulls/{n}", "read:repository", func(a *asked) (any, error) {
		p, err := a.this()
		if err != nil {
			return nil, err
		}
		return h.proposal(p), nil
	})
	edit := func(a *asked) (any, error) {
		p, err := a.this()
		if err == nil {
			err = h.edit(a, p)
		}
		if err != nil {
			return nil, err
		}
		if h.kind == "gitea" { // it answers so
			return created{h.proposal(p)}, nil
		}
		return h.proposal(p), nil
	}
	h.on("PATCH "+repo+"/pulls/{n}", "read:repository", edit)
	h.on("PATCH "+repo+"/issues/{n}", "read:issue", edit)
	labels := func(keep bool) func(*asked) (any, error) {
		return func(a *asked) (any, error) {
			p, err := a.this()
			if err != nil {
				return nil, err
			}
			names := h.takenLabels(append(a.texts("labels"), a.texts("")...))
			if keep {
				names = append(names, p.Labels...)
			}
			a.setLabels(p, names)
			p.Updated = a.now()
			return h.tags(p.Labels), nil
		}
	}
	h.on("GET "+repo+"/issues/{n}/labels", "read:issue", func(a *asked) (any, error) {
		p, err := a.this()
		if err != nil {
			return nil, err
		}
		return h.tags(p.Labels), nil
	})
	h.on("POST "+repo+"/issues/{n}/labels", "write:issue", labels(true))
	h.on("PUT "+repo+"/issues/{n}/labels", "write:issue", labels(false))
}

// takenLabels leaves out labels that Gitea does not know by name, as it does; GitHub makes them.
func (h *pulls) takenLabels(names []string) []string {
	return slices.DeleteFunc(names, func(n string) bool {
		return h.kind == "gitea" && !slices.ContainsFunc(h.labels, func(l forgeLabel) bool { return l.name == n })
	})
}

// notOpened is why a proposal was not opened, in the words of the kind of forge.
func (h *pulls) notOpened(err error, head string) error {
	r := refusalOf(err)
	if h.kind == "gitea" {
		return r
	}
	r.status = http.StatusUnprocessableEntity
	message := map[error]string{ErrForgeThere: "A pull request already exists for platform:" + head + ".", ErrForgeOver: "No commits between main and " + head}[err]
	r.message = "Validation Failed"
	r.errors = []any{map[string]any{"resource": "PullRequest", "code": "custom", "message": message}}
	if err == ErrForgeMissing {
		r.errors = []any{map[string]any{"resource": "PullRequest", "field": "head", "code": "invalid"}}
	}
	return r
}

func (h *pulls) edit(a *asked, p *ForgeProposal) error {
	if a.user.role == "read" && p.Author != a.user.name {
		return &refusal{status: http.StatusForbidden, message: "Must have write access to the repository"}
	}
	if t, ok := a.text("title"); ok && (t != "" || h.kind != "gitea") { // Gitea leaves a title alone that is to be empty
		p.Title = t
	}
	if b, ok := a.text("body"); ok {
		p.Body = b
	}
	if _, ok := a.body["labels"].([]any); ok {
		a.setLabels(p, a.texts("labels"))
	}
	p.Updated = a.now()
	switch state := a.field("state"); {
	case state == "closed" && p.Open:
		return a.end(p, a.user.name)
	case state == "open" && !p.Open && !p.Merged:
		p.Open, p.EndedBy = true, ""
		a.tellProposal("reopened", p, a.user.name)
	default:
		a.tellProposal("edited", p, a.user.name)
	}
	return nil
}

func (h *pulls) reviews() {
	h.on("GET "+repo+"/pulls/{n}/reviews", "read:repository", func(a *asked) (any, error) {
		p, err := a.this()
		if err != nil {
			return nil, err
		}
		return paged(a, p.Reviews, h.size(), func(r ForgeReview) any { return h.show(p, r) }), nil
	})
	h.on("POST "+repo+"/pulls/{n}/reviews", "read:repository", func(a *asked) (any, error) {
		p, err := a.this()
		if err != nil {
			return nil, err
		}
		verdict, ok := h.verdicts[a.field("event")]
		if !ok {
			return nil, &refusal{status: http.StatusUnprocessableEntity, message: "unknown event"}
		}
		r, err := a.review(p, a.user.name, verdict, a.field("body"), a.field("commit_id"))
		if err != nil {
			return nil, err
		}
		return h.show(p, r), nil
	})
	dismiss := func(a *asked) (any, error) {
		p, err := a.this()
		if err != nil {
			return nil, err
		}
		for i := range p.Reviews {
			if p.Reviews[i].id == int64(a.number("id")) {
				p.Reviews[i].Verdict = "dismissed"
				return h.show(p, p.Reviews[i]), nil
			}
		}
		return nil, ErrForgeMissing
	}
	h.on("PUT "+repo+"/pulls/{n}/reviews/{id}/dismissals", "write:repository", dismiss)
	h.on("POST "+repo+"/pulls/{n}/reviews/{id}/dismissals", "write:repository", dismiss)
	merge := func(a *asked) (any, error) {
		p, err := a.this()
		if err != nil {
			return nil, err
		}
		method := a.field("merge_method")
		if h.kind == "gitea" {
			method = a.field("Do")
		}
		if method == "" {
			method = "merge"
		}
		if c := a.field("sha") + a.field("head_commit_id"); c != "" && c != p.HeadCommit {
			return nil, &refusal{status: http.StatusConflict, message: "Head branch was modified. Review and try the merge again."}
		}
		if err := a.merge(p, a.user.name, method, a.field("MergeTitleField")+a.field("commit_title")); err != nil {
			return nil, err
		}
		return map[string]any{"sha": p.MergeCommit, "merged": true, "message": "Pull Request successfully merged"}, nil
	}
	h.on("PUT "+repo+"/pulls/{n}/merge", "write:repository", merge)
	h.on("POST "+repo+"/pulls/{n}/merge", "write:repository", merge)
}

func (h *pulls) show(p *ForgeProposal, r ForgeReview) map[string]any {
	m := h.review(r)
	m["stale"] = r.Commit != p.HeadCommit
	m["html_url"] = h.page(p)
	return m
}
