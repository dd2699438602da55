package charts

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime/debug"
	"runtime/metrics"
	"syscall"
	"time"
)

// Bounds of a process that does a job.
const (
	maxMemory = 512 << 20
	maxStack  = 128 << 20
	lookEvery = 10 * time.Millisecond
)

// How such a process ends beside 0 and what the commands have.
const (
	exitCrash  = 2 // of Go itself: no memory or no stack left
	exitMemory = 70
	exitTime   = 71
)

// Serve does the one job that in holds, and writes what came of it to out. It is for a process that does nothing else: it
// bounds the memory of the whole process, lets it open nothing more, and ends it through exit at its bounds, when ctx ends,
// and a little after the deadline of whoever asked, who may be gone by then.
func Serve(ctx context.Context, in io.Reader, out io.Writer, exit func(code int)) error {
	debug.SetMemoryLimit(maxMemory * 7 / 8)
	debug.SetMaxStack(maxStack)
	go watch(ctx, exit)
	time.AfterFunc(within+time.Second, func() { exit(exitTime) })
	confine()
	var j job
	if err := json.NewDecoder(in).Decode(&j); err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	if err := json.NewEncoder(out).Encode(j.do()); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// watch ends the process when it takes more memory than it may: a limit of Go only makes it tidy up more often.
func watch(ctx context.Context, exit func(int)) {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	for tick := time.NewTicker(lookEvery); ; {
		select {
		case <-ctx.Done():
			exit(exitTime)
			return
		case <-tick.C:
		}
		if metrics.Read(sample); sample[0].Value.Uint64()-sample[1].Value.Uint64() > maxMemory {
			exit(exitMemory)
			return
		}
	}
}

// confine has the system itself bound what the process may do: no file and no connection can be opened any more, and one
// allocation cannot outrun the watch. Where it is not permitted, as under a strict filter of system calls, nothing in a
// template or schema opens anything either, and the watch is there.
func confine() {
	for what, most := range map[int]uint64{syscall.RLIMIT_NOFILE: 0, syscall.RLIMIT_DATA: 2 * maxMemory, syscall.RLIMIT_CORE: 0} {
		_ = syscall.Setrlimit(what, &syscall.Rlimit{Cur: most, Max: most})
	}
}
