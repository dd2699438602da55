package testenv

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

type forgeHook struct{ url, secret string }

// ForgeDelivery is a webhook that was sent, and what was answered.
type ForgeDelivery struct {
	ID, Event, URL string
	Header         http.Header
	Body           []byte
	Status         int // 0: nobody answered
}

// Hook has everything that happens told to an address, signed with the secret as the kind of forge does it. Deliveries
// go out side by side: their order is not promised.
func (f *Forge) Hook(url, secret string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hooks = append(f.hooks, forgeHook{url, secret})
}

// Settle waits until no webhook is on its way.
func (f *Forge) Settle() { f.sending.Wait() }

// Deliveries gives the webhooks that were answered or given up, in the order of that.
func (f *Forge) Deliveries() []ForgeDelivery {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]ForgeDelivery(nil), f.sent...)
}

// Redeliver sends a webhook once more, with the same id, as people do by a button.
func (f *Forge) Redeliver(d ForgeDelivery) {
	f.sending.Add(1)
	go f.deliver(d)
}

// tell sends an event to all hooks. kind is the object that GitLab calls it by.
func (f *Forge) tell(event string, payload map[string]any) {
	if len(f.hooks) == 0 {
		return
	}
	body := must(json.Marshal(payload)) // maps, texts and numbers
	for _, h := range f.hooks {
		d := ForgeDelivery{ID: uuid(), Event: event, URL: h.url, Body: body, Header: http.Header{"Content-Type": {"application/json"}}}
		f.sign(&d, h.secret)
		f.Redeliver(d)
	}
}

func uuid() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (f *Forge) sign(d *ForgeDelivery, secret string) {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(d.Body)
	sum := hex.EncodeToString(mac.Sum(nil))
	set := func(name, value string) { d.Header.Set(name, value) }
	switch f.kind {
	case "github":
		set("User-Agent", "GitHub-Hookshot/testenv")
		set("X-GitHub-Event", d.Event)
		set("X-GitHub-Delivery", d.ID)
		set("X-Hub-Signature-256", "sha256="+sum)
	case "gitea":
		event := d.Event
		if event == "pull_request_review" {
			event = "pull_request_approved"
		}
		set("X-Gitea-Event", event)
		set("X-Gitea-Event-Type", d.Event)
		set("X-Gitea-Delivery", d.ID)
		set("X-Gitea-Signature", sum)
		set("X-Hub-Signature-256", "sha256="+sum)
		set("X-GitHub-Event", event)
		set("X-GitHub-Delivery", d.ID)
	case "gitlab":
		name := map[string]string{"push": "Push Hook", "pull_request": "Merge Request Hook", "pull_request_review": "Merge Request Hook",
			"issue_comment": "Note Hook", "status": "Pipeline Hook"}[d.Event]
		set("X-Gitlab-Event", name)
		set("X-Gitlab-Event-UUID", d.ID)
		set("Idempotency-Key", d.ID)
		set("X-Gitlab-Instance", f.URL())
		if secret != "" {
			set("X-Gitlab-Token", secret)
		}
	}
}

func (f *Forge) deliver(d ForgeDelivery) {
	defer f.sending.Done()
	d.Status = post(d)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent = append(f.sent, d)
}

// hookTime is how long an answer to a webhook may take.
const hookTime = 10 * time.Second

func post(d ForgeDelivery) int {
	r, err := http.NewRequest(http.MethodPost, d.URL, bytes.NewReader(d.Body))
	if err != nil {
		return 0
	}
	r.Header = d.Header.Clone()
	client := &http.Client{Timeout: hookTime, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<20))
	return answer.StatusCode
}

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
	about := map[string]any{"number": p.Number, "repository": map[string]any{"full_name": forgeRepository}, "sender": map[string]any{"login": r.By}}
	switch f.kind {
	case "gitlab":
		f.tellProposal(map[bool]string{true: "approved", false: "unapproved"}[r.Verdict == "approved"], p, r.By)
		return
	case "github":
		about["action"], about["review"], about["pull_request"] = "submitted", f.githubReview(r), f.githubProposal(p)
	case "gitea":
		about["action"], about["pull_request"] = "reviewed", f.giteaProposal(p)
		about["review"] = map[string]any{"type": "pull_request_review_" + map[string]string{"approved": "approved",
			"changes-requested": "rejected"}[r.Verdict], "content": r.Body}
	}
	f.tell("pull_request_review", about)
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
