package notify

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

var refused = Message{Version: 1, ID: "01J", At: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), Site: "berlin", Type: "refused", What: "refused", Severity: Warning,
	Set: "ess", Stage: "production", Entries: []string{"synapse/synapse"}, Count: 1, Image: "docker.io/x/synapse:v1", Code: "POL003",
	Reason: "<!channel> @here [x](https://evil.example) `a` & b", Fix: "sign it"}

func source(text string) Source { return func(context.Context) (string, error) { return text, nil } }

// receiver is a server that keeps the last request.
type receiver struct {
	*httptest.Server
	status int
	header http.Header
	method string
	path   string
	heard  http.Header
	body   []byte
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{status: http.StatusOK, header: http.Header{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.method, r.path, r.heard = req.Method, req.URL.EscapedPath(), req.Header
		r.body, _ = io.ReadAll(req.Body)
		for name, values := range r.header {
			w.Header()[name] = values
		}
		w.WriteHeader(r.status)
		io.WriteString(w, "no, since hunter2")
	}))
	t.Cleanup(r.Close)
	return r
}

func TestWebhook_IsSigned(t *testing.T) {
	r := newReceiver(t)
	w := Webhook{Client: r.Client(), URL: source(r.URL + "/in"), Secret: source("key"), Headers: map[string]Source{"X-Api-Key": source("hunter2")}}
	if err := w.Send(t.Context(), refused); err != nil {
		t.Fatal(err)
	}
	if got := r.heard.Get(SignatureHeader); got != Sign("key", r.body) || !strings.HasPrefix(got, "sha256=") || r.heard.Get("X-Api-Key") != "hunter2" {
		t.Errorf("headers %v", r.heard)
	}
	var m Message
	if err := json.Unmarshal(r.body, &m); err != nil || m.ID != refused.ID || m.Set != "ess" || m.Version != 1 {
		t.Errorf("%+v, %v", m, err)
	}
	w.Secret = nil
	if err := w.Send(t.Context(), refused); err != nil || r.heard.Get(SignatureHeader) != "" {
		t.Errorf("without a secret: %v, %q", err, r.heard.Get(SignatureHeader))
	}
	w.Secret = func(context.Context) (string, error) { return "", errors.New("no such file") }
	r.body = nil
	if err := w.Send(t.Context(), refused); err == nil || r.body != nil {
		t.Errorf("a message went out unsigned: %v", err)
	}
}

func TestSlack_NobodyIsCalledByWhatComesFromElsewhere(t *testing.T) {
	r := newReceiver(t)
	if err := (Slack{Client: r.Client(), URL: source(r.URL)}).Send(t.Context(), refused); err != nil {
		t.Fatal(err)
	}
	var body map[string]string
	if err := json.Unmarshal(r.body, &body); err != nil {
		t.Fatal(err)
	}
	want := "`[berlin] refused: ess/synapse/synapse at production`\nimage: `docker.io/x/synapse:v1`\n" +
		"why: `&lt;!channel&gt; @here [x](https://evil.example) 'a' &amp; b [POL003]`\nfix: `sign it`"
	if body["text"] != want {
		t.Errorf("got\n%s\nwant\n%s", body["text"], want)
	}
}

func TestMatrix_OneTransactionForAMessage(t *testing.T) {
	r := newReceiver(t)
	m := Matrix{Client: r.Client(), URL: source(r.URL + "/"), Token: source("hunter2"), Room: "!a/b:example.org"}
	if err := m.Send(t.Context(), refused); err != nil {
		t.Fatal(err)
	}
	if r.method != http.MethodPut || r.path != "/_matrix/client/v3/rooms/%21a%2Fb:example.org/send/m.room.message/01J" && r.path != "/_matrix/client/v3/rooms/%21a%2Fb%3Aexample.org/send/m.room.message/01J" &&
		r.path != "/_matrix/client/v3/rooms/!a%2Fb:example.org/send/m.room.message/01J" {
		t.Errorf("%s %s", r.method, r.path)
	}
	var body map[string]any
	if err := json.Unmarshal(r.body, &body); err != nil {
		t.Fatal(err)
	}
	text, _ := body["formatted_body"].(string)
	if mentions, ok := body["m.mentions"].(map[string]any); !ok || len(mentions) > 0 || body["msgtype"] != "m.notice" || strings.Contains(text, "<!") {
		t.Errorf("body %v", body)
	}
	if r.heard.Get("Authorization") != "Bearer hunter2" {
		t.Errorf("headers %v", r.heard)
	}
}

// What a receiver answers says whether another attempt makes sense, and none of its words, nor its address.
func TestSend_AnswersAreJudged(t *testing.T) {
	r := newReceiver(t)
	for status, final := range map[int]bool{400: true, 401: true, 404: true, 410: true, 408: false, 429: false, 500: false, 503: false, 302: true} {
		r.status, r.header = status, http.Header{"Retry-After": {"7"}}
		err := (Slack{Client: r.Client(), URL: source(r.URL + "/hunter2")}).Send(t.Context(), refused)
		f, ok := errors.AsType[*Failure](err)
		if !ok || f.Final != final || f.Status != status || f.After != 7*time.Second {
			t.Errorf("%d: %+v, %v", status, f, err)
		}
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%d: shown: %v", status, err)
		}
	}
	gone := newReceiver(t)
	gone.Close()
	err := (Slack{Client: http.DefaultClient, URL: source(gone.URL + "/hunter2")}).Send(t.Context(), refused)
	if _, answered := errors.AsType[*Failure](err); err == nil || answered || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("nobody there: %v", err)
	}
	if err := (Slack{Client: http.DefaultClient, URL: source("://hunter2")}).Send(t.Context(), refused); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a malformed address: %v", err)
	}
}

func TestMessage_ManyAreOneText(t *testing.T) {
	m := refused
	m.Count, m.Entries, m.Reminder, m.Proposal, m.URL = 200, []string{"a", "b", "c", "d", "e", "f"}, true, 7, "https://git.example.org/7"
	want := "[berlin] refused: ess at production (200), still\nentries: a, b, c, d, e and 195 more\n"
	if got := m.plain(); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "proposal: #7 https://git.example.org/7\n") {
		t.Errorf("got\n%s", got)
	}
}
