package hook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const secret = "correct horse battery"

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func receiver(kind Kind, change ...func(*Settings)) *Receiver {
	s := Settings{Kind: kind, Secret: func(context.Context) (string, error) { return secret, nil }, Now: func() time.Time { return noon }, Limits: NewLimits()}
	for _, f := range change {
		f(&s)
	}
	return New(s)
}

func sum(key, text string) []byte {
	mac := hmac.New(sha256.New, []byte(key))
	io.WriteString(mac, text)
	return mac.Sum(nil)
}

func delivery(body string, headers ...string) *http.Request {
	req := httptest.NewRequest(http.MethodPost, "/hooks/x", strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	return req
}

func signed(key, body, header, prefix string, more ...string) *http.Request {
	return delivery(body, append([]string{header, prefix + hex.EncodeToString(sum(key, body))}, more...)...)
}

func standard(key, id string, at time.Time, body string) *http.Request {
	lead := fmt.Sprintf("%s.%d.", id, at.Unix())
	return delivery(body, standardID, id, standardTime, fmt.Sprint(at.Unix()), standardSignature, "v1,AAAA v1,"+base64.StdEncoding.EncodeToString(sum(key, lead+body)))
}

// reasonOf gives why a delivery was refused; "" when it was not.
func reasonOf(t *testing.T, err error) Reason {
	t.Helper()
	if err == nil {
		return ""
	}
	refused, ok := errors.AsType[*Refusal](err)
	if !ok {
		t.Fatalf("%v is no refusal", err)
	}
	if strings.Contains(err.Error(), secret) {
		t.Errorf("the secret is shown: %v", err)
	}
	return refused.Reason
}

func TestReceive_TellsTheGenuineFromTheForged(t *testing.T) {
	body := `{"action":"opened"}`
	whsec := "whsec_" + base64.StdEncoding.EncodeToString([]byte(secret))
	for _, tt := range []struct {
		name string
		kind Kind
		req  *http.Request
		want Reason
	}{
		{"github", GitHub, signed(secret, body, hubSignature, "sha256="), ""},
		{"github, another key", GitHub, signed("guess", body, hubSignature, "sha256="), Forged},
		{"github, another body", GitHub, delivery(body+" ", hubSignature, "sha256="+hex.EncodeToString(sum(secret, body))), Forged},
		{"github, SHA-1", GitHub, delivery(body, "X-Hub-Signature", "sha1=0123456789012345678901234567890123456789"), Unsigned},
		{"github, half of the sum", GitHub, delivery(body, hubSignature, "sha256="+hex.EncodeToString(sum(secret, body)[:16])), Unsigned},
		{"github, no prefix", GitHub, signed(secret, body, hubSignature, ""), Unsigned},
		{"github, no hex", GitHub, delivery(body, hubSignature, "sha256="+strings.Repeat("z", 64)), Unsigned},
		{"github, nothing", GitHub, delivery(body), Unsigned},
		{"github, the secret itself", GitHub, delivery(body, gitlabToken, secret, "Authorization", secret), Unsigned},
		{"github, two signatures", GitHub, signed(secret, body, hubSignature, "sha256=", hubSignature, "sha256="+strings.Repeat("0", 64)), Unsigned},
		{"gitea", Gitea, signed(secret, body, giteaSignature, ""), ""},
		{"forgejo", Gitea, signed(secret, body, forgejoSignature, ""), ""},
		{"gitea as github", Gitea, signed(secret, body, hubSignature, "sha256="), ""},
		{"gitea, forged", Gitea, signed("guess", body, giteaSignature, ""), Forged},
		{"gitlab token", GitLab, delivery(body, gitlabToken, secret), ""},
		{"gitlab, wrong token", GitLab, delivery(body, gitlabToken, secret+"x"), Forged},
		{"gitlab, no token", GitLab, delivery(body), Unsigned},
		{"gitlab signed", GitLab, standard(secret, "1", noon, body), ""},
		{"gitlab signed long ago", GitLab, standard(secret, "1", noon.Add(-6*time.Minute), body), TooOld},
		{"gitlab signed tomorrow", GitLab, standard(secret, "1", noon.Add(time.Hour), body), TooOld},
		{"gitlab signed with another key", GitLab, standard("guess", "1", noon, body), Forged},
		{"generic", Generic, signed(secret, body, genericSignature, "sha256="), ""},
		{"generic, forged", Generic, signed("", body, genericSignature, "sha256="), Forged},
		{"generic, standard", Generic, standard(secret, "1", noon, body), ""},
		{"registry, bearer", Distribution, delivery(`{"events":[]}`, "Authorization", "Bearer "+secret), ""},
		{"registry, basic", Zot, delivery(`{}`, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("zot:"+secret)), "Ce-Type", "zotregistry.repository.created"), ""},
		{"registry, as it is", Harbor, delivery(`{"type":"PULL_ARTIFACT"}`, "Authorization", secret), ""},
		{"registry, wrong", Harbor, delivery(`{}`, "Authorization", "Bearer guess"), Forged},
		{"registry, empty password", Zot, delivery(`{}`, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("zot:"))), Forged},
		{"registry, nothing", Distribution, delivery(`{}`), Unsigned},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := receiver(tt.kind).Receive(tt.req); reasonOf(t, err) != tt.want {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	with := func(s *Settings) { s.Secret = func(context.Context) (string, error) { return whsec, nil } }
	if _, err := receiver(GitLab, with).Receive(standard(secret, "1", noon, body)); err != nil {
		t.Errorf("a secret in the form of Standard Webhooks: %v", err)
	}
}

// Where our own secret is not to be had, or is empty, nothing counts.
func TestReceive_WithoutASecretNothingCounts(t *testing.T) {
	for name, source := range map[string]func(context.Context) (string, error){
		"empty":      func(context.Context) (string, error) { return "", nil },
		"unreadable": func(context.Context) (string, error) { return "", errors.New("no such file") },
	} {
		r := receiver(Harbor, func(s *Settings) { s.Secret = source })
		if _, err := r.Receive(delivery(`{}`, "Authorization", "Bearer ")); reasonOf(t, err) != NoSecret {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestReceive_ADeliveryCountsOnce(t *testing.T) {
	now := noon
	r := receiver(GitHub, func(s *Settings) { s.Now = func() time.Time { return now } })
	take := func(body, id string) bool {
		t.Helper()
		news, err := r.Receive(signed(secret, body, hubSignature, "sha256=", "X-GitHub-Delivery", id, "X-GitHub-Event", "push"))
		if err != nil {
			t.Fatal(err)
		}
		return !news.Repeated
	}
	if !take(`{"after":"1"}`, "a") {
		t.Error("the first delivery is taken for a repetition")
	}
	if take(`{"after":"1"}`, "a") {
		t.Error("it counts twice")
	}
	if take(`{"after":"1"}`, "b") {
		t.Error("it counts again under another id, which nobody signed")
	}
	if take(`{"after":"2"}`, "a") {
		t.Error("the id counts again with another body")
	}
	if !take(`{"after":"3"}`, "c") {
		t.Error("another delivery does not count")
	}
	now = now.Add(23 * time.Hour)
	if take(`{"after":"1"}`, "d") {
		t.Error("it counts again a day later")
	}
}

func TestReceive_WhoComesTooOftenMayComeLater(t *testing.T) {
	now := noon
	r := receiver(GitHub, func(s *Settings) { s.PerMinute, s.Now = 2, func() time.Time { return now } })
	push := func(n int) error {
		_, err := r.Receive(signed(secret, fmt.Sprintf(`{"after":"%d"}`, n), hubSignature, "sha256=", "X-GitHub-Event", "push"))
		return err
	}
	if err := errors.Join(push(1), push(2)); err != nil {
		t.Fatal(err)
	}
	err := push(3)
	if refused, _ := errors.AsType[*Refusal](err); reasonOf(t, err) != TooMany || refused.After != 30*time.Second || refused.Status() != http.StatusTooManyRequests || refused.NotGenuine() {
		t.Errorf("got %+v", refused)
	}
	now = now.Add(30 * time.Second)
	if err := push(3); err != nil {
		t.Errorf("what was told to come later is refused: %v", err)
	}
}

// forever is a body without an end, which says how much of it was read.
type forever struct{ read int64 }

func (f *forever) Read(p []byte) (int, error) {
	f.read += int64(len(p))
	return len(p), nil
}

func TestReceive_ABodyIsBounded(t *testing.T) {
	endless := &forever{}
	req := httptest.NewRequest(http.MethodPost, "/hooks/x", endless)
	req.Header.Set(hubSignature, "sha256="+strings.Repeat("0", 64))
	if _, err := receiver(GitHub).Receive(req); reasonOf(t, err) != TooLarge {
		t.Errorf("got %v", err)
	}
	if endless.read > MaxBody+chunk {
		t.Errorf("%d bytes were read", endless.read)
	}
	said := delivery("{}", hubSignature, "sha256="+strings.Repeat("0", 64))
	said.ContentLength = MaxBody + 1
	if _, err := receiver(GitHub).Receive(said); reasonOf(t, err) != TooLarge {
		t.Errorf("one that says so: %v", err)
	}
	unread := &forever{}
	req = httptest.NewRequest(http.MethodPost, "/hooks/x", unread)
	req.Header.Set(gitlabToken, "guess")
	if _, err := receiver(GitLab).Receive(req); reasonOf(t, err) != Forged || unread.read > 0 {
		t.Errorf("a wrong token: %v, and %d bytes were read", err, unread.read)
	}
	cut := httptest.NewRequest(http.MethodPost, "/hooks/x", io.MultiReader(strings.NewReader("{"), broken{}))
	cut.Header.Set(hubSignature, "sha256="+hex.EncodeToString(sum(secret, "{")))
	if _, err := receiver(GitHub).Receive(cut); reasonOf(t, err) != Broken {
		t.Errorf("one that breaks off: %v", err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// A genuine delivery that is too large to be understood, or for which there is no room, stands for anything.
func TestReceive_WhatIsNotKeptMayBeAnything(t *testing.T) {
	large := `{"action":"opened","number":7,"pull_request":{"number":7},"x":"` + strings.Repeat("x", maxKept) + `"}`
	news, err := receiver(GitHub).Receive(signed(secret, large, hubSignature, "sha256=", "X-GitHub-Event", "pull_request", "X-GitHub-Delivery", "a"))
	if err != nil || !news.Vague || len(news.Proposals) > 0 || news.ID != "a" {
		t.Errorf("a large one: %+v, %v", news, err)
	}
	limits := NewLimits()
	if !limits.bytes.TryAcquire(maxReading) {
		t.Fatal("the room is not free")
	}
	small := `{"number":7,"pull_request":{"number":7}}`
	with := func(s *Settings) { s.Limits = limits }
	news, err = receiver(GitHub, with).Receive(signed(secret, small, hubSignature, "sha256="))
	if err != nil || !news.Vague {
		t.Errorf("without room: %+v, %v", news, err)
	}
	limits.bytes.Release(maxReading)
	for range 3 { // what is read gives its room back
		if news, err = receiver(GitHub, with).Receive(signed(secret, small, hubSignature, "sha256=")); err != nil || news.Vague {
			t.Errorf("with room: %+v, %v", news, err)
		}
	}
	if !limits.bytes.TryAcquire(maxReading) {
		t.Error("room was not given back")
	}
	for range maxAtOnce {
		limits.slots <- struct{}{}
	}
	if _, err := receiver(GitHub, with).Receive(signed(secret, small, hubSignature, "sha256=")); reasonOf(t, err) != Busy {
		t.Errorf("among too many: %v", err)
	}
}

func TestMemory_IsBounded(t *testing.T) {
	m := memory{keep: time.Hour}
	mark := func(n int) [sha256.Size]byte { return sha256.Sum256(fmt.Append(nil, n)) }
	for n := range 3 * maxRemembered {
		m.add(mark(n), noon)
		m.add(mark(n), noon)
	}
	if len(m.seen) != maxRemembered || len(m.order) != maxRemembered {
		t.Errorf("%d and %d are kept", len(m.seen), len(m.order))
	}
	if !m.knows(mark(3*maxRemembered-1), noon) || m.knows(mark(0), noon) || m.knows(mark(3*maxRemembered-1), noon.Add(2*time.Hour)) {
		t.Error("the newest are not the ones that are kept, for their time")
	}
}

func TestReceive_NoWordOfTheBodyIsHeldForLong(t *testing.T) {
	c := &content{bytes: NewLimits().bytes, whole: true}
	if !c.add(bytes.Repeat([]byte("x"), chunk)) || c.held < chunk {
		t.Fatalf("held %d", c.held)
	}
	if c.drop(); c.text != nil || c.held != 0 || c.whole {
		t.Errorf("after it was dropped: %+v", c)
	}
}
