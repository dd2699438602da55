package charts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Templates and schemas are programs of whoever wrote the chart, and Go cannot stop one that runs: text/template and the
// schema library take no context. So the jobs of a daemon run in a process of their own, which can be killed. Only the real
// binary knows how to serve one, so it says so when it starts (Apart); tests of packages have no such program and do jobs in
// their own process, with the deadline alone.
var (
	apart  []string
	within = 30 * time.Second
	atOnce = make(chan struct{}, 2) // so that the bound of memory is one of all jobs together, too
)

// maxAnswer bounds what is read of an answer, in bytes: what is rendered takes more room as JSON.
const maxAnswer = 3 * maxRendered

// Apart names the program, with its arguments, that serves a job in a process of its own (see Serve). It is called once,
// before anything else of this package.
func Apart(command ...string) { apart = command }

var rendered, checked = memo[Rendered]{most: 4}, memo[[]Fault]{most: 64}

// tooMuch remembers what hit a bound: a set is read many times in a minute, and each would take the whole deadline. It is
// asked again after a while: the machine may have been slow.
var (
	tooMuch  = memo[*Refusal]{most: 64}
	askAgain = 10 * time.Minute
)

// Render renders a chart whose charts inside are unpacked (see Files.Whole). An error is a *Refusal.
func Render(f Files, r Release) (Rendered, error) {
	return ask(&rendered, job{Chart: f, Release: &r}, func(a answer) Rendered { return a.Rendered })
}

// Check gives what the schemas of a chart, and of the charts inside it, refuse of values, which are whole: with the chart's
// defaults. An error is a *Refusal: a schema is none, names another document, or takes too long.
func Check(f Files, values Values) ([]Fault, error) {
	return ask(&checked, job{Chart: f, Values: values}, func(a answer) []Fault { return a.Faults })
}

// ask has a job done, or remembers what came of it. Whoever gets it only reads it.
func ask[V any](known *memo[V], j job, of func(answer) V) (none V, err error) {
	text, err := json.Marshal(j) // keys of mappings are sorted
	if err != nil {
		return none, refuse(NotRenders, "%v", err)
	}
	key := mirror.DigestOf(text)
	if v, ok := known.of(key); ok {
		return v, nil
	}
	if why, ok := tooMuch.of(key); ok {
		return none, why
	}
	atOnce <- struct{}{}
	defer func() { <-atOnce }()
	var a answer
	if len(apart) > 0 {
		a, err = process(text)
	} else {
		a, err = inProcess(j)
	}
	if err == nil && a.Refused != nil {
		err = a.Refused
	}
	if why, ok := errors.AsType[*Refusal](err); ok && why.Cause == NotInBounds {
		tooMuch.keep(key, why)
		time.AfterFunc(askAgain, func() { tooMuch.drop(key) })
	}
	if err != nil {
		return none, err
	}
	v := of(a)
	known.keep(key, v)
	return v, nil
}

func tooLong() error {
	return refuse(NotInBounds, "it takes longer than %s", within)
}

func inProcess(j job) (answer, error) {
	ended := make(chan answer, 1)
	go func() { ended <- j.do() }()
	select {
	case a := <-ended:
		return a, nil
	case <-time.After(within):
		return answer{}, tooLong()
	}
}

// process does a job in a process of its own, which inherits nothing: no environment, no folder, no open file.
func process(job []byte) (a answer, err error) {
	ctx, end := context.WithTimeout(context.Background(), within)
	defer end()
	cmd := exec.CommandContext(ctx, apart[0], apart[1:]...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = []string{}, "/", time.Second
	out := &bounded{most: maxAnswer}
	cmd.Stdin, cmd.Stdout = bytes.NewReader(job), out
	err = cmd.Run()
	var ended *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return a, tooLong()
	case out.full:
		return a, refuse(NotInBounds, "it renders to more than %d MiB", maxRendered>>20)
	case errors.As(err, &ended) && (ended.ExitCode() == exitMemory || ended.ExitCode() == exitCrash):
		return a, refuse(NotInBounds, "it takes more than %d MiB of memory, or its templates call each other without end", maxMemory>>20)
	case errors.As(err, &ended) && ended.ExitCode() == exitTime:
		return a, tooLong()
	case err != nil:
		return a, refuse(NotProcessed, "the process that reads it: %v", err)
	}
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		return a, refuse(NotProcessed, "the process that reads it gives no answer: %v", err)
	}
	return a, nil
}

// bounded keeps what is written, up to a limit.
type bounded struct {
	bytes.Buffer
	most int
	full bool
}

// Write fails when it is full, which ends the process that writes.
func (b *bounded) Write(p []byte) (int, error) {
	if b.full = b.full || b.Len()+len(p) > b.most; b.full {
		return 0, fmt.Errorf("%w: %d bytes", io.ErrShortWrite, b.most)
	}
	return b.Buffer.Write(p)
}
