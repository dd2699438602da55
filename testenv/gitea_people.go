package testenv

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const fleetAPI = "/repos/" + forgeRepository

// furnish makes the organization, the repository and the first user.
func (g *Gitea) furnish(ctx context.Context) error {
	owner, name, _ := strings.Cut(forgeRepository, "/")
	if _, err := g.call(ctx, g.admin, http.MethodPost, "/orgs", map[string]any{"username": owner}); err != nil {
		return err
	}
	if _, err := g.call(ctx, g.admin, http.MethodPost, "/orgs/"+owner+"/repos", map[string]any{"name": name, "auto_init": true, "default_branch": gitBranch, "private": true}); err != nil {
		return err
	}
	_, err := g.AddUser(ctx, worldUser, false)
	return err
}

// GiteaAt gives what a user may do at a forge with the API of Gitea that runs somewhere, such as a Forge in another
// process; Stop does not end it.
func GiteaAt(url, name, token string) *Gitea {
	return &Gitea{url: strings.TrimSuffix(url, "/"), admin: token, tokens: map[string]string{name: token}}
}

// URL gives the address of the forge.
func (g *Gitea) URL() string { return g.url }

// Host gives host:port.
func (g *Gitea) Host() string { return strings.TrimPrefix(g.url, "http://") }

// Repository gives owner/name of the repository.
func (g *Gitea) Repository() string { return forgeRepository }

// CloneURL gives the address to clone from and to push to, with the name of a user and the token as the password.
func (g *Gitea) CloneURL() string { return g.url + "/" + forgeRepository + ".git" }

// Kind gives the kind of forge whose API it speaks.
func (g *Gitea) Kind() string { return "gitea" }

// Token gives the token of a user; empty when there is none.
func (g *Gitea) Token(name string) string { return g.tokens[name] }

// AddUser makes a user who may write to the repository, or do all with it, and gives the token.
func (g *Gitea) AddUser(ctx context.Context, name string, admin bool) (string, error) {
	password, permission := rand.Text(), "write"
	if admin {
		permission = "admin"
	}
	if _, err := g.call(ctx, g.admin, http.MethodPost, "/admin/users", map[string]any{"username": name, "email": name + "@fleet.example",
		"password": password, "must_change_password": false}); err != nil {
		return "", err
	}
	r, err := g.request(ctx, http.MethodPost, "/users/"+name+"/tokens", map[string]any{"name": "testenv", "scopes": []string{"all"}})
	if err != nil {
		return "", err
	}
	r.SetBasicAuth(name, password)
	made, err := send(r)
	if err != nil {
		return "", err
	}
	g.tokens[name], _ = made["sha1"].(string)
	_, err = g.call(ctx, g.admin, http.MethodPut, fleetAPI+"/collaborators/"+name, map[string]any{"permission": permission})
	return g.tokens[name], err
}

// Hook has everything that happens told to an address, signed with the secret.
func (g *Gitea) Hook(ctx context.Context, url, secret string) error {
	_, err := g.call(ctx, g.admin, http.MethodPost, fleetAPI+"/hooks", map[string]any{"type": "gitea", "active": true,
		"events": []string{"push", "pull_request", "pull_request_review", "pull_request_sync", "pull_request_comment", "issue_comment", "status"},
		"config": map[string]any{"url": url, "content_type": "json", "secret": secret}})
	return err
}

// Protect lets nobody but pushers move a branch by a push, and asks for approvals before a merge into it.
func (g *Gitea) Protect(ctx context.Context, branch string, approvals int, pushers ...string) error {
	_, err := g.call(ctx, g.admin, http.MethodPost, fleetAPI+"/branch_protections", map[string]any{"rule_name": branch, "branch_name": branch,
		"enable_push": len(pushers) > 0, "enable_push_whitelist": len(pushers) > 0, "push_whitelist_usernames": pushers, "required_approvals": approvals})
	return err
}

// Push commits to a branch as a user who pushes does; a new branch starts at main. An empty text deletes a file.
func (g *Gitea) Push(ctx context.Context, by, branch, message string, files map[string]string) (string, error) {
	body := map[string]any{"message": message, "branch": branch}
	at := branch
	if _, err := g.call(ctx, g.admin, http.MethodGet, fleetAPI+"/branches/"+url.PathEscape(branch), nil); err != nil {
		body["branch"], body["new_branch"], at = gitBranch, branch, gitBranch
	}
	var changes []any
	for name, text := range files {
		change := map[string]any{"operation": "create", "path": name, "content": base64.StdEncoding.EncodeToString([]byte(text))}
		if was, err := g.call(ctx, g.admin, http.MethodGet, fleetAPI+"/contents/"+name+"?ref="+url.QueryEscape(at), nil); err == nil {
			change["operation"], change["sha"] = "update", was["sha"]
		}
		if text == "" {
			change["operation"] = "delete"
		}
		changes = append(changes, change)
	}
	body["files"] = changes
	made, err := g.call(ctx, g.tokens[by], http.MethodPost, fleetAPI+"/contents", body)
	if err != nil {
		return "", err
	}
	commit, _ := made["commit"].(map[string]any)
	id, _ := commit["sha"].(string)
	return id, nil
}

// Open opens a proposal and gives its number.
func (g *Gitea) Open(ctx context.Context, o Opening) (int, error) {
	if o.Base == "" {
		o.Base = gitBranch
	}
	made, err := g.call(ctx, g.tokens[o.By], http.MethodPost, fleetAPI+"/pulls", map[string]any{"head": o.Head, "base": o.Base, "title": o.Title, "body": o.Body})
	n, _ := made["number"].(float64)
	return int(n), err
}

// Review says something of an open proposal, at its head: approved, changes-requested or commented.
func (g *Gitea) Review(ctx context.Context, number int, by, verdict string) error {
	event := map[string]string{"approved": "APPROVED", "changes-requested": "REQUEST_CHANGES", "commented": "COMMENT"}[verdict]
	_, err := g.call(ctx, g.tokens[by], http.MethodPost, fmt.Sprintf("%s/pulls/%d/reviews", fleetAPI, number), map[string]any{"event": event, "body": verdict})
	return err
}

// Merge merges a proposal as people do by a button: by merge, squash or rebase. It gives the commit that the base is at
// after it. Right after a push Gitea still tries whether the merge works, and asks to come again: that is done here.
func (g *Gitea) Merge(ctx context.Context, number int, by, method string) (string, error) {
	at := fmt.Sprintf("%s/pulls/%d", fleetAPI, number)
	for try := 0; ; try++ {
		_, err := g.call(ctx, g.tokens[by], http.MethodPost, at+"/merge", map[string]any{"Do": method})
		if err == nil {
			break
		}
		if try == 100 || !strings.Contains(err.Error(), "Please try again later") {
			return "", err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	p, err := g.call(ctx, g.admin, http.MethodGet, at, nil)
	commit, _ := p["merge_commit_sha"].(string)
	return commit, err
}

// IsOpen says whether a proposal of this number is there and neither merged nor closed.
func (g *Gitea) IsOpen(ctx context.Context, number int) (bool, error) {
	all, err := g.list(ctx, fleetAPI+"/pulls?state=open&limit=50")
	return slices.ContainsFunc(all, func(p map[string]any) bool { return p["number"] == float64(number) }), err
}

// Close declines an open proposal.
func (g *Gitea) Close(ctx context.Context, number int, by string) error {
	_, err := g.call(ctx, g.tokens[by], http.MethodPatch, fmt.Sprintf("%s/pulls/%d", fleetAPI, number), map[string]any{"state": "closed"})
	return err
}

// Comments gives the texts of the comments on a proposal, oldest first.
func (g *Gitea) Comments(ctx context.Context, number int) ([]string, error) {
	list, err := g.list(ctx, fmt.Sprintf("%s/issues/%d/comments", fleetAPI, number))
	var all []string
	for _, c := range list {
		body, _ := c["body"].(string)
		all = append(all, body)
	}
	return all, err
}

// Statuses gives the state of the newest status of each context of a commit.
func (g *Gitea) Statuses(ctx context.Context, commit string) (map[string]string, error) {
	list, err := g.list(ctx, fleetAPI+"/commits/"+commit+"/statuses?limit=50")
	all, newest := map[string]string{}, map[string]float64{}
	for _, s := range list {
		context, _ := s["context"].(string)
		if id, _ := s["id"].(float64); id > newest[context] {
			newest[context] = id
			all[context], _ = s["status"].(string)
		}
	}
	return all, err
}

// Head gives the commit that a branch is at.
func (g *Gitea) Head(ctx context.Context, branch string) (string, error) {
	b, err := g.call(ctx, g.admin, http.MethodGet, fleetAPI+"/branches/"+url.PathEscape(branch), nil)
	commit, _ := b["commit"].(map[string]any)
	id, _ := commit["id"].(string)
	return id, err
}

// File gives the text of a file at a branch or commit; empty when it is not there.
func (g *Gitea) File(ctx context.Context, at, name string) (string, error) {
	f, err := g.call(ctx, g.admin, http.MethodGet, fleetAPI+"/contents/"+name+"?ref="+url.QueryEscape(at), nil)
	if err != nil && strings.Contains(err.Error(), ": 404") {
		return "", nil
	}
	content, _ := f["content"].(string)
	text, decoding := base64.StdEncoding.DecodeString(content)
	if err == nil {
		err = decoding
	}
	return string(text), err
}

func (g *Gitea) list(ctx context.Context, path string) ([]map[string]any, error) {
	answer, err := g.call(ctx, g.admin, http.MethodGet, path, nil)
	items, _ := answer[""].([]any)
	var all []map[string]any
	for _, i := range items {
		if m, ok := i.(map[string]any); ok {
			all = append(all, m)
		}
	}
	return all, err
}

// call asks the API with a token. A list comes under the empty key.
func (g *Gitea) call(ctx context.Context, token, method, path string, body any) (map[string]any, error) {
	r, err := g.request(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	if token != "" {
		r.Header.Set("Authorization", "token "+token)
	}
	return send(r)
}

func (g *Gitea) request(ctx context.Context, method, path string, body any) (*http.Request, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, g.url+"/api/v1"+path, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	return r, nil
}

func send(r *http.Request) (map[string]any, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("testenv: %w", err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxForgeBody))
	if err != nil {
		return nil, fmt.Errorf("testenv: %w", err)
	}
	if answer.StatusCode >= 300 {
		return nil, fmt.Errorf("testenv: %s %s: %d %s", r.Method, r.URL.Path, answer.StatusCode, data)
	}
	var body any
	if len(data) > 0 {
		if err := json.Unmarshal(data, &body); err != nil {
			return nil, fmt.Errorf("testenv: %s %s: %w", r.Method, r.URL.Path, err)
		}
	}
	if m, ok := body.(map[string]any); ok {
		return m, nil
	}
	return map[string]any{"": body}, nil
}
