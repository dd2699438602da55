package daemon

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
)

// ErrNoDaemon means that nobody answers on the socket of a state directory.
var ErrNoDaemon = errors.New("no daemon runs")

// dialWithin is how long a daemon may take to accept a connection; answerIn, to begin its answer. A commit to
// Git is part of some answers.
const (
	dialWithin = 2 * time.Second
	answerIn   = 5 * time.Minute
)

// Client speaks to the daemon that holds a state directory.
type Client struct {
	http *http.Client
	path string
}

// Dial finds the daemon of a configuration: ErrNoDaemon when there is none, ErrLocked when a process holds the state
// directory and does not answer, mirror.Problems when its socket may not be used.
func Dial(c config.Config) (*Client, error) {
	path := c.SocketPath()
	conn, err := net.DialTimeout("unix", path, dialWithin)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return nil, absent(c)
	case errors.Is(err, fs.ErrPermission):
		return nil, mirror.Problems{{Code: "LOCK003", What: "this user may not speak to the daemon: " + path, Where: c.PlaceOf("socket"),
			Why: "the socket is for the daemon's own user and for root", Fix: "run the command as that user, such as with sudo -u poundlock"}}
	case err != nil:
		return nil, fmt.Errorf("daemon on %s: %w", path, err)
	}
	if err := conn.Close(); err != nil {
		return nil, fmt.Errorf("daemon on %s: %w", path, err)
	}
	dialer := net.Dialer{Timeout: dialWithin}
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{
		DialContext:           func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) },
		ResponseHeaderTimeout: answerIn, DisableKeepAlives: true,
	}}}, nil
}

// Status asks how everything is.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	err = c.ask(ctx, http.MethodGet, "/v1/status", nil, &s)
	return s, err
}

// Watch calls changed with the status now and whenever it is another one, until ctx ends, the daemon does, or
// changed gives an error.
func (c *Client) Watch(ctx context.Context, changed func(Status) error) error {
	return lines(ctx, c, "/v1/status?follow=1", changed)
}

// Trigger makes the daemon look at a set at once, as the schedule and an audit would.
func (c *Client) Trigger(ctx context.Context, set, by string) (t Triggered, err error) {
	err = c.ask(ctx, http.MethodPost, "/v1/trigger", order{Set: set, By: by}, &t)
	return t, err
}

// Suspend pauses a set.
func (c *Client) Suspend(ctx context.Context, set, reason, by string) (s Suspension, err error) {
	err = c.ask(ctx, http.MethodPost, "/v1/suspend", order{Set: set, Reason: reason, By: by}, &s)
	return s, err
}

// Acknowledge accepts a rewritten history of the fleet repository.
func (c *Client) Acknowledge(ctx context.Context, commit, by string) (a Acknowledged, err error) {
	err = c.ask(ctx, http.MethodPost, "/v1/acknowledge", order{Commit: commit, By: by}, &a)
	return a, err
}

// Resume lets a set go on; ok is false for one that was not suspended.
func (c *Client) Resume(ctx context.Context, set, by string) (was Suspension, ok bool, err error) {
	var answer resumed
	err = c.ask(ctx, http.MethodPost, "/v1/resume", order{Set: set, By: by}, &answer)
	if answer.Was != nil {
		was, ok = *answer.Was, true
	}
	return was, ok, err
}

// Events gives what the filter chooses of what happened, in order of time.
func (c *Client) Events(ctx context.Context, f Filter) ([]Event, error) {
	var answer happened
	err := c.ask(ctx, http.MethodGet, "/v1/events?"+f.query().Encode(), nil, &answer)
	return answer.Events, err
}

// Follow calls seen with what the filter chooses of what happened and then with each thing that happens, until
// ctx ends, the daemon does, or seen gives an error.
func (c *Client) Follow(ctx context.Context, f Filter, seen func(Event) error) error {
	q := f.query()
	q.Set("follow", "1")
	return lines(ctx, c, "/v1/events?"+q.Encode(), seen)
}

// State copies the daemon's state into w: a database file as OpenState reads it.
func (c *Client) State(ctx context.Context, w io.Writer) error {
	answer, err := c.send(ctx, http.MethodGet, "/v1/state", nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	n, err := io.Copy(w, answer.Body)
	if err == nil && n != answer.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (f Filter) query() url.Values {
	q := url.Values{}
	if f.Set != "" {
		q.Set("set", f.Set)
	}
	if f.Type != "" {
		q.Set("type", string(f.Type))
	}
	if !f.Since.IsZero() {
		q.Set("since", f.Since.UTC().Format(time.RFC3339Nano))
	}
	if f.N != 0 {
		q.Set("n", strconv.Itoa(f.N))
	}
	return q
}

// ask sends one request and reads the document that answers it.
func (c *Client) ask(ctx context.Context, method, path string, body, into any) error {
	answer, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("daemon on %s: %w", c.path, err)
	}
	return nil
}

// maxAnswer bounds one document of a daemon, in bytes.
const maxAnswer = 64 << 20

func (c *Client) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var text bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&text).Encode(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://poundlock"+path, &text)
	if err != nil {
		return nil, err
	}
	answer, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("daemon on %s: %w", c.path, err)
	}
	if answer.StatusCode < http.StatusBadRequest {
		return answer, nil
	}
	defer answer.Body.Close()
	var refused refusedOrder
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(&refused); err != nil || len(refused.Problems) == 0 {
		return nil, fmt.Errorf("daemon on %s: %s", c.path, answer.Status)
	}
	return nil, refused.err()
}

// lines reads a stream of documents, one a line.
func lines[T any](ctx context.Context, c *Client, path string, each func(T) error) error {
	answer, err := c.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	read := bufio.NewScanner(answer.Body)
	read.Buffer(nil, maxAnswer)
	for read.Scan() {
		var one T
		if err := json.Unmarshal(read.Bytes(), &one); err != nil {
			return fmt.Errorf("daemon on %s: %w", c.path, err)
		}
		if err := each(one); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := read.Err(); err != nil {
		return fmt.Errorf("daemon on %s: %w", c.path, err)
	}
	return fmt.Errorf("daemon on %s: %w", c.path, ErrDaemonEnded)
}

// ErrDaemonEnded means that the daemon went away while it was being followed.
var ErrDaemonEnded = errors.New("the daemon ended")
