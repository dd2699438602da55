package testenv

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"testing"
)

func TestZZ(t *testing.T) {
	if os.Getenv("POUNDLOCK_GITEA") == "" {
		t.Skip()
	}
	ctx := t.Context()
	show := func(name string, v any, err error) {
		b, _ := json.MarshalIndent(v, "", " ")
		if len(b) > 6000 {
			b = b[:6000]
		}
		fmt.Println("=====", name, err)
		fmt.Println(string(b))
	}
	g, err := StartGitea(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer g.Stop()
	g.AddUser(ctx, "alice", true)
	c1, err := g.Push(ctx, "poundlock", "change", "change", map[string]string{"a": "x\n"})
	fmt.Println(c1, err)
	n, err := g.Open(ctx, Opening{By: "poundlock", Head: "change", Title: "Change"})
	_, err = g.Open(ctx, Opening{By: "poundlock", Head: "change", Title: "Change"})
	fmt.Println("SECOND", err)
	_, err = g.Open(ctx, Opening{By: "poundlock", Head: "nope", Title: "Change"})
	fmt.Println("NOBRANCH", err)
	_, err = g.call(ctx, g.tokens["poundlock"], "PATCH", fmt.Sprintf("%s/pulls/%d", fleetAPI, n), map[string]any{"title": "Other"})
	show("review own", nil, g.Review(ctx, n, "poundlock", "approved"))
	show("review", nil, g.Review(ctx, n, "alice", "approved"))
	p, err := g.call(ctx, g.admin, "GET", fmt.Sprintf("%s/pulls/%d", fleetAPI, n), nil)
	delete(p, "base")
	show("open", p, err)
	r, err := g.call(ctx, g.admin, "GET", fmt.Sprintf("%s/pulls/%d/reviews", fleetAPI, n), nil)
	show("reviews", r, err)
	c, err := g.call(ctx, g.tokens["alice"], "POST", fmt.Sprintf("%s/issues/%d/comments", fleetAPI, n), map[string]any{"body": "hi"})
	show("comment", c, err)
	s, err := g.call(ctx, g.tokens["poundlock"], "POST", fmt.Sprintf("%s/statuses/%s", fleetAPI, c1), map[string]any{"state": "pending", "context": "a/b"})
	show("status", s, err)
	s, err = g.call(ctx, g.tokens["poundlock"], "POST", fmt.Sprintf("%s/statuses/%s", fleetAPI, "0123456789012345678901234567890123456789"), map[string]any{"state": "pending", "context": "a/b"})
	show("status of none", s, err)
	s, err = g.call(ctx, g.admin, "GET", fmt.Sprintf("%s/commits/%s/statuses", fleetAPI, "0123456789012345678901234567890123456789"), nil)
	show("statuses of none", s, err)
	s, err = g.call(ctx, g.tokens["poundlock"], "POST", fmt.Sprintf("%s/issues/%d/comments", fleetAPI, 99), map[string]any{"body": "x"})
	show("comment on none", s, err)
	s, err = g.call(ctx, g.tokens["poundlock"], "POST", fmt.Sprintf("%s/issues/%d/labels", fleetAPI, n), map[string]any{"labels": []string{"nope"}})
	show("label", s, err)
	s, err = g.call(ctx, "wrong", "GET", "/user", nil)
	show("wrong token", s, err)
	rr, _ := g.request(ctx, http.MethodPost, "/user", nil)
	_ = rr
	s, err = g.call(ctx, g.admin, "GET", fmt.Sprintf("%s/commits/%s/pull", fleetAPI, c1), nil)
	show("pull of head", s["number"], err)
	m, err := g.Merge(ctx, n, "alice", "rebase")
	fmt.Println("merge", m, err)
	h, _ := g.Head(ctx, "main")
	fmt.Println("main", h, "head was", c1)
	s, err = g.call(ctx, g.admin, "GET", fmt.Sprintf("%s/commits/%s/pull", fleetAPI, m), nil)
	delete(s, "base"); delete(s, "head"); delete(s, "user")
	show("pull of merge", s, err)
}
