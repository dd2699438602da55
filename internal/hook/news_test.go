package hook

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestRead_WhatADeliveryIsAbout(t *testing.T) {
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name    string
		kind    Kind
		headers map[string]string
		body    string
		want    News
	}{
		{"a push to github", GitHub, map[string]string{"X-GitHub-Event": "push", "X-GitHub-Delivery": "d1"}, `{"ref":"refs/heads/main"}`,
			News{ID: "d1", Event: "push", Push: true}},
		{"its trial", GitHub, map[string]string{"X-GitHub-Event": "ping"}, `{"zen":"x"}`, News{Event: "ping", Idle: true}},
		{"a proposal", GitHub, map[string]string{"X-GitHub-Event": "pull_request"}, `{"action":"synchronize","number":7,"pull_request":{"number":7}}`,
			News{Event: "pull_request", Proposals: []int{7}}},
		{"one that was closed", GitHub, map[string]string{"X-GitHub-Event": "pull_request"}, `{"action":"closed","number":7,"pull_request":{"number":7}}`,
			News{Event: "pull_request", Proposals: []int{7}, Push: true}},
		{"a review", GitHub, map[string]string{"X-GitHub-Event": "pull_request_review"}, `{"action":"submitted","pull_request":{"number":7},"review":{"state":"approved"}}`,
			News{Event: "pull_request_review", Proposals: []int{7}}},
		{"a comment", GitHub, map[string]string{"X-GitHub-Event": "issue_comment"}, `{"issue":{"number":7,"pull_request":{"url":"x"}}}`,
			News{Event: "issue_comment", Proposals: []int{7}}},
		{"one on an issue", GitHub, map[string]string{"X-GitHub-Event": "issue_comment"}, `{"issue":{"number":7}}`, News{Event: "issue_comment", Idle: true}},
		{"a check", GitHub, map[string]string{"X-GitHub-Event": "check_run"}, `{"check_run":{"pull_requests":[{"number":7},{"number":9}]}}`,
			News{Event: "check_run", Proposals: []int{7, 9}}},
		{"a status, which names no proposal", GitHub, map[string]string{"X-GitHub-Event": "status"}, `{"sha":"abc"}`, News{Event: "status"}},
		{"as a form", GitHub, map[string]string{"X-GitHub-Event": "pull_request", "Content-Type": "application/x-www-form-urlencoded"},
			`payload=%7B%22pull_request%22%3A%7B%22number%22%3A7%7D%7D`, News{Event: "pull_request", Proposals: []int{7}}},
		{"no JSON", GitHub, map[string]string{"X-GitHub-Event": "push", "X-GitHub-Delivery": "d1"}, `{`, News{ID: "d1", Event: "push", Vague: true}},
		{"gitea", Gitea, map[string]string{"X-Gitea-Event": "pull_request_approved", "X-Gitea-Delivery": "d1"}, `{"action":"reviewed","number":3,"pull_request":{"id":99,"number":3}}`,
			News{ID: "d1", Event: "pull_request_approved", Proposals: []int{3}}},
		{"gitlab", GitLab, map[string]string{"X-Gitlab-Event": "Merge Request Hook", "Idempotency-Key": "k"}, `{"object_kind":"merge_request","object_attributes":{"iid":4,"action":"update"}}`,
			News{ID: "k", Event: "Merge Request Hook", Proposals: []int{4}}},
		{"gitlab merges", GitLab, map[string]string{"X-Gitlab-Event": "Merge Request Hook"}, `{"object_kind":"merge_request","object_attributes":{"iid":4,"action":"merge"}}`,
			News{Event: "Merge Request Hook", Proposals: []int{4}, Push: true}},
		{"a note", GitLab, nil, `{"object_kind":"note","object_attributes":{"id":1},"merge_request":{"iid":4}}`, News{Proposals: []int{4}}},
		{"a note on an issue", GitLab, nil, `{"object_kind":"note","issue":{"iid":4}}`, News{Idle: true}},
		{"a pipeline without a merge request", GitLab, nil, `{"object_kind":"pipeline","merge_request":null}`, News{}},
		{"a push to gitlab", GitLab, nil, `{"object_kind":"push","ref":"refs/heads/main"}`, News{Push: true}},
		{"distribution", Distribution, nil, `{"events":[
			{"timestamp":"2026-11-21T11:59:00Z","action":"push","target":{"repository":"team/a","tag":"v1"},"request":{"host":"r.example:5000","useragent":"docker"}},
			{"timestamp":"2026-11-21T12:00:00Z","action":"delete","target":{"repository":"team/b"},"request":{"host":"r.example:5000"}},
			{"timestamp":"2026-11-21T12:30:00Z","action":"pull","target":{"repository":"team/c","tag":"v1"}}]}`,
			News{Event: "events", At: at, Images: []Image{{"r.example:5000", "team/a", "v1"}, {"r.example:5000", "team/b", ""}}}},
		{"what we pushed ourselves", Distribution, nil, `{"events":[{"action":"push","target":{"repository":"a","tag":"v1"},"request":{"useragent":"poundlock"}}]}`,
			News{Event: "events", Idle: true}},
		{"pulls alone", Distribution, nil, `{"events":[{"action":"pull"}]}`, News{Event: "events", Idle: true}},
		{"more events than are read", Distribution, nil, `{"events":[` + strings.Repeat(`{"action":"pull"},`, maxItems) + `{"action":"push"}]}`, News{Event: "events", Vague: true}},
		{"zot, headers", Zot, map[string]string{"Ce-Id": "1", "Ce-Type": "zotregistry.image.updated", "Ce-Time": "2026-11-21T12:00:00Z"}, `{"name":"golang","reference":"latest","digest":"sha256:x"}`,
			News{ID: "1", Event: "zotregistry.image.updated", At: at, Images: []Image{{"", "golang", "latest"}}}},
		{"zot, one body", Zot, map[string]string{"Content-Type": "application/cloudevents+json"}, `{"id":"1","type":"com.example.image.deleted","time":"2026-11-21T12:00:00Z","data":{"name":"golang","reference":"sha256:x"}}`,
			News{ID: "1", Event: "com.example.image.deleted", At: at, Images: []Image{{"", "golang", ""}}}},
		{"harbor", Harbor, nil, `{"type":"PUSH_ARTIFACT","occur_at":1795262400,"event_data":{"resources":[{"tag":"v1","resource_url":"h.example/p/a:v1"}],"repository":{"repo_full_name":"p/a"}}}`,
			News{Event: "PUSH_ARTIFACT", At: time.Unix(1795262400, 0), Images: []Image{{"h.example", "p/a", "v1"}}}},
		{"harbor, CloudEvents", Harbor, nil, `{"id":"1","type":"harbor.artifact.pushed","time":"2026-11-21T12:00:00Z","data":{"resources":[{"tag":"v1","resource_url":"h.example/p/a:v1"}],"repository":{"repo_full_name":"p/a"}}}`,
			News{ID: "1", Event: "harbor.artifact.pushed", At: at, Images: []Image{{"h.example", "p/a", "v1"}}}},
		{"harbor replicates", Harbor, nil, `{"type":"REPLICATION"}`, News{Event: "REPLICATION", Vague: true}},
		{"harbor scans", Harbor, nil, `{"type":"SCANNING_COMPLETED"}`, News{Event: "SCANNING_COMPLETED", Idle: true}},
		{"generic", Generic, map[string]string{standardID: "1"}, `{"sets":["ess"]}`, News{ID: "1", Sets: []string{"ess"}, Push: true}},
		{"generic, any body", Generic, nil, `hello`, News{Push: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			for name, value := range tt.headers {
				h.Set(name, value)
			}
			if got := read(tt.kind, h, &content{text: []byte(tt.body), whole: true}); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// An event of a registry that lay there for long is taken, so that the registry does not send it for ever, and counts
// for nothing.
func TestReceive_AnOldEventOfARegistryIsTakenAndStale(t *testing.T) {
	body := func(at time.Time) string {
		return `{"events":[{"timestamp":"` + at.Format(time.RFC3339) + `","action":"push","target":{"repository":"a"}}]}`
	}
	for at, stale := range map[time.Time]bool{noon: false, noon.Add(-time.Hour): true} {
		news, err := receiver(Distribution).Receive(delivery(body(at), "Authorization", "Bearer "+secret))
		if err != nil || news.Stale != stale {
			t.Errorf("%s: %+v, %v", at, news, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`{"events":[{"action":"push"}]}`)
	f.Add(`{"pull_request":{"number":7}}`)
	f.Fuzz(func(t *testing.T, body string) {
		for _, kind := range Kinds() {
			n := read(kind, http.Header{}, &content{text: []byte(body), whole: true})
			if len(n.Images) > maxItems || len(n.Proposals) > 2*maxItems+1 {
				t.Errorf("%s: %d images, %d proposals", kind, len(n.Images), len(n.Proposals))
			}
		}
	})
}
