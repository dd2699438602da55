package hook

import (
	"encoding/json"
	"net/http"
)

type numbered struct {
	Number int `json:"number"`
}

// forgeBody is what GitHub, Gitea and Forgejo have in common in the bodies of their events (docs.github.com, "Webhook
// events and payloads"; Gitea sends the same names).
type forgeBody struct {
	Action      string    `json:"action"`
	Number      int       `json:"number"`
	PullRequest *numbered `json:"pull_request"`
	Issue       *struct {
		numbered
		PullRequest json.RawMessage `json:"pull_request"`
	} `json:"issue"`
	CheckRun   checks `json:"check_run"`
	CheckSuite checks `json:"check_suite"`
}

type checks struct {
	PullRequests few[numbered] `json:"pull_requests"`
}

// readForge reads a delivery of GitHub, Gitea or Forgejo.
func readForge(h http.Header, text []byte) (News, error) {
	n := News{ID: first(h, "X-GitHub-Delivery", "X-Gitea-Delivery", "X-Forgejo-Delivery"),
		Event: first(h, "X-GitHub-Event", "X-Gitea-Event", "X-Forgejo-Event")}
	if n.Event == "ping" {
		n.Idle = true
		return n, nil
	}
	var body forgeBody
	if err := json.Unmarshal(text, &body); err != nil {
		return n, err
	}
	switch {
	case body.PullRequest != nil:
		n.about(body.PullRequest.Number, body.Number)
	case body.Issue != nil && len(body.Issue.PullRequest) > 0 && string(body.Issue.PullRequest) != "null":
		n.about(body.Issue.Number)
	case body.Issue != nil:
		n.Idle = true // an issue that is no proposal
	}
	for _, c := range []checks{body.CheckRun, body.CheckSuite} {
		for _, p := range c.PullRequests.items {
			n.about(p.Number)
		}
	}
	n.Push = n.Event == "push" || body.PullRequest != nil && body.Action == "closed"
	return n, nil
}

// about adds the first of some numbers that is one.
func (n *News) about(numbers ...int) {
	for _, number := range numbers {
		if number > 0 {
			n.Proposals = append(n.Proposals, number)
			return
		}
	}
}

type gitlabNumber struct {
	IID int `json:"iid"`
}

// gitlabBody is what is read of a delivery of GitLab (docs.gitlab.com, "Webhook events").
type gitlabBody struct {
	Kind       string `json:"object_kind"`
	Attributes struct {
		gitlabNumber
		Action string `json:"action"`
	} `json:"object_attributes"`
	MergeRequest *gitlabNumber `json:"merge_request"`
}

// readGitLab reads a delivery of GitLab.
func readGitLab(h http.Header, text []byte) (News, error) {
	n := News{ID: first(h, "Idempotency-Key", standardID), Event: first(h, "X-Gitlab-Event")}
	var body gitlabBody
	if err := json.Unmarshal(text, &body); err != nil {
		return n, err
	}
	switch {
	case body.Kind == "merge_request":
		n.about(body.Attributes.IID)
	case body.MergeRequest != nil: // a note, a pipeline
		n.about(body.MergeRequest.IID)
	case body.Kind == "note":
		n.Idle = true // of something that is no proposal
	}
	n.Push = body.Kind == "push" || body.Kind == "merge_request" && body.Attributes.Action == "merge"
	return n, nil
}
