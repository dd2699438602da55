package daemon

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/notify"
	"github.com/poundlock/poundlock/internal/wire"
	"github.com/poundlock/poundlock/policy"
)

const (
	callWithin    = 10 * time.Second // an answer, where the configuration says nothing
	maxCallAnswer = 64 << 10         // bytes
	maxReason     = 300              // characters of what somebody outside gives as a reason
)

// callQuestion is what somebody outside is asked: may these entries of a set come to stand at a stage?
type callQuestion struct {
	Type     string       `json:"type"`    // always "promotion"
	Version  int          `json:"version"` // of this form: 1
	Site     string       `json:"site"`
	Set      string       `json:"set"`
	Stage    mirror.Stage `json:"stage"`
	From     mirror.Stage `json:"from"`               // the stage below
	Commit   string       `json:"commit,omitempty"`   // that asks for it; absent while it is only proposed
	Proposal int          `json:"proposal,omitempty"` // that brought it
	Moves    []callMove   `json:"moves"`
}

// callMove is one entry of a question.
type callMove struct {
	Entry string `json:"entry"`
	Image string `json:"image"`         // upstream reference with digest that is to stand
	Was   string `json:"was,omitempty"` // that stands now

	image mirror.Reference
}

func movesOf(entries []string, images map[string]mirror.Reference, standing mirror.Standing) []callMove {
	moves := make([]callMove, 0, len(entries))
	for _, entry := range entries {
		m := callMove{Entry: entry, Image: images[entry].String(), image: images[entry]}
		if line, ok := standing[entry]; ok {
			m.Was = line.Image.String()
		}
		moves = append(moves, m)
	}
	return moves
}

// answers asks those whom a gate names, side by side.
func (l *Line) answers(ctx context.Context, q question, a policy.Asking, names []string) map[string]policy.Answer {
	if len(names) == 0 {
		return nil
	}
	below, _ := q.set.Stages.Below(q.stage)
	body, err := json.Marshal(callQuestion{Type: "promotion", Version: 1, Site: l.config.Site, Set: q.set.Name, Stage: q.stage, From: below,
		Commit: a.Commit, Proposal: a.Proposal, Moves: q.moves})
	answers := map[string]policy.Answer{}
	var mu sync.Mutex
	var group sync.WaitGroup
	for _, name := range names {
		group.Go(func() {
			answer := policy.Answer{Unknown: notAnswered(err)}
			if err == nil {
				answer = l.consulted.of(ctx, name, body, l.now, l.asksOf)
			}
			mu.Lock()
			defer mu.Unlock()
			answers[name] = answer
		})
	}
	group.Wait()
	return answers
}

// asksOf asks one of them; why there is no answer is one, too.
func (l *Line) asksOf(ctx context.Context, name string, body []byte) policy.Answer {
	answer, err := l.call(ctx, name, body)
	if err != nil {
		return policy.Answer{Unknown: notAnswered(err)}
	}
	return answer
}

// consulted is what those outside said of what is only proposed, of which people are shown more often than anybody is to
// be asked about it.
type consulted struct {
	mu  sync.Mutex
	all map[string]answerAt // by name and question
}

type answerAt struct {
	answer policy.Answer
	at     time.Time
}

// of gives the answer to a question, which is asked where it was not within factsFor. None at all is nil.
func (a *consulted) of(ctx context.Context, name string, body []byte, now func() time.Time, ask func(context.Context, string, []byte) policy.Answer) policy.Answer {
	if a == nil {
		return ask(ctx, name, body)
	}
	key, at := name+" "+mirror.DigestOf(body).Hex, now()
	a.mu.Lock()
	maps.DeleteFunc(a.all, func(_ string, o answerAt) bool { return at.Sub(o.at) >= factsFor || at.Before(o.at) })
	known, ok := a.all[key]
	a.mu.Unlock()
	if ok {
		return known.answer
	}
	answer := ask(ctx, name, body)
	if ctx.Err() != nil {
		return answer // it was cut off
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all == nil {
		a.all = map[string]answerAt{}
	}
	a.all[key] = answerAt{answer, at}
	return answer
}

// call asks one of them. Whatever is not a plain yes or no is an error.
func (l *Line) call(ctx context.Context, name string, body []byte) (policy.Answer, error) {
	c, ok := l.config.Calls[name]
	switch {
	case l.offline:
		return policy.Answer{}, mirror.ErrOffline
	case !ok:
		return policy.Answer{}, fmt.Errorf("config.yaml has no calls.%s", name)
	}
	address, err := c.URL.Read()
	if err != nil {
		return policy.Answer{}, fmt.Errorf("calls.%s.url: %w", name, err)
	}
	u, bad, _ := callAddress(c, address.Reveal())
	if bad != "" {
		return policy.Answer{}, fmt.Errorf("calls.%s.url %s", name, bad)
	}
	key, err := c.Secret.Read()
	if err != nil {
		return policy.Answer{}, fmt.Errorf("calls.%s.secret: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.Time, callWithin))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return policy.Answer{}, fmt.Errorf("calls.%s.url is no http address", name)
	}
	req.Header.Set("Content-Type", "application/json")
	if !c.Secret.IsZero() {
		req.Header.Set(notify.SignatureHeader, notify.Sign(key.Reveal(), body))
	}
	out, err := wireOfCall(c, u, l.config.TLS.CAFiles, l.observe)
	if err != nil {
		return policy.Answer{}, fmt.Errorf("calls.%s: %w", name, err)
	}
	defer out.Close()
	resp, err := out.RoundTrip(req) // a redirect is no answer
	if err != nil {
		return policy.Answer{}, notify.WithoutURL(err)
	}
	defer resp.Body.Close()
	return answerOf(resp)
}

// callAddress reads the address of a call, or says what is wrong with it, and what to do.
func callAddress(c config.Call, text string) (u *url.URL, bad, fix string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, "is no http address", "write the whole address, beginning with https://"
	case u.User != nil:
		return nil, "carries a user or a password", "take it out; the question is signed with the secret"
	case u.Scheme == "http" && !c.Insecure:
		return nil, "is plain http", "use https, or set insecure: true beside it"
	}
	return u, "", ""
}

// checkCalls finds addresses of calls that cannot be. They are secrets and not repeated; nobody is asked.
func checkCalls(c config.Config) (all mirror.Problems) {
	for _, name := range sortedKeys(c.Calls) {
		one, path := c.Calls[name], "calls."+name+".url"
		address, err := one.URL.Read()
		if err != nil || one.URL.IsZero() {
			continue // told of all secrets
		}
		if _, bad, fix := callAddress(one, address.Reveal()); bad != "" {
			all.AddAt(path, "CFG101", c.PlaceOf(path), fix, "what %s refers to %s", path, bad)
		}
	}
	return all
}

// wireOfCall gives a way out that leads to one host, with nobody's credential.
func wireOfCall(c config.Call, u *url.URL, trusted []string, observe func(wire.Event)) (*wire.Wire, error) {
	return wire.New(wire.Settings{CAFiles: trusted, UserAgent: "poundlock", Observe: observe,
		Hosts: map[string]wire.Host{u.Host: {Insecure: c.Insecure, CAFiles: c.TLS.CAFiles, CertFile: c.TLS.CertFile, KeyFile: c.TLS.KeyFile}}})
}

func answerOf(resp *http.Response) (policy.Answer, error) {
	if resp.StatusCode != http.StatusOK {
		return policy.Answer{}, fmt.Errorf("%d %s instead of one", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxCallAnswer+1))
	if err != nil {
		return policy.Answer{}, fmt.Errorf("read its answer: %w", err)
	}
	var answer struct {
		Allow  *bool  `json:"allow"`
		Reason string `json:"reason"`
	}
	if len(data) > maxCallAnswer || json.Unmarshal(data, &answer) != nil || answer.Allow == nil {
		return policy.Answer{}, errors.New(`what came is not {"allow": true or false, "reason": "..."}`)
	}
	return policy.Answer{Allow: *answer.Allow, Reason: mirror.Shorten(mirror.OneLine(wire.Mask(answer.Reason)), maxReason)}, nil
}
