package daemon

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// However long records go on to change, channels are written again soon: a pause must not grow by itself.
func TestChannels_AreWrittenSoonWhileRecordsGoOnToChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		l := &Line{now: time.Now, channels: newKeeper()}
		go func() { _ = l.keepChannels(ctx) }()
		waiting := func() bool {
			l.channels.mu.Lock()
			defer l.channels.mu.Unlock()
			return len(l.channels.due) > 0
		}
		last, longest := time.Now(), time.Duration(0)
		for range 600 {
			l.channels.wants("elastic", false)
			<-time.After(time.Second)
			synctest.Wait()
			if longest = max(longest, time.Since(last)); !waiting() {
				last = time.Now()
			}
		}
		if longest > 3*channelsApart {
			t.Errorf("a change waited for %s, want about %s", longest, channelsApart)
		}
	})
}
