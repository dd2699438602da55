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

// tell sends an event to all hooks.
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
		event, kind := d.Event, d.Event // it names some events in two ways
		switch verdict, review := strings.CutPrefix(event, "pull_request_review_"); {
		case review:
			event = "pull_request_" + verdict
		case event == "issue_comment":
			kind = "pull_request_comment"
		}
		set("X-Gitea-Event", event)
		set("X-Gitea-Event-Type", kind)
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
