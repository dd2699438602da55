package forge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// What a forge answered, in the chain of errors.
var (
	ErrNotFound  = errors.New("the forge has no such thing, or does not show it to us")
	ErrExists    = errors.New("an open proposal of that branch is there already")
	ErrForbidden = errors.New("the credential may not do that")
	ErrLimited   = errors.New("the forge wants to be asked later")
	ErrMoved     = errors.New("the forge sends us elsewhere")
	ErrAnswer    = errors.New("the answer is not one of that API")
	ErrTooMany   = errors.New("the forge lists more than is read")
	ErrKey       = errors.New("the private key of the app cannot be used")
)

// LimitedError is ErrLimited with the moment from which the forge may be asked again.
type LimitedError struct{ Until time.Time }

func (e *LimitedError) Error() string {
	return fmt.Sprintf("%v, from %s", ErrLimited, e.Until.UTC().Format(time.RFC3339))
}

// Unwrap gives ErrLimited.
func (e *LimitedError) Unwrap() error { return ErrLimited }

// StepSelf is the step that asks whom the credential is of. Every forge answers it at the same place.
const StepSelf = "ask whose credential this is"

// Error is an exchange with a forge that did not go well.
type Error struct {
	Host    string // host[:port] of the API
	Step    string // what was done, in words
	Status  int    // of the answer; 0 where none came
	Message string // of the forge, cleaned and bounded
	Needs   string // permissions or scopes that it asks for, in its own words; "" where it does not say
	Err     error  // one of the causes above, or what the network died of
}

// Error says step, host, cause and the words of the forge.
func (e *Error) Error() string {
	text := e.Host
	if e.Step != "" {
		text = e.Step + " at " + e.Host
	}
	if e.Status != 0 {
		text += fmt.Sprintf(": it answers %d %s", e.Status, http.StatusText(e.Status))
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.Needs != "" {
		text += " (it asks for " + e.Needs + ")"
	}
	return text
}

// Unwrap gives the cause; nil for an answer that only its status tells of.
func (e *Error) Unwrap() error { return e.Err }

// Temporary says whether the same request may go well later, with nothing changed.
func (e *Error) Temporary() bool {
	for _, lasting := range []error{ErrAnswer, ErrKey, ErrTooMany, ErrMoved, ErrNotFound, ErrForbidden, ErrExists} {
		if errors.Is(e.Err, lasting) {
			return false
		}
	}
	return e.Status == 0 || e.Status >= 500 || e.Status == http.StatusRequestTimeout || errors.Is(e.Err, ErrLimited)
}

// fail adds to an error of a request what was being done. What the libraries wrap around it is left out: they repeat
// addresses.
func (r *rest) fail(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	e := &Error{Host: r.host, Err: err}
	var told *Error
	var address *url.Error
	var syntax *json.SyntaxError
	var shape *json.UnmarshalTypeError
	var date *time.ParseError
	switch {
	case errors.As(err, &told):
		made := *told
		e = &made
	case errors.As(err, &address):
		e.Err = address.Err
	case errors.As(err, &syntax), errors.As(err, &shape), errors.As(err, &date), err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF):
		e.Err = ErrAnswer
	}
	if e.Step == "" {
		e.Step = text(fmt.Sprintf(format, args...), maxMessage)
	}
	return e
}

// maxMessage is how much of what a forge says is repeated, in characters.
const maxMessage = 300

// requiredScope is how Gitea names the scopes that a token lacks.
var requiredScope = regexp.MustCompile(`required scope\(s\)[^\[]{0,20}\[([a-z:, ]{1,100})\]`)

// refusal reads an answer that is an error.
func refusal(resp *http.Response, body []byte) *Error {
	e := &Error{Host: resp.Request.URL.Host, Status: resp.StatusCode}
	var said map[string]any
	if json.Unmarshal(body, &said) == nil {
		e.Message = text(strings.Join(sentences(said), "; "), maxMessage)
		if scope, ok := said["scope"].(string); ok && said["error"] == "insufficient_scope" {
			e.Needs = text(scope, maxMessage)
		}
	}
	switch {
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusGone:
		e.Err = ErrNotFound
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		e.Err = ErrForbidden
		for _, name := range []string{"X-Accepted-GitHub-Permissions", "X-Accepted-OAuth-Scopes"} {
			if e.Needs == "" {
				e.Needs = text(resp.Header.Get(name), maxMessage)
			}
		}
		if m := requiredScope.FindStringSubmatch(e.Message); m != nil {
			e.Needs = m[1]
		}
	}
	return e
}

// sentences gathers what an answer says under the names that forges use for it.
func sentences(said map[string]any) []string {
	var all []string
	var add func(any)
	add = func(v any) {
		switch v := v.(type) {
		case string:
			all = append(all, v)
		case []any:
			for _, one := range v {
				add(one)
			}
		case map[string]any:
			for _, name := range []string{"message", "base", "error", "error_description", "errors"} {
				add(v[name])
			}
		}
	}
	add(said)
	return all
}
