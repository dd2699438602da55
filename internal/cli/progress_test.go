package cli

import (
	"bytes"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
)

func TestProgress_OffATerminalIsALineAHeartbeatAndNothingAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		copying := func() daemon.Copying { // 1 MiB a second of 60, beginning after 15 s, 10 MiB of it was here
			moved := min(60, max(0, int64(time.Since(began)/time.Second)-15)) << 20
			if moved == 0 {
				return daemon.Copying{}
			}
			now := daemon.Copying{Images: 3, Done: 1, Bytes: moved, Total: 60 << 20}
			if moved == now.Total {
				now.Done = 3
			}
			return now
		}
		var lines []string
		stop := beat(copying, func(line string, _ daemon.Copying) { lines = append(lines, line) })
		time.Sleep(2 * time.Minute) // of the bubble: it takes no time
		stop()
		if len(lines) != 6 || lines[1] != "copying: 1 of 3 images, 15.0 MiB of 60.0 MiB, 1.0 MiB/s, about 45s left" {
			t.Errorf("%d lines:\n%s", len(lines), strings.Join(lines, "\n"))
		}
	})
}

func TestProgress_TellsWhatIsBeingLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sets atomic.Pointer[[]string]
		sets.Store(&[]string{"ess", "tools"})
		var said []string
		stop := beatLooking(func() []string { return *sets.Load() }, func(now []string) { said = append(said, strings.Join(now, " ")) })
		time.Sleep(heartbeat + time.Second)
		sets.Store(&[]string{})
		time.Sleep(3 * heartbeat)
		stop()
		if strings.Join(said, ", ") != "ess tools" {
			t.Errorf("got %q", said)
		}
	})
}

func TestProgress_OnATerminalDrawsOneLineForAllAndOneForEachImage(t *testing.T) {
	var out onceBuffer
	d := mirror.DigestOf([]byte("layer"))
	image := mirror.Reference{Host: "ghcr.io", Repository: "team/app", Tag: "1.0", Digest: d}
	copying := func() daemon.Copying {
		return daemon.Copying{Images: 12, Done: 4, Failed: 1, Bytes: 30 << 20, Total: 40 << 20, Active: []daemon.Image{
			{Image: image, Bytes: 1 << 20, Total: 2 << 20, Layers: []daemon.Blob{{Digest: d, State: daemon.BlobCopies, Bytes: 1 << 20, Total: 2 << 20}}}}}
	}
	drawn, stop := draw(&out, copying, true)
	drawn.refresh()
	out.wait(t, "[4/12] 1 failed", "30.0 MiB of 40.0 MiB", "ghcr.io/team/app:1.0  1.0 MiB of 2.0 MiB", "    "+mirror.Short(d))
	if _, err := drawn.Write([]byte("a line of the log\n")); err != nil {
		t.Fatal(err)
	}
	out.wait(t, "a line of the log\n")
	stop()
}

// onceBuffer is a terminal that can be waited for.
type onceBuffer struct {
	mu      sync.Mutex
	text    bytes.Buffer
	written chan struct{}
}

func (b *onceBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.written != nil {
		close(b.written)
		b.written = nil
	}
	return b.text.Write(p)
}

// wait returns when all of the words were written.
func (b *onceBuffer) wait(t *testing.T, words ...string) {
	t.Helper()
	for {
		b.mu.Lock()
		text, missing := b.text.String(), false
		for _, word := range words {
			missing = missing || !strings.Contains(text, word)
		}
		b.written = make(chan struct{})
		more := b.written
		b.mu.Unlock()
		if !missing {
			return
		}
		select {
		case <-more:
		case <-time.After(10 * time.Second):
			t.Fatalf("%q was not drawn:\n%q", words, text)
		}
	}
}
