package testenv

import (
	"net/http"
	"slices"
)

// gitlabReviews answers who approved. GitLab does not say at which commit: that is found out from the notes and from
// the versions of a merge request.
func (c *face) gitlabReviews() {
	about := func(pattern, need string, do func(*asked, *ForgeProposal) (any, error)) {
		c.on(pattern, need, func(a *asked) (any, error) {
			p, err := a.this()
			if err != nil {
				return nil, err
			}
			return do(a, p)
		})
	}
	approvals := func(a *asked, p *ForgeProposal) (any, error) {
		by := []any{}
		for _, r := range standing(p) {
			if r.Verdict == "approved" {
				by = append(by, map[string]any{"user": a.member(r.By), "approved_at": stamp(r.At)})
			}
		}
		return map[string]any{"id": p.id, "iid": p.Number, "project_id": 1, "approved": len(by) > 0, "approved_by": by}, nil
	}
	about("GET "+mergeAt+"/approvals", "read", approvals)
	about("POST "+mergeAt+"/approve", "write", func(a *asked, p *ForgeProposal) (any, error) {
		if sha := a.field("sha"); sha != "" && sha != p.HeadCommit {
			return nil, &refusal{status: http.StatusConflict, message: "SHA does not match HEAD of source branch"}
		}
		if _, err := a.review(p, a.user.name, "approved", "", ""); err != nil {
			return nil, err
		}
		m, err := approvals(a, p)
		return created{m}, err
	})
	about("POST "+mergeAt+"/unapprove", "write", func(a *asked, p *ForgeProposal) (any, error) {
		_, err := a.review(p, a.user.name, "dismissed", "", "")
		return created{map[string]any{}}, err
	})
	about("GET "+mergeAt+"/reviewers", "read", func(a *asked, p *ForgeProposal) (any, error) {
		all := []any{}
		for _, r := range standing(p) {
			state := map[string]string{"approved": "approved", "changes-requested": "requested_changes", "commented": "reviewed", "dismissed": "unapproved"}[r.Verdict]
			all = append(all, map[string]any{"user": a.member(r.By), "state": state, "created_at": stamp(r.At)})
		}
		return all, nil
	})
	about("GET "+mergeAt+"/versions", "read", func(a *asked, p *ForgeProposal) (any, error) {
		all := slices.Clone(p.versions)
		slices.Reverse(all)
		return paged(a, all, "per_page", func(v forgeHead) any {
			return map[string]any{"id": v.id, "head_commit_sha": v.commit, "created_at": stamp(v.at), "merge_request_id": p.id, "state": "collected"}
		}), nil
	})
}

// standing gives the newest review of each person, oldest first.
func standing(p *ForgeProposal) []ForgeReview {
	var last []ForgeReview
	for i, r := range p.Reviews {
		if !slices.ContainsFunc(p.Reviews[i+1:], func(later ForgeReview) bool { return later.By == r.By }) {
			last = append(last, r)
		}
	}
	return last
}

// remark is a comment, or what GitLab itself writes down.
type remark struct {
	ForgeComment
	system bool
}

// notes gives comments and what GitLab wrote down about reviews and pushes, in the order in which they were made.
func (p *ForgeProposal) notes() []remark {
	var all []remark
	for _, c := range p.Comments {
		all = append(all, remark{ForgeComment: c})
	}
	for _, r := range p.Reviews {
		body := map[string]string{"approved": "approved this merge request", "changes-requested": "requested changes",
			"dismissed": "unapproved this merge request", "commented": "left review comments"}[r.Verdict]
		all = append(all, remark{ForgeComment{ID: r.id, By: r.By, Body: body, Created: r.At, Updated: r.At}, true})
	}
	for _, v := range p.versions[1:] {
		all = append(all, remark{ForgeComment{ID: v.id, By: p.Author, Body: "added 1 commit\n\n<ul><li>" + v.commit[:8] + "</li></ul>", Created: v.at, Updated: v.at}, true})
	}
	slices.SortFunc(all, func(x, y remark) int { return int(x.ID - y.ID) })
	return all
}

func (c *face) gitlabNotes() {
	show := func(a *asked, p *ForgeProposal, n remark) map[string]any {
		return map[string]any{"id": n.ID, "body": n.Body, "author": a.member(n.By), "system": n.system, "created_at": stamp(n.Created),
			"updated_at": stamp(n.Updated), "noteable_type": "MergeRequest", "noteable_iid": p.Number}
	}
	c.on("GET "+mergeAt+"/notes", "read", func(a *asked) (any, error) {
		p, err := a.this()
		if err != nil {
			return nil, err
		}
		all := p.notes()
		if a.query("sort") != "asc" {
			slices.Reverse(all)
		}
		return paged(a, all, "per_page", func(n remark) any { return show(a, p, n) }), nil
	})
	c.on("POST "+mergeAt+"/notes", "read", func(a *asked) (any, error) {
		p, err := a.this()
		if err == nil {
			err = a.bounded(a.field("body"))
		}
		if err != nil {
			return nil, err
		}
		return created{show(a, p, remark{ForgeComment: a.comment(p, a.user.name, a.field("body"))})}, nil
	})
	c.on("PUT "+mergeAt+"/notes/{id}", "read", func(a *asked) (any, error) {
		p, i, err := a.commented()
		if err == nil {
			err = a.bounded(a.field("body"))
		}
		if err != nil {
			return nil, err
		}
		n := &p.Comments[i]
		n.Body, n.Updated = a.field("body"), a.now()
		a.tellComment("updated", p, *n)
		return show(a, p, remark{ForgeComment: *n}), nil
	})
}

// gitlabStatuses answers about commit statuses. One that is set again to the state that it has is refused, as GitLab
// does.
func (c *face) gitlabStatuses() {
	show := func(a *asked, s ForgeStatus) any {
		return map[string]any{"id": s.id, "sha": a.r.PathValue("sha"), "status": s.State, "name": s.Context, "description": s.Text, "target_url": s.URL,
			"author": a.member(s.By), "created_at": stamp(s.At)}
	}
	c.on("POST "+project+"/statuses/{sha}", "write", func(a *asked) (any, error) {
		sha, name := a.r.PathValue("sha"), a.field("context")+a.field("name")
		if !a.known(sha) {
			return nil, &refusal{status: http.StatusNotFound, message: "404 Commit Not Found"}
		}
		for _, s := range a.newestStatuses(sha) {
			if s.Context == name && s.State == a.field("state") && s.State != "success" {
				return nil, &refusal{status: http.StatusBadRequest, message: "Cannot transition status via :enqueue from :" + s.State + " (Reason(s): Status cannot transition via \"enqueue\")"}
			}
		}
		s := a.addStatus(sha, ForgeStatus{Context: name, State: a.field("state"), Text: a.field("description"), URL: a.field("target_url"), By: a.user.name})
		return created{show(a, s)}, nil
	})
	c.on("GET "+project+"/repository/commits/{sha}/statuses", "read", func(a *asked) (any, error) {
		all := a.newestStatuses(a.r.PathValue("sha"))
		if a.query("all") == "true" {
			all = slices.Clone(a.statuses[a.r.PathValue("sha")])
			slices.Reverse(all)
		}
		return paged(a, all, "per_page", func(s ForgeStatus) any { return show(a, s) }), nil
	})
}
