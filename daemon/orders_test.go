package daemon

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// A line that ends waits for the orders that it carries out, not for ever, and takes no other.
func TestFace_ALineEndsAfterItsOrders(t *testing.T) {
	for _, tt := range []struct {
		name        string
		takes, want time.Duration
	}{
		{"none", 0, 0},
		{"a short one", time.Second, time.Second},
		{"one that hangs", time.Hour, endOrders},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, l := newFace(nil, time.Now), &Line{}
				f.line.Store(l)
				if err := f.begin(l); err != nil {
					t.Fatal(err)
				}
				go func() { time.Sleep(tt.takes); l.orders.Done() }()
				start := time.Now()
				f.end(l, &ending{problem: mirror.Problem{What: "stopping"}})
				if took := time.Since(start); took != tt.want {
					t.Errorf("took %s, want %s", took, tt.want)
				}
				if err := f.begin(l); err == nil {
					t.Error("an order is taken by a line that ended")
				}
				f.line.Store(&Line{})
				f.ending.Store(nil)
				if err := f.begin(l); err == nil {
					t.Error("an order is taken by the line before")
				}
				l.orders.Wait()
			})
		})
	}
}
