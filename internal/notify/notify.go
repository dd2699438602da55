// Package notify tells people and programs what happened: generic webhooks, chat and mail.
//
// It promises that no message holds a secret, that each attempt ends within its time, and that what a receiver
// answers is bounded. What is worth telling, and when again, is left to the caller.
package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Severity is how bad news is.
type Severity string

// The severities.
const (
	Info    Severity = "info"
	Warning Severity = "warning" // somebody should look
	Error   Severity = "error"   // something does not work
)

// Message is one thing to tell. Its texts are clean and bounded: whoever makes it has masked what is secret. In JSON it
// is the body of a generic webhook.
type Message struct {
	Version  int       `json:"version"` // of this form: 1
	ID       string    `json:"id"`      // the same for each attempt
	At       time.Time `json:"at"`      // when it happened
	Site     string    `json:"site"`    // whose daemon tells it
	Type     string    `json:"type"`    // what happened, in one stable word
	What     string    `json:"what"`    // the same for people
	Severity Severity  `json:"severity"`
	Set      string    `json:"set,omitempty"`
	Stage    string    `json:"stage,omitempty"`
	Entries  []string  `json:"entries,omitempty"` // some of those that it is about
	Count    int       `json:"count"`             // how many things it stands for, at least 1
	Image    string    `json:"image,omitempty"`   // of the first one
	Commit   string    `json:"commit,omitempty"`
	Code     string    `json:"code,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Where    string    `json:"where,omitempty"` // file:line:column in the fleet repository
	Fix      string    `json:"fix,omitempty"`
	By       string    `json:"by,omitempty"`       // who did it
	Proposal int       `json:"proposal,omitempty"` // its number
	URL      string    `json:"url,omitempty"`      // of its page
	Reminder bool      `json:"reminder,omitempty"` // it was told before, and lasts
}

// Sender tells messages to somebody.
type Sender interface {
	// Send tries once. The error is a *Failure where the receiver said more than no.
	Send(ctx context.Context, m Message) error
}

// Source gives a secret as it is now; it is asked for each attempt.
type Source func(context.Context) (string, error)

// read gives a secret, or nothing where there is no source.
func (s Source) read(ctx context.Context) (string, error) {
	if s == nil {
		return "", nil
	}
	return s(ctx)
}

// Failure is a receiver that did not take a message.
type Failure struct {
	Status int           // of HTTP or SMTP; 0: it could not be asked
	After  time.Duration // when it wants to be asked again; 0: it does not say
	Final  bool          // another attempt would be refused as well
	what   string
}

// Error says what the receiver answered, without its words: they may hold what we sent.
func (e *Failure) Error() string { return e.what }

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 10

// post sends a request of HTTP and judges the answer.
func post(client *http.Client, req *http.Request) error {
	resp, err := client.Do(req)
	if err != nil {
		return WithoutURL(err)
	}
	defer resp.Body.Close()
	io.CopyN(io.Discard, resp.Body, maxAnswer) // so that the connection can be used again
	if resp.StatusCode/100 == 2 {
		return nil
	}
	f := &Failure{Status: resp.StatusCode, what: fmt.Sprintf("it answers %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))}
	if s, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16); err == nil {
		f.After = time.Duration(s) * time.Second
	}
	switch resp.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
	default:
		f.Final = resp.StatusCode/100 != 5
	}
	return f
}

// WithoutURL takes the address out of an error of HTTP: that of a chat, or of whoever is asked, is a secret.
func WithoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
