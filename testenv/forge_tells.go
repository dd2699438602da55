package testenv

import (
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

func (f *Forge) tellPush(branch, from, to, by string) {
	if len(f.hooks) == 0 {
		return
	}
	if from == "" {
		from = plumbing.ZeroHash.String()
	}
	if to == "" {
		to = plumbing.ZeroHash.String()
	}
	commits := f.pushed(from, to)
	repository := map[string]any{"id": 1, "name": "fleet", "full_name": forgeRepository, "default_branch": gitBranch}
	if f.kind == "gitlab" {
		f.tell("push", map[string]any{"object_kind": "push", "event_name": "push", "ref": "refs/heads/" + branch, "before": from, "after": to,
			"checkout_sha": to, "user_username": by, "project_id": 1, "project": f.project(), "commits": commits, "total_commits_count": len(commits)})
		return
	}
	f.tell("push", map[string]any{"ref": "refs/heads/" + branch, "before": from, "after": to, "created": from == plumbing.ZeroHash.String(),
		"deleted": to == plumbing.ZeroHash.String(), "commits": commits, "repository": repository, "pusher": map[string]any{"name": by, "login": by},
		"sender": map[string]any{"login": by}})
}

// pushed lists the commits of a push by first parents, oldest first and twenty at most, with the files that each changed.
func (f *Forge) pushed(from, to string) []any {
	commits, store := []any{}, f.git.store()
	for id := plumbing.NewHash(to); !id.IsZero() && id.String() != from && len(commits) < 20; {
		c, err := object.GetCommit(store, id)
		if err != nil {
			break
		}
		before, parent := map[string]GitEntry{}, plumbing.ZeroHash
		if c.NumParents() > 0 {
			parent = c.ParentHashes[0]
			before, _ = f.git.entries(parent.String()) // a history that breaks off here is all new
		}
		after, _ := f.git.entries(id.String())
		added, modified, removed := []string{}, []string{}, []string{}
		for name, e := range after {
			switch was, ok := before[name]; {
			case !ok:
				added = append(added, name)
			case was != e:
				modified = append(modified, name)
			}
		}
		for name := range before {
			if _, ok := after[name]; !ok {
				removed = append(removed, name)
			}
		}
		commits = append([]any{map[string]any{"id": id.String(), "message": c.Message, "timestamp": stamp(c.Committer.When),
			"author": map[string]any{"name": c.Author.Name, "email": c.Author.Email}, "added": added, "modified": modified, "removed": removed}}, commits...)
		if id = parent; from == plumbing.ZeroHash.String() {
			break // of a new branch the newest one will do
		}
	}
	return commits
}

func (f *Forge) project() map[string]any {
	return map[string]any{"id": 1, "path_with_namespace": forgeRepository, "default_branch": gitBranch, "web_url": f.URL() + "/" + forgeRepository}
}

// tellProposal tells what became of a proposal: opened, edited, synchronize, reopened, closed or merged.
func (f *Forge) tellProposal(what string, p *ForgeProposal, by string) {
	if len(f.hooks) == 0 {
		return
	}
	if f.kind == "gitlab" {
		action := map[string]string{"opened": "open", "edited": "update", "synchronize": "update", "reopened": "reopen", "closed": "close",
			"merged": "merge", "approved": "approved", "unapproved": "unapproved"}[what]
		at := f.gitlabProposal(p)
		at["action"], at["target"], at["url"] = action, f.project(), f.page(p)
		at["last_commit"] = map[string]any{"id": p.HeadCommit}
		f.tell("pull_request", map[string]any{"object_kind": "merge_request", "event_type": "merge_request", "user": map[string]any{"username": by},
			"project": f.project(), "object_attributes": at})
		return
	}
	show, action := f.githubProposal, what
	if f.kind == "gitea" {
		show, action = f.giteaProposal, strings.Replace(what, "synchronize", "synchronized", 1)
	}
	if what == "merged" {
		action = "closed"
	}
	f.tell("pull_request", map[string]any{"action": action, "number": p.Number, "pull_request": show(p),
		"repository": map[string]any{"id": 1, "full_name": forgeRepository}, "sender": map[string]any{"login": by}})
}

func (f *Forge) tellReview(p *ForgeProposal, r ForgeReview) {
	if len(f.hooks) == 0 {
		return
	}
	event := "pull_request_review"
	about := map[string]any{"number": p.Number, "repository": map[string]any{"full_name": forgeRepository}, "sender": map[string]any{"login": r.By}}
	switch f.kind {
	case "gitlab":
		f.tellProposal(map[bool]string{true: "approved", false: "unapproved"}[r.Verdict == "approved"], p, r.By)
		return
	case "github":
		about["action"], about["review"], about["pull_request"] = "submitted", f.githubReview(r), f.githubProposal(p)
	case "gitea":
		event = "pull_request_review_" + map[string]string{"approved": "approved", "changes-requested": "rejected", "commented": "comment"}[r.Verdict]
		if r.Verdict == "dismissed" { // it tells nobody
			return
		}
		about["action"], about["pull_request"] = "reviewed", f.giteaProposal(p)
		about["review"] = map[string]any{"type": event, "content": r.Body}
	}
	f.tell(event, about)
}

func (f *Forge) tellComment(action string, p *ForgeProposal, c ForgeComment) {
	if len(f.hooks) == 0 {
		return
	}
	if f.kind == "gitlab" {
		f.tell("issue_comment", map[string]any{"object_kind": "note", "project": f.project(), "user": map[string]any{"username": c.By},
			"object_attributes": map[string]any{"id": c.ID, "note": c.Body, "noteable_type": "MergeRequest"}, "merge_request": map[string]any{"iid": p.Number}})
		return
	}
	f.tell("issue_comment", map[string]any{"action": action, "is_pull": true, "comment": map[string]any{"id": c.ID, "body": c.Body},
		"issue":      map[string]any{"number": p.Number, "pull_request": map[string]any{"html_url": f.page(p)}},
		"repository": map[string]any{"full_name": forgeRepository}, "sender": map[string]any{"login": c.By}})
}

func (f *Forge) tellStatus(commit string, s ForgeStatus) {
	if len(f.hooks) == 0 {
		return
	}
	if f.kind == "gitlab" {
		f.tell("status", map[string]any{"object_kind": "pipeline", "project": f.project(), "object_attributes": map[string]any{"sha": commit, "status": s.State}})
		return
	}
	f.tell("status", map[string]any{"sha": commit, "context": s.Context, "state": s.State, "description": s.Text, "target_url": s.URL,
		"repository": map[string]any{"full_name": forgeRepository}, "sender": map[string]any{"login": s.By}})
}

// page gives the address of the page of a proposal.
func (f *Forge) page(p *ForgeProposal) string {
	where := map[string]string{"github": "pull", "gitea": "pulls", "gitlab": "-/merge_requests"}[f.kind]
	return fmt.Sprintf("%s/%s/%s/%d", f.URL(), forgeRepository, where, p.Number)
}
