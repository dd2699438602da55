package daemon

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/notify"
	"github.com/poundlock/poundlock/internal/wire"
)

const (
	// maxLetters is how many messages wait for one notifier; the oldest goes when there are more.
	maxLetters = 100
	// sendWithin bounds one attempt.
	sendWithin = 30 * time.Second
	// firstSend and lastSend are the first and the longest pause between two attempts; it doubles in between.
	firstSend, lastSend = 2 * time.Second, 10 * time.Minute
	// giveUp is how long a message is tried.
	giveUp = 6 * time.Hour
)

// letter is a message on its way, with the troubles that it tells of.
type letter struct {
	message notify.Message
	keys    []string
}

// courier brings messages to one notifier, one after another.
type courier struct {
	name      string
	config    config.Notifier
	sender    notify.Sender
	now       func() time.Time
	log       *slog.Logger
	metrics   *metrics
	delivered func(keys []string)
	signal    chan struct{}

	mu      sync.Mutex
	letters []letter
	lost    bool // the log says that some were dropped, or could not be brought
}

// give takes a message; it never waits.
func (c *courier) give(l letter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.letters = append(c.letters, l); len(c.letters) > maxLetters {
		c.letters = c.letters[1:]
		c.count("dropped")
		c.complain("the oldest of too many messages is dropped", nil)
	}
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

func (c *courier) count(result string) { c.metrics.told.WithLabelValues(c.name, result).Inc() }

// complain writes trouble with a notifier to the log, once until it is well again. The caller holds mu.
func (c *courier) complain(what string, err error) {
	level := slog.LevelWarn
	if c.lost {
		level = slog.LevelDebug
	}
	c.lost = true
	facts := []any{keyNotifier, c.name}
	if err != nil {
		facts = append(facts, keyError, wire.Mask(err.Error()))
	}
	c.log.Log(context.Background(), level, what, facts...)
}

// next takes the oldest message.
func (c *courier) next() (letter, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.letters) == 0 {
		return letter{}, false
	}
	l := c.letters[0]
	c.letters = c.letters[1:]
	return l, true
}

// run brings messages until ctx ends.
func (c *courier) run(ctx context.Context) {
	for {
		if l, ok := c.next(); ok {
			c.bring(ctx, l)
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-c.signal:
		}
	}
}

// bring tries until the notifier takes the message, says that it never will, or too much time passed.
func (c *courier) bring(ctx context.Context, l letter) {
	began := c.now()
	for n := 0; ctx.Err() == nil; n++ {
		try, cancel := context.WithTimeout(ctx, sendWithin)
		err := c.sender.Send(try, l.message)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			c.well()
			c.delivered(l.keys)
			return
		}
		failure, answered := errors.AsType[*notify.Failure](err)
		wait := min(firstSend<<min(n, 20), lastSend)
		wait = wait/2 + rand.N(wait)
		if answered {
			wait = max(wait, min(failure.After, time.Hour))
		}
		end := answered && failure.Final || errors.Is(err, wire.ErrRefused) || c.now().Sub(began) > giveUp
		c.mu.Lock()
		if end {
			c.count("failed")
			c.complain("a message could not be brought", err)
		} else {
			c.complain("a message could not be brought yet; it is tried again", err)
		}
		c.mu.Unlock()
		if end {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// well says that the notifier takes messages.
func (c *courier) well() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count("sent")
	if c.lost {
		c.lost = false
		c.log.Info("messages are brought again", keyNotifier, c.name)
	}
}
